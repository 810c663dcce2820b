"""Composition: one function builds everything from the config, one task group runs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import structlog

from bot import setup
from bot.config import Config
from bot.delivery import Delivery, Painter
from bot.health import Health
from bot.live import Live
from bot.moderation import moderation
from bot.platform import Desk, Platform
from bot.supervision import Supervisor
from bot.terminal.platform import NAME as TERMINAL
from bot.terminal.platform import TerminalPlatform
from commands import cards, looking
from commands.card import Card
from commands.context import Jobs
from commands.messages import error_text
from commands.policy import make_policy
from commands.studio import Studio
from inference.clock import Clock, SystemClock
from inference.engines import registry
from inference.errors import RushesError, UserError
from inference.jobs.core import Core, open_core
from inference.jobs.model import Job
from inference.jobs.policy import QueueLimits
from inference.proxies import check_proxies
from inference.store.outbox import ActKind
from inference.tasks import running
from inference.workers.media import MediaProcess
from inference.workers.sandbox import hide

SECONDS_PER_DAY = 86_400.0

GRACE_SECONDS = 30.0
"""At a stop, how long the running job and the last messages may take before they are resumed at
the next start instead."""

FIRST_CONNECTIONS_SECONDS = 15.0
"""Longest that a start waits for chats before it says that it is ready."""

_BUILT_IN = {"discord": "bot.discord:make", "slack": "bot.slack:make"}
"""Imported only where they are wanted."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running Rushes."""

    config: Config
    core: Core
    desk: Desk
    delivery: Delivery
    platforms: Mapping[str, Platform]
    supervisor: Supervisor


@contextlib.asynccontextmanager
async def open_app(config: Config) -> AsyncIterator[App]:
    """Run everything for the length of the block.

    Raises:
        UserError: The config cannot work (no token, unknown model, a wrong proxy).
        StoreError: Another process owns the data, or the disk is not usable.
    """
    check_proxies()
    clock = SystemClock()
    platforms = {platform.name: platform for platform in _platforms(config)}
    health = Health()

    def report(key: str, problem: RushesError | None) -> None:
        if problem is None:
            health.clear(key)
        else:
            health.report(key, error_text(problem, config.bot.language))

    executor = setup.executor(config, models=config.models.installed, report=report)
    studio = setup.studio(config, lambda: executor.device, executor.check_gpu)
    async with contextlib.AsyncExitStack() as stack:
        media = await stack.enter_async_context(MediaProcess())
        assistant = await stack.enter_async_context(setup.assistant(config))
        guard = await stack.enter_async_context(moderation(config, media, clock))
        core = await stack.enter_async_context(
            open_core(
                data_directory=config.bot.data_dir,
                executor=executor,
                cleaner=media,
                sources={name: platform.images for name, platform in platforms.items()},
                capabilities=registry.capabilities,
                limits=_limits(config),
                weights=config.queue.weights,
                watermark=setup.watermark(config),
                files_seconds=config.retention.files_days * SECONDS_PER_DAY,
                assistant=assistant,
                assistant_calls_per_hour=config.assistant.calls_per_hour,
                guard=guard,
                clock=clock,
            )
        )
        delivery = Delivery(
            outbox=core.outbox,
            store=core.store,
            artifacts=core.artifacts,
            events=core.events,
            platforms=platforms,
            painter=make_painter(core.jobs, studio, config.bot.language, clock),
            shrinker=media,
            previews=not config.safety.sees_pictures,
            clock=clock,
        )
        live = Live(delivery=delivery, jobs=core.jobs, events=core.events, clock=clock)
        desk = Desk(
            jobs=core.jobs,
            studio=studio,
            policy=make_policy(core.database, clock, setup.house(config)),
            language=config.bot.language,
            database=core.database,
            operators=config.bot.operators,
            health=health,
        )
        tasks = await stack.enter_async_context(running())
        tasks.start(delivery.run(), name="delivery")
        tasks.start(live.run(), name="live")
        supervisor = Supervisor(platforms.values(), desk)
        tasks.start(supervisor.watch(), name="connections")
        for platform in platforms.values():
            tasks.start(supervisor.run(platform), name=platform.name)
        yield App(
            config=config,
            core=core,
            desk=desk,
            delivery=delivery,
            platforms=platforms,
            supervisor=supervisor,
        )


async def run(config: Config) -> int:
    """Serve until a signal: the first stops gracefully, a second at once. Return the exit code."""
    from bot.control import serve_control  # noqa: PLC0415 - the web server is not for everybody

    hide()
    stop = asyncio.Event()
    _on_signals(stop)
    async with open_app(config) as app, serve_control(app):
        connecting = asyncio.create_task(_announce(app))
        await stop.wait()
        connecting.cancel()
        await settle(app)
    _log.info("rushes.stopped")
    return 0


async def _announce(app: App) -> None:
    """Log that everything runs, and which chats are connected, once that is known."""
    await app.supervisor.first_attempts(FIRST_CONNECTIONS_SECONDS)
    connected = app.supervisor.connected
    _log.info(
        "rushes.ready",
        connected=connected,
        not_connected=[name for name in app.platforms if name not in connected],
        data=str(app.config.bot.data_dir),
    )


async def settle(app: App) -> None:
    """Come to rest: accept nothing, let the running job end if it can, send what is due."""
    clock = SystemClock()
    deadline = clock.monotonic() + GRACE_SECONDS
    app.core.jobs.stop_accepting()
    dispatcher = app.core.dispatcher
    dispatcher.stop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            if dispatcher.seconds_left() <= GRACE_SECONDS:
                await dispatcher.idle()
            await app.core.checker.idle()
    await app.delivery.flush(max(1.0, deadline - clock.monotonic()))


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def received(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _log.info("rushes.stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received, number)


def make_painter(jobs: Jobs, studio: Studio, language: str, clock: Clock) -> Painter:
    """Return what draws the messages of jobs, in the language that goes with each job.

    Args:
        jobs: Knows where they stand.
        studio: Knows their models.
        language: Of jobs that go with none.
        clock: For what is said of time.
    """

    def paint(job: Job, kind: ActKind, file: Path | None, /) -> Card:
        locale = job.presentation.language or language
        capabilities = looking.capabilities(job, studio)
        if kind is ActKind.NOTICE:
            return cards.failure(job, locale)
        if file is not None:
            return cards.clip(job, file, locale, capabilities)
        standing = looking.standing(job, jobs, clock)
        return cards.status(job, standing, locale, capabilities)

    return paint


def _platforms(config: Config) -> list[Platform]:
    """Make the platforms that are named and have what they need, and the terminal's always.

    The terminal's costs nothing, and the command line talks through it.
    """
    made = [platform for name in config.bot.platforms if (platform := make_platform(name, config))]
    if not made:
        raise UserError("config.no_token")
    if not any(platform.name == TERMINAL for platform in made):
        made.append(_terminal(config))
    return made


def make_platform(name: str, config: Config) -> Platform | None:
    """Make one platform, or nothing where it has no token.

    Raises:
        UserError: `config.platform_unknown` or `config.platform_broken`.
    """
    if name == TERMINAL:
        return _terminal(config)
    module, _, factory = _BUILT_IN.get(name, name).partition(":")
    if not factory:
        raise UserError("config.platform_unknown", name=name)
    try:
        make: Callable[[Config], Platform | None] = getattr(import_module(module), factory)
        return make(config)
    except RushesError:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise UserError("config.platform_broken", name=name, problem=problem) from error


def _terminal(config: Config) -> TerminalPlatform:
    return TerminalPlatform(config.bot.data_dir / "threads")


def _limits(config: Config) -> QueueLimits:
    return QueueLimits(
        per_tenant=config.queue.waiting_per_guild,
        per_requester=config.queue.waiting_per_user,
        total=config.queue.waiting_total,
        cooldown_seconds=config.queue.cooldown_seconds,
        job_seconds=config.queue.job_seconds,
    )
