"""Load test of the bot: latency of acknowledgements at 50 commands per second, and memory.

    python -m benchmarks.load [--rate 50] [--seconds 15] [--waiting 1200] [--jobs 2000]

Runs the real process with a loopback Discord, which shares its cores. Targets on two cores: 99 % of
acknowledgements within 300 ms, or 400 ms with 1,200 jobs waiting, and memory that does not grow
with the number of finished jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.fakes.discord import Channel, LoopbackDiscord, Person
from tests.scenario.discord_bot import BotProcess

GUILDS = 40
PEOPLE = 3
"""People in each guild."""

ANSWER_SECONDS = 10.0

ROOMY = """
waiting_per_guild = 100000
waiting_per_user = 100000
waiting_total = 100000
"""
TIGHT = """
waiting_per_guild = 20
waiting_per_user = 10
waiting_total = 400
"""


class Crowd:
    """People in many guilds who send commands concurrently."""

    def __init__(self, discord: LoopbackDiscord) -> None:
        self._chance = random.Random(7)
        self._number = 0
        self.unanswered = 0
        """Number of commands without an acknowledgement within Discord's limit of 3 seconds."""
        self.seats: list[tuple[Person, Channel]] = []
        for number in range(GUILDS):
            guild = discord.add_guild(f"guild {number}")
            channel = discord.add_channel(guild, "general")
            for index in range(PEOPLE):
                self.seats.append((discord.add_person(f"p{number}.{index}", guild), channel))

    async def type(self, rate: float, count: int, **options: object) -> list[float]:
        """Send commands at a steady rate; returns the milliseconds to each acknowledgement."""
        loop = asyncio.get_running_loop()
        begun, milliseconds = loop.time(), []
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / rate - loop.time()))
                tasks.create_task(self._one(milliseconds, options))
        return milliseconds

    async def _one(self, milliseconds: list[float], options: dict[str, object]) -> None:
        person, channel = self._chance.choice(self.seats)
        self._number += 1
        started = time.perf_counter()
        asked = person.slash(channel, "generate", prompt=f"a fox {self._number}", **options)
        try:
            await asked.acknowledged(ANSWER_SECONDS)
        except TimeoutError:
            self.unanswered += 1
            return
        milliseconds.append(1000 * (time.perf_counter() - started))


def memory_mb(bot: BotProcess) -> float:
    """Return the resident memory of the bot in MB, without its children."""
    mine = bot.processes()
    parents = {process.pid for process in mine}
    [main] = [process for process in mine if process.ppid() not in parents]
    return float(psutil.Process(main.pid).memory_info().rss) / 2**20


def row(name: str, milliseconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(milliseconds, n=100)
    return f"{name:34}{cuts[49]:>10.0f}{cuts[94]:>10.0f}{cuts[98]:>10.0f}"


async def measured(arguments: argparse.Namespace, directory: Path) -> None:
    async with LoopbackDiscord() as discord:
        crowd = Crowd(discord)
        bot = BotProcess(directory, discord)
        config = directory / "config.toml"
        config.write_text(config.read_text().replace(TIGHT, ROOMY))
        await bot.start()
        try:
            await discord.bot_ready(120)
            short = {"resolution": "360p", "frames": 49}
            print(f"{'acknowledgements, ms':34}{'p50':>10}{'p95':>10}{'p99':>10}")
            count = int(arguments.rate * arguments.seconds)
            told = await crowd.type(arguments.rate, count, **short)
            print(row(f"{arguments.rate:.0f} commands a second", told))
            waiting = max(0, arguments.waiting - count)
            await crowd.type(2 * arguments.rate, waiting, **short)
            told = await crowd.type(arguments.rate, count, **short)
            print(row(f"the same, over {arguments.waiting:,} waiting", told))
            print(f"unanswered: {crowd.unanswered}")
        finally:
            await bot.close()


async def memory(arguments: argparse.Namespace, directory: Path) -> None:
    async with LoopbackDiscord() as discord:
        crowd = Crowd(discord)
        bot = BotProcess(directory, discord)
        config = directory / "config.toml"
        steps = "step_seconds = 0.01\nsteps = 4"
        quick = "step_seconds = 0.0\nsteps = 1"
        config.write_text(config.read_text().replace(TIGHT, ROOMY).replace(steps, quick))
        await bot.start()
        try:
            await discord.bot_ready(120)
            print(f"\n{'jobs made':>12}{'memory, MB':>12}")
            made, clips = 0, Clips(discord)
            while made < arguments.jobs:
                await crowd.type(20, 250, resolution="360p", frames=1)
                made += 250 - crowd.unanswered
                crowd.unanswered = 0
                await discord.until(functools.partial(clips.reached, made), 900, "all clips")
                print(f"{made:>12,}{memory_mb(bot):>12.1f}", flush=True)
        finally:
            await bot.close()


class Clips:
    """Counter of finished files in threads, which reads each message once."""

    def __init__(self, discord: LoopbackDiscord) -> None:
        self._messages = discord.world.messages
        self._seen = self._count = 0

    def reached(self, count: int) -> bool:
        """Return whether at least `count` files were posted."""
        fresh = self._messages[self._seen :]
        self._seen += len(fresh)
        self._count += sum(bool(message.files) for message in fresh if message.channel.parent)
        return self._count >= count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--waiting", type=int, default=1200)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--only", choices=["acknowledgements", "memory"])
    parser.add_argument("--keep", type=Path, help="directory for data and log")
    arguments = parser.parse_args()
    for name, part in (("acknowledgements", measured), ("memory", memory)):
        if arguments.only in {None, name}:
            with tempfile.TemporaryDirectory() as scratch:
                directory = (arguments.keep or Path(scratch)) / name
                directory.mkdir(parents=True, exist_ok=True)
                asyncio.run(part(arguments, directory))


if __name__ == "__main__":
    main()
