"""Compares what people asked for on a loopback Slack with what they saw there in the end."""

from __future__ import annotations

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from inference.domain.errors import RushesError
from inference.media.provenance import read_recipe
from tests.fakes.slack import LoopbackSlack, Person
from tests.fakes.slack.model import Channel, File, Message

UPDATES_A_MINUTE = 50
"""Of messages in one workspace, for all its jobs together."""

_BUTTON = re.compile(r"v1:\w+:(\w+)")
"""How a button says what it does, and to which job."""


@dataclass(kw_only=True)
class Asked:
    """One thing that somebody asked for."""

    by: Person
    how: str
    words: str
    """In the prompt of this one only, and of what was made from it once more."""
    channel: Channel
    at: float
    """Monotonic seconds."""
    done_at: float = 0.0
    """When they had said it all."""
    doubt: str | None = None
    """Why it may not have been heard."""


@dataclass(kw_only=True)
class Verdict:
    """What came of a day."""

    asked: int = 0
    accepted: int = 0
    delivered: int = 0
    repeated_cards: int = 0
    """Cards that were posted again because nobody knew whether they were."""
    unheard: list[str] = field(default_factory=list)
    """What made no job, with the reason that excuses it."""
    problems: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Traces:
    """What was seen of one job."""

    cards: list[Message] = field(default_factory=list)
    clips: list[Message] = field(default_factory=list)
    """Messages with a file that was made for it."""
    others: list[Message] = field(default_factory=list)
    """What else was said of it: the buttons under the clip, or how it failed."""

    @property
    def words(self) -> list[str]:
        """All that its cards ever said."""
        return " ".join(card.words for card in self.cards).split()

    @property
    def messages(self) -> list[Message]:
        """All of them, each once."""
        return list(dict.fromkeys([*self.cards, *self.clips, *self.others]))


def traces(slack: LoopbackSlack) -> dict[str, Traces]:
    """Return what was seen of every job, by its id."""
    found: defaultdict[str, Traces] = defaultdict(Traces)
    for message in slack.world.messages():
        if message.bot_id is None or message.only_for:
            continue
        for file in message.files:
            found[_made_for(file)].clips.append(message)
        told = message.metadata["event_payload"] if message.metadata else {}
        if told.get("kind") == "card":
            found[told["job"]].cards.append(message)
        else:
            for job in {_BUTTON.sub(r"\1", button["action_id"]) for button in message.buttons}:
                found[job].others.append(message)
    return dict(found)


def ended(job: Traces) -> bool:
    """Return whether people got all of a job: the buttons come last."""
    return bool(job.others)


def judge(slack: LoopbackSlack, asked: Iterable[Asked]) -> Verdict:
    """Judge a day that is over, by what the witness saw alone."""
    verdict = Verdict(problems=[f"violation: {text}" for text in slack.violations])
    jobs = traces(slack)
    unclaimed = set(jobs)
    pings: Counter[str] = Counter()
    wishes: defaultdict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        wishes[one.words].append(one)
    for words, wish in wishes.items():
        mine = {job: seen for job, seen in jobs.items() if words in seen.words}
        unclaimed -= mine.keys()
        pings[wish[0].by.id] += len(mine)
        verdict.asked += len(wish)
        verdict.accepted += len(mine)
        if len(mine) < len(wish):
            verdict.unheard += [f"{one.how}, {words}: {one.doubt}" for one in wish if one.doubt]
        sure = sum(one.doubt is None for one in wish)
        if not sure <= len(mine) <= len(wish):
            hows = ", ".join(one.how for one in wish)
            verdict.problems.append(f"{hows}, {words}: {len(mine)} of {len(wish)} jobs")
        for job, seen in mine.items():
            verdict.repeated_cards += len(seen.cards) - 1
            problems = list(_problems(seen, wish[0]))
            verdict.delivered += not problems
            verdict.problems += [f"{wish[0].how}, {words}, {job}: {text}" for text in problems]
    verdict.problems += [f"nobody asked for {job}" for job in sorted(unclaimed)]
    if astray := _pings(slack) - pings:
        verdict.problems.append(f"pings too many: {dict(astray)}")
    if (most := slack.busiest_minute("chat.update")) > UPDATES_A_MINUTE:
        verdict.problems.append(f"chat.update {most} times in a minute")
    return verdict


def _pings(slack: LoopbackSlack) -> Counter[str]:
    """Count how often the bot notified everybody."""
    said = (message for message in slack.world.messages() if message.bot_id is not None)
    return Counter(person for message in said for person in message.pings)


def _problems(seen: Traces, asked: Asked) -> Iterator[str]:
    team = asked.by.user.team
    for message in seen.messages:
        if message.channel is not asked.channel:
            yield f"a message in {message.channel.name or message.channel.kind}"
        if message.team is not team or any(file.team is not team for file in message.files):
            yield f"a message with the token of {message.team.name}"
    pings = [ping for message in seen.messages for ping in message.pings]
    if pings != [asked.by.id]:
        yield f"pings: {pings}"
    if len(seen.clips) != 1:
        last = seen.cards[-1].words
        yield f"{len(seen.clips)} clips, and the card says {last!r}"
    if not seen.others:
        yield "no buttons under the clip"
    threads = {card.thread_ts or card.ts for card in seen.cards}
    if any(message.thread_ts not in threads for message in (*seen.clips, *seen.others)):
        yield "the clip is not in the thread of its card"


@cache
def _made_for(file: File) -> str:
    """Return the job that a file says it was made for."""
    with tempfile.NamedTemporaryFile(suffix=Path(file.name).suffix) as copy:
        copy.write(file.data or b"")
        copy.flush()
        try:
            return str(read_recipe(Path(copy.name))["job"])
        except (RushesError, KeyError) as error:
            return f"{file.name}: {error!r}"
