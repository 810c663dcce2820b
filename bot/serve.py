"""The serving process: runs the app until a signal, then shuts it down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import structlog

from bot.app import App, open_app
from bot.config.sections import Config
from bot.factories import backup_folder
from bot.http.address import NAME as HTTP
from bot.service_manager import notify, notify_watchdog
from commands.handlers.privacy import remove_copies
from commands.text.messages import error_text
from inference.clock import SystemClock
from inference.domain.errors import StoreError
from inference.store.backups import DailyBackups
from inference.tasks import running
from inference.workers.media.sandbox import hide

_log = structlog.get_logger(__name__)

GRACE_SECONDS = 30.0
"""At a stop, how long the running job and the last messages may take before they are resumed at
the next start instead."""


FIRST_CONNECTIONS_SECONDS = 15.0
"""Longest that a start waits for chats before it says that it is ready."""


async def run(config: Config) -> int:
    """Serve until a signal: the first stops gracefully, a second at once. Return the exit code."""
    from bot.control.server import serve_control  # noqa: PLC0415 - most commands need no web server

    hide()
    stop: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    _on_signals(stop)
    async with open_app(config) as app, serve_control(app), running() as tasks:
        tasks.start(notify_watchdog(), name="watchdog")
        if config.backup.keep:
            tasks.start(daily_backups(app).run(), name="backups")
        connecting = asyncio.create_task(_announce(app))
        number = await stop
        connecting.cancel()
        app.services.health.started = False
        notify("STOPPING=1")
        await asyncio.gather(settle(app), _be_seen(app, number))
    remove_copies()
    _log.info("rushes.stopped")
    return 0


async def _be_seen(app: App, number: signal.Signals) -> None:
    """Keep the port of the API open for a while, so that load balancers see that it stops."""
    if number is signal.SIGTERM and HTTP in app.platforms:
        await asyncio.sleep(app.config.http.drain_seconds)


def daily_backups(app: App) -> DailyBackups:
    """Return the daily backups of the app, which report failures to the health."""
    health, config = app.services.health, app.config

    def report(problem: StoreError | None) -> None:
        if problem is None:
            health.clear("backup")
        else:
            app.services.database.remember(problem)
            health.report("backup", error_text(problem, config.bot.language))

    return DailyBackups(
        config.bot.data_dir,
        backup_folder(config),
        keep=config.backup.keep,
        clock=SystemClock(),
        report=report,
    )


async def _announce(app: App) -> None:
    """Log that everything runs, and which chats are connected, once that is known."""
    await app.supervisor.first_attempts(FIRST_CONNECTIONS_SECONDS)
    connected = app.supervisor.connected
    app.services.health.started = True
    notify("READY=1", f"STATUS=connected: {', '.join(connected) or 'none'}")
    _log.info(
        "rushes.ready",
        connected=connected,
        not_connected=[name for name in app.platforms if name not in connected],
        data=str(app.config.bot.data_dir),
    )


async def settle(app: App) -> None:
    """Shut down: accept nothing, let running jobs end if they can, flush the outbox."""
    clock = SystemClock()
    deadline = clock.monotonic() + GRACE_SECONDS
    app.core.jobs.stop_accepting()
    dispatcher = app.core.dispatcher
    dispatcher.stop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await dispatcher.settle(GRACE_SECONDS)
            await app.core.result_moderator.idle()
    await app.delivery.flush(max(1.0, deadline - clock.monotonic()))


def _on_signals(stop: asyncio.Future[signal.Signals]) -> None:
    loop = asyncio.get_running_loop()

    def stop_for(number: signal.Signals) -> None:
        if stop.done():
            os._exit(128 + number)
        _log.info("rushes.stopping", signal=number.name)
        stop.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_for, number)
