"""`rushes run` as a process of its own, which tests start, stop and kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]

STOP_SECONDS = 180.0
"""A graceful stop takes at most its grace time; beyond this the bot is stuck."""

LEFT_OVER_SECONDS = 60.0
"""In which all children of a bot that was killed have to notice."""


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
        self._sessions: set[int] = set()

    @property
    def running(self) -> asyncio.subprocess.Process:
        """The bot that was started last."""
        assert self._process is not None
        return self._process

    async def launch(self, environment: Mapping[str, str]) -> None:
        """Start the bot with these variables, and return at once."""
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

    def signal(self, number: signal.Signals) -> None:
        """Send the bot a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            self.running.send_signal(number)

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end of the bot; return its exit status, or minus the signal.

        Raises:
            TimeoutError: It goes on.
        """
        async with asyncio.timeout(seconds):
            return await self.running.wait()

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
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            await self._process.wait()


def inherited(*hidden: str) -> dict[str, str]:
    """Return this process's variables, without those of Rushes and with these beginnings."""
    beginnings = ("RUSHES_", "DISCORD_", "SLACK_", *hidden)
    return {name: value for name, value in os.environ.items() if not name.startswith(beginnings)}
