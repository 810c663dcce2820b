"""Rushes as its own process on a loopback Slack, which kills and restarts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tests.fakes.ports import free_port
from tests.fakes.rushes_process import ROOT, RushesProcess, inherited
from tests.fakes.slack import Application, LoopbackSlack

Mode = Literal["socket", "http"]

START_SECONDS = 180.0
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


class SlackBot(RushesProcess):
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
        self.port = free_port()
        self._mode = mode
        self._environment = dict(environment or {})
        config = _CONFIG.format(
            data=directory / "data",
            slack=slack,
            port=self.port,
            mode=mode,
            installed=json.dumps(list(installed)),
        )
        super().__init__(directory, config)
        if mode == "http":
            slack.post_to(f"{self.url}/events")

    @property
    def url(self) -> str:
        """Where its own routes are."""
        return f"http://127.0.0.1:{self.port}/slack"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        before = self.slack.socket.opened
        await self.launch({**inherited("LC_"), "PYTHONPATH": str(ROOT), **self._environment})
        if self._mode == "socket":
            await self.slack.until(lambda: self.slack.socket.opened > before, START_SECONDS)
        await self._listening()

    async def kill(self) -> list[int]:
        """End it as a power cut would; return what is left of it some seconds later."""
        self.signal(signal.SIGKILL)
        await self.running.wait()
        return await self.left_over()

    async def _listening(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                assert self.running.returncode is None, self.log.read_text()[-2000:]
                assert time.monotonic() < end, "the bot does not listen"
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return
