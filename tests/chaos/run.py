"""The whole crash suite: `python -m tests.chaos.run`. Fifteen minutes on two cores."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.chaos.moments import SLOT_EVENTS, shaken
from tests.chaos.points import discover, killed_at
from tests.chaos.table import Tally, table

AT_ONCE = 2
"""Worlds side by side."""

WIDTH = 120
"""Columns of the table, also where there is no terminal."""


async def run(directory: Path, *, kills: int, seed: int) -> dict[str, Tally]:
    """Return what came of every kind of run."""
    points, undisturbed = await discover(directory / "undisturbed")
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, point: str) -> tuple[str, Tally]:
        async with turns:
            return point, await killed_at(directory / str(number), point)

    each = await asyncio.gather(*(one(*numbered) for numbered in enumerate(points)))
    at_points = Tally()
    for point, tally in each:
        tally.problems = [f"at {point}: {problem}" for problem in tally.problems]
        if not tally.kills:
            tally.problems.append(f"at {point}: not reached")
        at_points.add(tally)
    return {
        "nowhere": undisturbed,
        f"{len(points)} fault points": at_points,
        "random moments": await shaken(directory / "moments", kills=kills, seed=seed),
        "two slots": await shaken(
            directory / "slots",
            kills=kills // 2,
            seed=seed,
            events=SLOT_EVENTS,
            devices=("cpu", "cpu"),
        ),
    }


def main() -> int:
    """Run it all, print the table, and return 1 unless nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs at random moments")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--keep", type=Path, help="directory for data and logs")
    options = parser.parse_args()
    console = Console(highlight=False, width=WIDTH)
    console.print(f"seed {options.seed}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch)
        tallies = asyncio.run(run(directory, kills=options.kills, seed=options.seed))
    for tally in tallies.values():
        for problem in tally.problems:
            console.print(problem, markup=False)
    console.print(table(tallies))
    console.print(f"{time.monotonic() - started:.0f} s")
    return 0 if all(tally.clean for tally in tallies.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
