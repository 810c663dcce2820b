"""Ends processes at random moments under load, over one data directory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from inference.domain.job import MAX_ATTEMPTS, MAX_LOSSES
from tests.chaos.points import CLIP, END_SECONDS, STILL
from tests.chaos.table import Tally
from tests.chaos.verdict import judge
from tests.chaos.world import World, world

IN_LINE = 3
"""Unfinished jobs that every guild keeps asking for."""

TIRED = 0.005
"""How likely somebody changes their mind at any moment."""

LIFE_SECONDS = (0.4, 3.0)
"""From the start of the bot to what happens to it: from still importing to well at work."""


EVENTS = {"kill": 8, "stop": 1, "worker": 2, "damage": 1, "clock": 1}
"""How likely each is: the bot killed, stopped, its worker killed, a row damaged, the clock set."""

SLOT_EVENTS = {"kill": 3, "stop": 1, "worker": 4, "both": 3}
"""The same with several slots: one of the workers, the bot, or all of them killed."""

CLOCKS = (0.0, 3600.0, -3600.0, 400 * 86_400.0)
"""Seconds before or after the real time that the clock is set to."""


async def shaken(
    directory: Path,
    *,
    kills: int,
    seed: int,
    events: Mapping[str, int] = EVENTS,
    devices: Sequence[str] = ("auto",),
) -> Tally:
    """Kill the bot so many times, with whatever else happens to it in between.

    Args:
        directory: For all that it leaves.
        kills: By SIGKILL, with or without damage to a row while it is dead.
        seed: Of what happens when.
        events: What may happen, and how likely it is.
        devices: Of the slots.
    """
    chance = random.Random(seed)
    damaged: set[str] = set()
    async with world(directory, devices=devices) as living:
        await living.start()
        load = asyncio.create_task(_load(living, random.Random(seed + 1)))
        counted = others = 0
        while counted < kills:
            await asyncio.sleep(chance.uniform(*LIFE_SECONDS))
            match chance.choices(list(events), weights=list(events.values())):
                case ["kill" | "damage" | "both" as event]:
                    if event == "both":
                        _kill(living.workers())
                    living.signal(signal.SIGKILL)
                    await living.ended()
                    counted += 1
                    if event == "damage" and (job := living.damage(chance)) is not None:
                        damaged.add(job)
                    await living.start()
                case ["clock"]:
                    living.set_clock(chance.choice(CLOCKS))
                    others += 1
                case ["stop"]:
                    await living.stop()
                    others += 1
                    await living.start()
                case _:
                    if workers := living.workers():
                        _kill([chance.choice(workers)])
                        others += 1
        load.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await load
        await _settled(living)
        await living.stop()
        tally = await judge(living, may_fail=damaged | _worn_out(living))
        tally.kills = counted + others
        return tally


def _kill(workers: Sequence[psutil.Process]) -> None:
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


def _worn_out(living: World) -> set[str]:
    """Return the jobs that were interrupted as often as a job may be."""
    with contextlib.closing(sqlite3.connect(living.data / "rushes.sqlite3")) as connection:
        rows = connection.execute(
            "SELECT id FROM jobs WHERE losses >= ? - 1 OR attempt >= ?", (MAX_LOSSES, MAX_ATTEMPTS)
        )
        return {job for (job,) in rows}


async def _settled(living: World) -> None:
    """Wait until people have seen an end of everything, for as long as they see anything new."""
    seen, said = living.seen, -1

    def news() -> bool:
        return not seen.open() or len(seen.messages) > said

    while seen.open() and news():
        said = len(seen.messages)
        await seen.until(news, END_SECONDS)


async def _load(living: World, chance: random.Random) -> None:
    """Keep two guilds asking, and sometimes changing their minds."""
    seen = living.seen
    guilds = (("nonce", "g1"), ("upload", "g2"))
    while True:
        for place, guild in guilds:
            waiting = [command for command in seen.open() if command.place == place]
            if len(waiting) < IN_LINE:
                number, options = (
                    len(seen.commands),
                    chance.choice([CLIP, STILL, f"{STILL} --count 2"]),
                )
                who = {"guild": guild, "user": chance.choice(["ann", "bob"])}
                seen.say(place, f"/generate picture {number} {options}", **who)
            elif chance.random() < TIRED and (jobs := [c for c in waiting if c.job]):
                tired = chance.choice(jobs)
                seen.say(place, f"/rushes cancel {tired.job}", guild=guild, user=tired.user)
        await asyncio.sleep(0.1)
