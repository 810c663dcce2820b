"""The bot as a process of its own, on a loopback Discord: started, killed, stopped, counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from tests.fakes.discord import LoopbackDiscord

ROOT = Path(__file__).parents[2]

MARK = "LOOPBACK_DISCORD"
"""Environment variable by which all processes of one bot are known."""

STOP_SECONDS = 180.0
"""A graceful stop takes at most its grace time; beyond this the bot is stuck."""

_CONFIG = """
[bot]
data_dir = "{data}"
platforms = ["discord"]
[discord]
token = "{token}"
api_base_url = "{api}"
gateway_url = "{gateway}"
cdn_hosts = ["{cdn}"]
[models]
installed = ["testcard"]
[models.testcard]
step_seconds = 0.01
steps = 4
[queue]
waiting_per_guild = 20
waiting_per_user = 10
waiting_total = 400
"""


class BotProcess:
    """`rushes run` over one data directory.

    Args:
        directory: For configuration, log and data; it has to exist.
        discord: Where the bot lives.
    """

    def __init__(self, directory: Path, discord: LoopbackDiscord) -> None:
        self.log = directory / "bot.log"
        self.kills: list[float] = []
        """When it was killed; Unix seconds."""
        self._discord = discord
        self._process: asyncio.subprocess.Process | None = None
        self._config = directory / "config.toml"
        self._config.write_text(
            _CONFIG.format(
                data=directory / "data",
                token=discord.token,
                api=discord.api_url,
                gateway=discord.gateway_url,
                cdn=discord.cdn_host,
            )
        )

    async def start(self) -> None:
        """Start it, and return at once."""
        hidden = ("RUSHES_", "DISCORD_", "SLACK_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run", "--config", str(self._config)),
                cwd=ROOT,
                env={**inherited, "OMP_NUM_THREADS": "1", MARK: self._discord.host},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self.kills.append(self._discord.clock.now())

    async def stop(self) -> int:
        """Ask it to stop, and return its exit status.

        Raises:
            TimeoutError: It goes on.
        """
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self._process.wait()

    def processes(self) -> list[psutil.Process]:
        """Return its processes, whoever their parent is."""
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get(MARK) == self._discord.host:
                    mine.append(process)
        return mine

    async def left_over(self, seconds: float = 60.0) -> list[int]:
        """Return the processes that are still there some seconds after it has gone."""
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
