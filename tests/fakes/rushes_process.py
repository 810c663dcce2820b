"""`rushes run` as a process of its own, which tests start, stop and kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]

STOP_SECONDS = 180.0
"""A graceful stop takes at most its grace time; beyond this the bot is stuck."""

LEFT_OVER_SECONDS = 180.0
"""In which all children of a bot that was killed have to notice."""

LOG_LINES = 30
"""Of the log of a bot that ended, in the failure of the test."""

KILLS = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT})
"""Exit statuses of bots that a test or a crash point killed."""

_failed: list[RushesProcess] = []
"""Bots that ended by themselves, until they are closed or started again."""
_waits: set[asyncio.Task[object]] = set()
"""Tests that wait now."""


class BotEndedError(AssertionError):
    """A bot has ended though nobody asked it to; the text ends with its log."""


@contextlib.asynccontextmanager
async def wait_limit(seconds: float) -> AsyncIterator[None]:
    """Limit a wait as `asyncio.timeout` does, and end it at once when a bot ends by itself.

    Raises:
        BotEndedError: One has.
        TimeoutError: It took too long.
    """
    if failed := _failed_here():
        raise BotEndedError(failed.last_words())
    task = asyncio.current_task()
    assert task is not None
    is_outermost = task not in _waits
    _waits.add(task)
    try:
        async with asyncio.timeout(seconds):
            yield
    except asyncio.CancelledError:
        if not is_outermost or not (failed := _failed_here()):
            raise
        task.uncancel()
        raise BotEndedError(failed.last_words()) from None
    finally:
        if is_outermost:
            _waits.discard(task)


def _failed_here() -> RushesProcess | None:
    """Return a bot of this event loop, so of this test, that ended by itself."""
    loop = asyncio.get_running_loop()
    return next((bot for bot in _failed if bot.loop is loop), None)


class RushesProcess:
    """A bot over one configuration file, whose log is `bot.log` beside it.

    Args:
        directory: For both; it has to exist.
        config: What stands in the file.
    """

    def __init__(self, directory: Path, config: str) -> None:
        self.log = directory / "bot.log"
        self._config = directory / "config.toml"
        self._config.write_text(config, encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._watch: asyncio.Task[None] | None = None
        self._expected = 0
        """How many wait for the end of the bot, or have asked for it."""
        self._sessions: set[int] = set()

    @property
    def running(self) -> asyncio.subprocess.Process:
        """The bot that was started last."""
        assert self._process is not None
        return self._process

    async def launch(self, environment: Mapping[str, str]) -> None:
        """Start the bot with these variables, and return at once."""
        self._forgive()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run", "--config", str(self._config)),
                cwd=ROOT,
                env={**environment, "OMP_NUM_THREADS": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._sessions.add(self._process.pid)
        self.loop = asyncio.get_running_loop()
        self._watch = self.loop.create_task(self._notice_end(self._process))

    def signal(self, number: signal.Signals) -> None:
        """Send the bot a signal, if it still lives."""
        self._expected += 1
        with contextlib.suppress(ProcessLookupError):
            self.running.send_signal(number)

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end of the bot; return its exit status, or minus the signal.

        Raises:
            TimeoutError: It goes on.
        """
        self._expected += 1
        try:
            async with asyncio.timeout(seconds):
                return await self.running.wait()
        except BaseException:
            self._expected -= 1
            raise

    async def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask the bot to stop, and wait for it."""
        self.signal(signal.SIGTERM)
        return await self.ended(seconds)

    def processes(self) -> list[psutil.Process]:
        """Return all processes of all its lives, whoever their parent is."""
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    # Children are not told our variables; each life of the bot is a session.
                    and os.getsid(process.pid) in self._sessions
                ):
                    mine.append(process)
        return mine

    async def left_over(self, seconds: float = LEFT_OVER_SECONDS) -> list[int]:
        """Return the processes that are still there some seconds after the bot has gone."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:  # noqa: ASYNC110 - the dead tell nobody
            await asyncio.sleep(0.05)
        return [process.pid for process in left]

    async def close(self) -> None:
        """Kill whatever still runs."""
        self._expected += 1
        self._forgive()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            await self._process.wait()

    def last_words(self) -> str:
        """Return how the bot ended, and the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"the bot ended with {self.running.returncode}; its log:", *lines])

    async def _notice_end(self, process: asyncio.subprocess.Process) -> None:
        """End all waits when the bot has ended by itself."""
        status = await process.wait()
        if self._expected or status in KILLS:
            return
        _failed.append(self)
        for task in [task for task in _waits if task.get_loop() is self.loop]:
            task.cancel()

    def _forgive(self) -> None:
        """Take the last life as over: another begins, or none."""
        if self in _failed:
            _failed.remove(self)
        if self._process is not None and self._process.returncode is not None:
            self._expected = 0


def inherited(*hidden: str) -> dict[str, str]:
    """Return this process's variables, without those of Rushes and with these beginnings."""
    beginnings = ("RUSHES_", "DISCORD_", "SLACK_", *hidden)
    return {name: value for name, value in os.environ.items() if not name.startswith(beginnings)}
