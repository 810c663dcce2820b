"""Rushes as its own process, seen from a shell: what goes in, what comes out, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bot.control.socket_path import SOCKET_NAME, short_socket_path

SECONDS = 180.0
"""Patience with a busy machine; nothing here takes more than a few."""


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A folder to work in, with the test card as the only model."""

    directory: Path

    def write_config(self, *, step_seconds: float = 0.02, more: str = "") -> None:
        (self.directory / "config.toml").write_text(
            '[bot]\nplatforms = ["terminal"]\n'
            '[models]\ninstalled = ["testcard"]\ndefault = "testcard"\n'
            f"[models.testcard]\nstep_seconds = {step_seconds}\n{more}"
        )

    def start(self, *arguments: str, **options) -> subprocess.Popen[str]:
        hidden = ("RUSHES_", "DISCORD_", "SLACK_", "LC_", "COLUMNS")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        return subprocess.Popen(
            [sys.executable, "-m", "bot", *arguments],
            cwd=self.directory,
            env={
                **environment,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(Path(__file__).parents[2]),
                **options.get("environment", {}),
            },
            text=True,
            stdin=options.get("stdin", subprocess.DEVNULL),
            stdout=options.get("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
        )

    def rushes(self, *arguments: str, script: str | None = None, **environment: str) -> Ended:
        """Run to the end."""
        given = {} if script is None else {"stdin": subprocess.PIPE}
        with self.start(*arguments, **given, environment=environment) as process:
            try:
                out, err = process.communicate(script, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Ended(code=process.returncode, out=out, err=err)

    def serve(self, *, data: str = "data") -> subprocess.Popen[str]:
        """Start `rushes run` and wait until it listens."""
        process = self.start("run", "--data-dir", data)
        deadline = time.monotonic() + SECONDS
        while not self._listens(data):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    def _listens(self, data: str) -> bool:
        with (
            socket.socket(socket.AF_UNIX) as caller,
            short_socket_path(self.directory / data / SOCKET_NAME) as address,
        ):
            return caller.connect_ex(address) == 0

    def settled(self, job: str, *arguments: str) -> str:
        """Wait until a job brought its file, and return what `show` prints."""
        deadline = time.monotonic() + SECONDS
        while not list(self.directory.glob(f"*/threads/*/{job}/*.mp4")):
            assert time.monotonic() < deadline, self.rushes("show", job, *arguments)
            time.sleep(0.02)
        while True:
            shown = self.rushes("show", job, *arguments)
            if "▶" in shown.out:
                return shown.out
            assert time.monotonic() < deadline, shown


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str


def stop(process: subprocess.Popen[str]) -> Ended:
    """End a process as an operator would."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=SECONDS)
    return Ended(code=process.returncode, out=out, err=err)
