"""One installation under test: a data directory, the witness, and a bot that is kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.platform import ADDRESS
from tests.chaos.server import Witness, witness
from tests.fakes.rushes_process import STOP_SECONDS, RushesProcess, wait_limit

DAMAGED_COLUMNS = ("spec", "origins", "verdict", "presentation", "notes")
"""Of a job's row; the address stays, so that its requester can be told."""

JUNK = (b"{", b"", b"[[[", b"7", b"\xff\xfe")

_CONFIG = """
[bot]
data_dir = "{data}"
platforms = ["tests.chaos.platform:nonce", "tests.chaos.platform:upload"]
[models]
installed = ["testcard"]
[models.testcard]
step_seconds = {step_seconds}
fail = "{fail}"
[workers]
devices = {devices}
[queue]
waiting_per_guild = 50
waiting_per_user = 50
"""


class World(RushesProcess):
    """A bot over one data directory; see `world`."""

    def __init__(
        self, directory: Path, seen: Witness, devices: Sequence[str] = ("auto",), **testcard: Any
    ) -> None:
        self.seen = seen
        self.data = directory / "data"
        self.exits: list[int] = []
        """How each life of the bot ended: its exit status, or minus the signal."""
        values = {"step_seconds": 0.01, "fail": ""} | testcard
        config = _CONFIG.format(data=self.data, devices=json.dumps(list(devices)), **values)
        super().__init__(directory, config)
        self._clock = directory / "clock"

    @property
    def pid(self) -> int:
        """Process id of the bot."""
        return self.running.pid

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the bot, with more variables if given, and return at once."""
        await self.launch(
            {
                **os.environ,
                ADDRESS: self.seen.url,
                "CHAOS_CLOCK": str(self._clock),
                "PYTHONPATH": str(Path(__file__).parent / "clock"),
                **(environment or {}),
            }
        )

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end of the bot, write it down and return it; see `RushesProcess`."""
        self.exits.append(await super().ended(seconds))
        return self.exits[-1]

    async def keep_alive(self) -> None:
        """Start the bot again whenever it ends, until cancelled."""
        while True:
            await self.ended(seconds=3600)
            await self.start()

    def state(self, job: str) -> str:
        """Return the state of a job as it is on the disk."""
        path = self.data / "rushes.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=180)) as connection:
            [(state,)] = connection.execute("SELECT state FROM jobs WHERE id = ?", (job,))
        return str(state)

    async def reached(self, job: str, *states: str, seconds: float = 180.0) -> None:
        """Wait until a job is in one of these states on the disk."""
        async with wait_limit(seconds):
            while self.state(job) not in states:  # noqa: ASYNC110 - the disk tells nobody
                await asyncio.sleep(0.02)

    def set_clock(self, seconds: float) -> None:
        """Set the bot's wall clock so many seconds before or after the real one."""
        part = self._clock.with_suffix(".part")
        part.write_text(str(seconds), encoding="ascii")
        part.replace(self._clock)

    def damage(self, chance: random.Random) -> str | None:
        """Overwrite a column of a job that waits or runs; the bot must be dead.

        Returns:
            The job, or None where there was none.
        """
        if not any(command.job for command in self.seen.commands):
            return None  # perhaps it has not even made its database
        path = self.data / "rushes.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=180)) as connection, connection:
            jobs = connection.execute(
                "SELECT id FROM jobs WHERE state IN ('accepted', 'preparing', 'queued', 'running')"
            ).fetchall()
            if not jobs:
                return None
            [job] = chance.choice(jobs)
            column = chance.choice(DAMAGED_COLUMNS)
            [(trigger,)] = connection.execute(
                "SELECT sql FROM sqlite_schema WHERE name = 'jobs_reworded'"
            )
            connection.execute("DROP TRIGGER jobs_reworded")  # it would read the junk
            connection.execute(
                f"UPDATE jobs SET {column} = CAST(? AS TEXT) WHERE id = ?",  # noqa: S608
                (chance.choice(JUNK), job),
            )
            connection.execute(trigger)
        return str(job)

    def worker(self) -> psutil.Process | None:
        """Return the render process of the living bot, the first of several."""
        return next(iter(self.workers()), None)

    def workers(self) -> list[psutil.Process]:
        """Return the render processes of the living bot."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                child
                for child in psutil.Process(self.pid).children()
                if "inference.workers.child" in child.cmdline()
            ]
        return []


@contextlib.asynccontextmanager
async def world(
    directory: Path, *, devices: Sequence[str] = ("auto",), **testcard: Any
) -> AsyncIterator[World]:
    """Set up an installation below `directory`; whatever runs of it at the end is killed.

    Args:
        directory: For configuration, log, data and what the witness keeps.
        devices: Of the slots.
        testcard: Members of `[models.testcard]`.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    async with witness(directory / "witness") as seen:
        made = World(directory, seen, devices, **testcard)
        try:
            yield made
        finally:
            await made.close()
