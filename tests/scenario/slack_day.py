"""A scripted day on a loopback Slack: `python -m tests.scenario.slack_day`. Some minutes long.

Many workspaces, two of them with a channel in common; people who ask in every way there is; a Slack
that refuses, forgets and repeats; and a bot that is killed in between. Each accepted job has to
bring its clip once, in the thread of its card, with the token of the right team.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.fakes.slack import Faults, LoopbackSlack, Person, Workspace
from tests.fakes.slack.model import Channel
from tests.scenario.slack_bot import Mode, SlackBot, declared
from tests.scenario.slack_people import Customer
from tests.scenario.slack_verdict import Asked, Verdict, ended, judge, traces

KINDS = ("slash_commands", "interactive", "events_api")

ACTS_AT_ONCE = 4
"""People whose hands are on the keyboard; the others wait for their clips."""

LOOK_SECONDS = 0.3
"""Between two looks at what was brought."""

CARD_SECONDS = 20.0
"""After that, what was not certainly heard was not heard."""

CLIP_SECONDS = 300.0

DAY_SECONDS = 3600.0

OUTAGE_SECONDS = 60.0
"""In which a broken connection has to be replaced."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long a day is, and how bad."""

    workspaces: int
    people: int
    jobs: int
    drops: int
    kills: int
    faults: Faults
    seed: int = 7
    mode: Mode = "socket"
    strict: bool = False
    """Whether Slack waits three real seconds for a modal, which a busy machine may miss."""

    @classmethod
    def full(cls, *, seed: int, mode: Mode) -> Plan:
        """Return a whole day."""
        return cls(
            workspaces=10,
            people=60,
            jobs=300,
            drops=5,
            kills=2,
            seed=seed,
            mode=mode,
            strict=True,
            faults=_bad(seed),
        )

    @classmethod
    def short(cls, mode: Mode = "socket") -> Plan:
        """Return a morning, for every run of the tests.

        Uploads are completed without trouble: the bot looks for half a minute whether a clip is
        there before it shares it again.
        """
        faults = _bad(7)
        faults.spared += r"|files\.completeUpload"
        return cls(workspaces=3, people=9, jobs=27, drops=1, kills=1, mode=mode, faults=faults)


def _bad(seed: int) -> Faults:
    return Faults(
        ratelimited=0.02,
        server_errors=0.005,
        internal_errors=0.005,
        lost_answers=0.005,
        slow=0.02,
        redelivered=0.03,
        doubled_views=0.1,
        seed=seed,
    )


class Day:
    """One day; see `run`."""

    def __init__(self, plan: Plan, slack: LoopbackSlack, bot: SlackBot) -> None:
        self._plan = plan
        self._slack = slack
        self._bot = bot
        self._dice = random.Random(plan.seed)
        self._hands = asyncio.Semaphore(ACTS_AT_ONCE)
        self._running = asyncio.Lock()
        self._kills: list[float] = []
        self._asked: list[Asked] = []
        self._done: set[str] = set()
        """Words of what was brought."""
        self._carded: set[str] = set()
        self.left_over: list[int] = []
        self.outages: list[float] = []
        """Seconds without a connection, after each broken one."""
        self.offices: list[Workspace] = []
        self.customers: list[Customer] = []

    async def run(self) -> list[Asked]:
        """Let everybody ask, and wait for what they get."""
        await self._bot.start()
        await self._move_in()
        numbers = range(self._plan.jobs)
        turns = [numbers[i :: len(self.customers)] for i in range(len(self.customers))]
        async with asyncio.TaskGroup() as meanwhile:
            watching = meanwhile.create_task(self._look())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._storm())
                for customer, mine in zip(self.customers, turns, strict=True):
                    group.create_task(self._spend(customer, mine))
            await self._settled()
            watching.cancel()
        for asked in self._asked:
            if any(asked.at <= kill <= asked.done_at for kill in self._kills):
                asked.doubt = asked.doubt or "the bot was killed"
        return self._asked

    # -- people ------------------------------------------------------------------------------

    async def _move_in(self) -> None:
        plan, slack = self._plan, self._slack
        self.offices = [slack.add_team(f"office{n}") for n in range(plan.workspaces)]
        people: dict[str, list[Person]] = {}
        for number in range(plan.people):
            office = self.offices[number % plan.workspaces]
            person = office.add_user(f"person{number}", locale=("en-US", "ko-KR")[number % 2])
            people.setdefault(office.id, []).append(person)
        for office in self.offices:
            await slack.install(office, people[office.id][0], f"{self._bot.url}/install")
        first, second, *_ = self.offices
        both = people[first.id] + people[second.id]
        common = first.add_channel("common", *both, shared_with=[second])
        for office in self.offices:
            staff = people[office.id]
            channels = [
                office.add_channel("general", *staff),
                office.add_channel("private", *staff, kind="private"),
                *([common] if office in {first, second} else []),
            ]
            self.customers += [self._customer(person, channels) for person in staff]

    def _customer(self, person: Person, channels: list[Channel]) -> Customer:
        dice = random.Random(self._dice.random())
        return Customer(person=person, channels=channels, dice=dice)

    async def _spend(self, customer: Customer, numbers: range) -> None:
        for number in numbers:
            for attempt in "abc":
                async with self._hands:
                    await self._there()
                    asked = await customer.ask(f"fox{number:04d}{attempt}")
                self._asked.append(asked)
                if asked.doubt is None:
                    break
            await self._brought(asked)

    async def _there(self) -> None:
        """Wait until the bot is there: people see when it is not."""
        async with self._running:
            if self._plan.mode == "socket":
                await self._slack.connected(OUTAGE_SECONDS)

    async def _brought(self, asked: Asked) -> None:
        if await _comes_true(lambda: asked.words in self._carded, CARD_SECONDS):
            await _comes_true(lambda: asked.words in self._done, CLIP_SECONDS)

    async def _look(self) -> None:
        """Keep track of what was brought, for all who wait at once."""
        while True:
            for job in traces(self._slack).values():
                for word in job.words:
                    if word.startswith("fox"):
                        self._carded.add(word)
                        if ended(job):
                            self._done.add(word)
            await asyncio.sleep(LOOK_SECONDS)

    async def _settled(self) -> None:
        """Wait until all jobs that anybody saw a card of are over, and redeliveries too."""
        await _comes_true(
            lambda: all(ended(job) for job in traces(self._slack).values()), CLIP_SECONDS
        )
        await asyncio.sleep(2 * LOOK_SECONDS)

    # -- weather -----------------------------------------------------------------------------

    async def _storm(self) -> None:
        """Drop sockets and kill the bot, spread over the day."""
        plan = self._plan
        drops = plan.drops if plan.mode == "socket" else 0
        disasters = [*["drop"] * drops, *["kill"] * plan.kills]
        self._dice.shuffle(disasters)
        for number, disaster in enumerate(disasters, start=1):
            due = plan.jobs * number // (len(disasters) + 1)
            await _comes_true(partial(self._have_asked, due), DAY_SECONDS)
            if disaster == "drop":
                await self._drop()
                continue
            async with self._running:
                self._kills.append(time.monotonic())
                self.left_over += await self._bot.kill()
                await self._bot.start()

    def _have_asked(self, number: int) -> bool:
        return len(self._asked) >= number

    async def _drop(self) -> None:
        """Break the line, and note how long it takes the bot to call again."""
        socket, at = self._slack.socket, time.monotonic()
        before = socket.opened
        socket.drop()
        await self._slack.until(lambda: socket.opened > before, OUTAGE_SECONDS)
        self.outages.append(time.monotonic() - at)


async def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:  # noqa: ASYNC110 - a look at the whole world
        await asyncio.sleep(LOOK_SECONDS)
    return true


@contextlib.asynccontextmanager
async def _open(plan: Plan, directory: Path) -> AsyncIterator[tuple[LoopbackSlack, SlackBot]]:
    async with LoopbackSlack(application=await declared(plan.mode), faults=plan.faults) as slack:
        slack.world.strict = plan.strict
        bot = SlackBot(directory, slack, mode=plan.mode)
        try:
            yield slack, bot
        finally:
            await bot.close()


async def live(plan: Plan, directory: Path, console: Console | None = None) -> Verdict:
    """Live through a day and judge it."""
    async with _open(plan, directory) as (slack, bot):
        day = Day(plan, slack, bot)
        asked = await day.run()
        status = await bot.stop()
        verdict = judge(slack, asked)
        if status != 0:
            verdict.problems.append(f"the bot ended with {status}")
        if left := [*day.left_over, *await bot.left_over()]:
            verdict.problems.append(f"processes left over: {left}")
        offices = {office.id: office for office in day.offices}
        secrets = [
            (offices[one.by.user.team.id], one.words) for one in asked if not one.channel.shared
        ]
        verdict.problems += slack.leaks(secrets)
        if console is not None:
            _tell(console, slack, verdict, asked)
            console.print(f"seconds without a connection: {[round(s, 1) for s in day.outages]}")
    return verdict


def _tell(console: Console, slack: LoopbackSlack, verdict: Verdict, asked: list[Asked]) -> None:
    for line in (*verdict.unheard, *verdict.problems):
        console.print(line, markup=False)
    console.print(
        f"{verdict.asked} asked ({dict(Counter(one.how for one in asked))}), "
        f"{verdict.accepted} accepted, {verdict.delivered} delivered once, "
        f"{verdict.repeated_cards} cards repeated"
    )
    for kind in (None, *KINDS):
        half, nearly_all = (
            round(1000 * slack.acknowledgement_seconds(share, kind=kind)) for share in (0.5, 0.99)
        )
        what = kind or "all"
        console.print(f"{what}: acknowledged in {half} ms (median), {nearly_all} ms (99 %)")
    console.print(f"chat.update {slack.busiest_minute('chat.update')} times in the busiest minute")
    console.print(f"answers other than success: {dict(slack.errors())}")


def main() -> int:
    """Live through a whole day; return 1 if anything was wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--http", action="store_true", help="signed requests, not Socket Mode")
    parser.add_argument("--short", action="store_true", help="a morning only")
    parser.add_argument("--keep", type=Path, help="directory for data and logs")
    options = parser.parse_args()
    console = Console(highlight=False, width=120)
    console.print(f"seed {options.seed}")
    started = time.monotonic()
    mode: Mode = "http" if options.http else "socket"
    plan = Plan.short(mode) if options.short else Plan.full(seed=options.seed, mode=mode)
    with tempfile.TemporaryDirectory() as scratch:
        verdict = asyncio.run(live(plan, options.keep or Path(scratch), console))
    console.print(f"{time.monotonic() - started:.0f} s")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
