"""Rushes as its own process on a loopback Slack, which kills and restarts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import psutil

from tests.fakes.slack import Application, LoopbackSlack

ROOT = Path(__file__).parents[2]

Mode = Literal["socket", "http"]

MARK = "RUSHES_TEST_SLACK"
"""Variable by which all processes of one bot are found, whoever their parent is."""

START_SECONDS = 180.0
STOP_SECONDS = 180.0
KILLED_SECONDS = 60.0
"""In which all children of a bot that was killed have to notice."""

_CONFIG = """
[bot]
data_dir = "{data}"
platforms = ["slack"]
[slack]
mode = "{mode}"
app_token = "{slack.app_token}"
signing_secret = "{slack.signing_secret}"
client_id = "{slack.client_id}"
client_secret = "{slack.client_secret}"
api_base_url = "{slack.api_base_url}"
host = "127.0.0.1"
port = {port}
[models]
installed = {installed}
[models.testcard]
step_seconds = 0.01
steps = 4
[queue]
waiting_per_guild = 100
waiting_per_user = 100
waiting_total = 1000
[log]
format = "json"
"""


async def declared(mode: Mode) -> Application:
    """Return the app as its own manifest describes it: Slack offers and allows nothing else."""
    address = ["--url", "https://rushes.example.com"] if mode == "http" else []
    writing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "slack", "manifest", "--mode", mode, *address),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await writing.communicate()
    return Application.from_manifest(json.loads(written))


class SlackBot:
    """A bot over one data directory."""

    def __init__(
        self,
        directory: Path,
        slack: LoopbackSlack,
        *,
        mode: Mode = "socket",
        installed: Sequence[str] = ("testcard",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.slack = slack
        self.log = directory / "bot.log"
        self.port = _free_port()
        self._mode = mode
        self._environment = dict(environment or {})
        self._config = directory / "config.toml"
        self._config.write_text(
            _CONFIG.format(
                data=directory / "data",
                slack=slack,
                port=self.port,
                mode=mode,
                installed=json.dumps(list(installed)),
            ),
            encoding="utf-8",
        )
        self._bot: asyncio.subprocess.Process | None = None
        if mode == "http":
            slack.post_to(f"{self.url}/events")

    @property
    def url(self) -> str:
        """Where its own routes are."""
        return f"http://127.0.0.1:{self.port}/slack"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        hidden = ("RUSHES_", "DISCORD_", "SLACK_", "LC_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        before = self.slack.socket.opened
        with self.log.open("ab") as log:
            self._bot = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run", "--config", str(self._config)),
                cwd=ROOT,
                env={
                    **environment,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": str(ROOT),
                    MARK: self.slack.api_base_url,
                    **self._environment,
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._mode == "socket":
            await self.slack.until(lambda: self.slack.socket.opened > before, START_SECONDS)
        await self._listening()

    async def kill(self) -> list[int]:
        """End it as a power cut would; return what is left of it some seconds later."""
        assert self._bot is not None
        self._bot.send_signal(signal.SIGKILL)
        await self._bot.wait()
        return await self.left_over()

    async def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        assert self._bot is not None
        with contextlib.suppress(ProcessLookupError):
            self._bot.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self._bot.wait()

    async def left_over(self) -> list[int]:
        """Return the processes that are still there some seconds after the bot has gone."""
        end = time.monotonic() + KILLED_SECONDS
        while (left := self._processes()) and time.monotonic() < end:  # noqa: ASYNC110 - the dead tell nobody
            await asyncio.sleep(0.05)
        return [process.pid for process in left]

    async def close(self) -> None:
        """Kill whatever still runs."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._bot is not None:
            await self._bot.wait()

    def _processes(self) -> list[psutil.Process]:
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get(MARK) == self.slack.api_base_url
                ):
                    mine.append(process)
        return mine

    async def _listening(self) -> None:
        assert self._bot is not None
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                assert self._bot.returncode is None, self.log.read_text()[-2000:]
                assert time.monotonic() < end, "the bot does not listen"
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
