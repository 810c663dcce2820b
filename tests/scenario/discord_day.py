"""A server day on a loopback Discord: `python -m tests.scenario.discord_day`.

Guilds full of people use the real bot process in every way there is, while connections drop, a
share of all requests fails, and the process is killed. The verdict is that of the witness.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import io
import math
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from rich.console import Console

from inference.store.maintenance import DATABASE_NAME
from tests.fakes.discord import (
    CannotAsk,
    Channel,
    ChannelKind,
    File,
    Guild,
    Interaction,
    LoopbackDiscord,
    Message,
    Person,
)
from tests.fakes.discord.rate_limits import THREAD_ROUTES, THREADS
from tests.scenario.discord_bot import BotProcess
from tests.scenario.discord_verdict import ELSEWHERE, Verdict, jobs, judge

ANSWER_SECONDS = 3.0
"""After this a person reads that the application did not respond, and asks again."""

PATIENCE = 30
"""How often a person asks again."""

END_SECONDS = 60.0
"""From the last command, or the end of a job after it, to the end of the next one."""

DEEDS = {
    "generate": 30,
    "still": 25,
    "photo": 8,
    "menu": 4,
    "reroll": 8,
    "edit": 6,
    "info": 4,
    "cancel": 6,
    "look": 6,
    "complete": 3,
}
"""What people do, by how often."""


SHORT: dict[str, object] = {"resolution": "360p", "frames": 49}
"""Keeps the renderer from being what the day waits for."""


SHARES = (0.5, 0.95, 0.99)
"""Of the acknowledgements and of the waits, in the report."""

PROMPT_SECONDS = 60.0
"""From the end of the last render to the arrival of the last clip."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How big a day is, and how bad."""

    guilds: int
    people: int
    commands: int
    drops: int
    kills: int
    pace: float = 8.0
    """Commands per second, about."""
    trouble: float = 0.03
    """Share of requests that end in 5xx or 429."""
    lost: float = 0.01
    """Share of requests that are acted on and never answered."""
    threads: int = 50
    """New threads that a channel allows in its window."""
    seed: int = 6


@dataclass(kw_only=True)
class Day:
    """What happens on one day."""

    discord: LoopbackDiscord
    plan: Plan
    done: int = 0
    """Commands that got their answer."""
    repeated: int = 0
    """Commands that a person had to give again."""
    not_offered: Counter[str] = field(default_factory=Counter)
    """What a person's client did not let them do."""
    given_up: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Seconds from the end of each render to the arrival of its clip, sorted."""
    counts: Counter[str] = field(default_factory=Counter)
    takes: int = 0

    async def live(self) -> None:
        """Let everybody do what they want to do."""
        chance = random.Random(self.plan.seed)
        share, rest = divmod(self.plan.commands, self.plan.people)
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.plan.guilds):
                guild = self.discord.add_guild(f"guild {number}")
                places = self._channels(guild)
                for index in range(number, self.plan.people, self.plan.guilds):
                    person = self.discord.add_person(f"p{index}", guild)
                    deeds = chance.choices(
                        [*DEEDS], weights=[*DEEDS.values()], k=share + (index < rest)
                    )
                    somebody = Somebody(
                        day=self, person=person, places=places, chance=random.Random(index)
                    )
                    tasks.create_task(somebody.live(deeds))

    def _channels(self, guild: Guild) -> list[Channel]:
        add = self.discord.add_channel
        general, forum = add(guild, "general"), add(guild, "ideas", ChannelKind.FORUM)
        owner = self.discord.owner(guild)
        return [
            general,
            add(guild, "clips"),
            add(guild, "news", ChannelKind.ANNOUNCEMENT),
            add(guild, "stage", ChannelKind.VOICE),
            self.discord.thread_of(owner, general, "a thread of people"),
            self.discord.thread_of(owner, forum, "a post"),
        ]

    def reached(self, commands: int) -> bool:
        """Return whether so many commands got their answer."""
        return self.done >= commands

    async def settled(self) -> None:
        """Wait until people have seen the end of everything.

        Raises:
            TimeoutError: Nothing goes on.
        """
        while left := self._open():
            went_on = functools.partial(self._went_on, left)
            await self.discord.until(went_on, END_SECONDS, f"the end of {left}")

    def _went_on(self, left: set[str]) -> bool:
        return self._open() != left

    def _open(self) -> set[str]:
        return {job.id for job in jobs(self.discord).values() if not job.ended}


@dataclass(kw_only=True)
class Somebody:
    """One person's day."""

    day: Day
    person: Person
    places: list[Channel]
    chance: random.Random
    cards: list[Message] = field(default_factory=list)

    async def live(self, deeds: list[str]) -> None:
        """Do one thing after the other, as people do."""
        for deed in deeds:
            plan = self.day.plan
            await asyncio.sleep(self.chance.uniform(0.0, 2 * plan.people / plan.pace))
            await getattr(self, f"_{deed}")()
            self.day.done += 1
            self.day.counts[deed] += 1
            self.day.discord.world.bell.ring()

    async def _ask(self, use: Callable[[], Interaction]) -> Interaction | None:
        """Do something until the application responds."""
        discord = self.day.discord
        for _ in range(PATIENCE):
            await discord.until(lambda: discord.gateway.ready, 60, "bot connected")
            try:
                interaction = use()
            except CannotAsk as reason:  # such as a button that went away meanwhile
                self.day.not_offered[str(reason)] += 1
                return None
            try:
                await interaction.acknowledged(ANSWER_SECONDS)
            except TimeoutError:
                self.day.repeated += 1
            else:
                return interaction
        self.day.given_up.append(f"{self.person.user.name}: {interaction.what}")
        return None

    def _prompt(self) -> str:
        self.day.takes += 1
        animal = self.chance.choice(["fox", "whale", "heron", "bear"])
        return f"a *{animal}* <@1> in the snow by {self.person.user.name}, take {self.day.takes}"

    def _place(self) -> Channel:
        anywhere = [*self.places, *self.places[:2], self.person.direct]
        return self.chance.choice(anywhere)

    async def _render(self, command: str, **options: object) -> None:
        place = self._place()
        interaction = await self._ask(
            lambda: self.person.slash(place, command, prompt=self._prompt(), **options)
        )
        await self._keep(interaction)

    async def _keep(self, interaction: Interaction | None) -> None:
        """Remember the card that answers, if one does."""
        if interaction is None:
            return
        original = interaction.original
        if original is not None and original.visible_to is None and not original.loading:
            self.cards.append(original)

    async def _generate(self) -> None:
        aspect = self.chance.choice(["16:9", "9:16", "1:1"])
        await self._render("generate", aspect=aspect, **SHORT)

    async def _still(self) -> None:
        await self._render("image")

    async def _photo(self) -> None:
        await self._render("generate", image=_picture(self.chance), **SHORT)

    async def _menu(self) -> None:
        said = self.person.say(self.places[0], "look at this", _picture(self.chance))
        shown = await self._ask(lambda: self.person.context_menu(said, "Animate this image"))
        if shown is not None and shown.modal is not None:
            words = f"{self._prompt()} --res 360p --frames 49"
            await self._keep(await self._ask(lambda: self.person.submit(shown, prompt=words)))

    async def _look(self) -> None:
        verb = self.chance.choice(["queue", "history", "quota", "help"])
        await self._ask(lambda: self.person.slash(self._place(), f"rushes {verb}"))

    async def _complete(self) -> None:
        await self._ask(
            lambda: self.person.complete(self._place(), "generate", "model", "test", prompt="a")
        )

    async def _cancel(self) -> None:
        await self._render("generate")
        if self.cards:
            await self._ask(lambda: self.person.click(self.cards[-1], "Cancel"))

    async def _info(self) -> None:
        if (clip := await self._clip()) is not None:
            await self._ask(lambda: self.person.click(clip, "Info"))

    async def _reroll(self) -> None:
        if (clip := await self._clip()) is not None:
            await self._keep(await self._ask(lambda: self.person.click(clip, "Reroll")))

    async def _edit(self) -> None:
        if (clip := await self._clip()) is None:
            return
        shown = await self._ask(lambda: self.person.click(clip, "Edit"))
        if shown is not None and shown.modal is not None:
            edited = await self._ask(lambda: self.person.submit(shown, prompt=self._prompt()))
            await self._keep(edited)

    async def _clip(self) -> Message | None:
        """Return a clip of one's own, or ask for one."""
        mine = [m for m in self.day.discord.witness.pings(self.person.user) if m.files]
        if not mine:
            await self._still()
            return None
        return self.chance.choice(mine)


async def disturb(day: Day, bot: BotProcess) -> None:
    """Break connections and kill the process, evenly over the commands of the day."""
    gateway = day.discord.gateway
    drops: list[Callable[[], object]] = [
        gateway.drop,
        gateway.ask_to_reconnect,
        lambda: gateway.close(4000),
        gateway.drop,
        gateway.invalidate,
    ]
    events: list[tuple[float, Callable[[], object] | None]] = []
    events += [((n + 0.5) / day.plan.drops, drops[n % 5]) for n in range(day.plan.drops)]
    events += [((n + 0.7) / (day.plan.kills + 0.4), None) for n in range(day.plan.kills)]
    for at, drop in sorted(events, key=lambda event: event[0]):
        due = int(at * day.plan.commands)
        await day.discord.until(functools.partial(day.reached, due), 3600, f"{due} commands")
        await day.discord.until(lambda: gateway.ready, 60, "bot connected")
        if drop is not None:
            drop()
        else:
            await bot.kill()
            await bot.start()


async def run(plan: Plan, directory: Path) -> tuple[Day, Verdict]:
    """Let a day pass and judge it."""
    async with LoopbackDiscord() as discord:
        discord.world.strict = True
        bot = BotProcess(directory, discord)
        day = Day(discord=discord, plan=plan)
        try:
            await bot.start()
            await discord.bot_ready()
            discord.storm(plan.trouble, plan.seed)
            for route in THREAD_ROUTES:
                discord.api.limits.buckets[route] = (plan.threads, THREADS[1])
            discord.trouble("", times=math.inf, share=plan.lost, reset=True, taken=True)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(day.live())
                tasks.create_task(disturb(day, bot))
            stuck = None
            try:
                await day.settled()
            except TimeoutError as error:
                stuck = str(error)
            status = await bot.stop()
            verdict = judge(discord, kills=bot.kills)
            verdict.problems += await asyncio.to_thread(_late, directory, day)
            verdict.problems += [stuck] if stuck else []
            verdict.problems += [f"no answer to {what}" for what in day.given_up]
            if status != 0:
                verdict.problems.append(f"the last stop ended with {status}")
            if left := await bot.left_over():
                verdict.problems.append(f"processes left over: {left}")
        finally:
            await bot.close()
    return day, verdict


def _late(directory: Path, day: Day) -> list[str]:
    """Say what came late, by the bot's own books, which alone know when a render ended."""
    with contextlib.closing(sqlite3.connect(directory / "data" / DATABASE_NAME)) as books:
        clips = books.execute(
            "SELECT jobs.id, outbox.created_at, jobs.ended_at FROM outbox JOIN jobs"
            " ON jobs.id = outbox.job_id WHERE outbox.kind = 'clip'"
        ).fetchall()
    last = max((rendered for _, rendered, _ in clips), default=0.0)
    came = [(job, rendered, ended) for job, rendered, ended in clips if ended is not None]
    day.waits = sorted(ended - rendered for _, rendered, ended in came)
    return [
        f"{job}: came {ended - last:.0f} s after the last render"
        for job, _, ended in came
        if ended - last > PROMPT_SECONDS
    ]


def _elsewhere(discord: LoopbackDiscord) -> int:
    return sum(ELSEWHERE in message.text for message in discord.witness.messages)


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def report(day: Day, verdict: Verdict) -> str:
    """Say in a few lines what happened."""
    witness, gateway = day.discord.witness, day.discord.gateway
    latencies = [f"p{share * 100:.0f} {witness.latency(share) * 1000:.0f} ms" for share in SHARES]
    waits = [f"p{share * 100:.0f} {_share(day.waits, share):.1f} s" for share in SHARES]
    answers = Counter(f"{seen.status}/{seen.code}" for seen in witness.requests)
    told = Counter(message.text.partition("\n")[0] for message in day.discord.world.ephemeral)
    lines = [
        f"commands: {day.done} {dict(day.counts)}, given again: {day.repeated}",
        f"jobs: {verdict.accepted}, delivered {verdict.delivered}, cancelled {verdict.cancelled}",
        f"acknowledged: {', '.join(latencies)} of {len(witness.latencies)}",
        f"clips came: {', '.join(waits)} after their render, the last {_share(day.waits, 1):.1f} s",
        f"clips without their thread: {_elsewhere(day.discord)}",
        f"requests: {len(witness.requests)} {dict(answers)}",
        f"too late: {len(witness.dead_token_uses)}, left thinking by a kill: {verdict.thinking}",
        f"gateway: {gateway.identifies} identifies, {gateway.resumes} resumes",
        *(f"told {count} times: {text}" for text, count in told.most_common(5)),
        *(f"not offered {count} times: {text}" for text, count in day.not_offered.most_common(5)),
        *verdict.problems,
    ]
    return "\n".join(lines)


def _picture(chance: random.Random) -> File:
    data = io.BytesIO()
    colour = tuple(chance.randrange(256) for _ in range(3))
    Image.new("RGB", (96, 64), colour).save(data, "PNG")
    return File(name="picture.png", data=data.getvalue(), content_type="image/png")


def main() -> int:
    """Run a whole day, print what came of it, and return 1 unless nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guilds", type=int, default=20)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--commands", type=int, default=500)
    parser.add_argument("--drops", type=int, default=5)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--pace", type=float, default=8.0)
    parser.add_argument("--trouble", type=float, default=0.03)
    parser.add_argument("--lost", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="directory for data and log")
    options = vars(parser.parse_args())
    keep = options.pop("keep")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        directory = keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        day, verdict = asyncio.run(run(Plan(**options), directory))
    console = Console(highlight=False)
    console.print(report(day, verdict), markup=False, soft_wrap=True)
    console.print(f"{time.monotonic() - started:.0f} s")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
