"""Compares what people asked for on a loopback Slack with what they saw there in the end."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import RushesError
from inference.media.provenance import read_recipe
from tests.fakes.slack import LoopbackSlack, Person
from tests.fakes.slack.model import Channel, Message

_BUTTON = re.compile(r"v1:\w+:(\w+)")


@dataclass(kw_only=True)
class Asked:
    """One thing that somebody asked for."""

    by: Person
    how: str
    words: str
    """In the prompt of this one only."""
    channel: Channel
    at: float
    """Monotonic seconds."""
    jobs: int = 1
    """How many jobs it should make."""
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
    notices: list[Message] = field(default_factory=list)

    @property
    def words(self) -> str:
        """All that its cards ever said."""
        return "\n".join(card.words for card in self.cards)


def traces(slack: LoopbackSlack) -> dict[str, Traces]:
    """Return what was seen of every job, by its id."""
    found: defaultdict[str, Traces] = defaultdict(Traces)
    for message in slack.world.messages():
        if message.bot_id is None or message.only_for:
            continue
        payload = (message.metadata or {}).get("event_payload", {})
        if payload.get("kind") == "card":
            found[payload["job"]].cards.append(message)
        elif payload.get("kind") == "notice":
            found[payload["job"]].notices.append(message)
        elif message.files or payload.get("kind") == "clip":
            found[_job_of(message)].clips.append(message)
    return dict(found)


def ended(job: Traces) -> bool:
    """Return whether people were told how a job ended."""
    return bool(job.clips or job.notices)


def judge(slack: LoopbackSlack, asked: Iterable[Asked]) -> Verdict:
    """Judge a day that is over, by what the witness saw alone."""
    verdict = Verdict(problems=[f"violation: {text}" for text in slack.violations])
    jobs = traces(slack)
    unclaimed = set(jobs)
    for one in asked:
        verdict.asked += 1
        mine = {job: traces for job, traces in jobs.items() if one.words in traces.words.split()}
        unclaimed -= mine.keys()
        if len(mine) > one.jobs or (not one.doubt and len(mine) < one.jobs):
            verdict.problems.append(f"{one.how}, {one.words}: {len(mine)} of {one.jobs} jobs")
        if one.doubt and not mine:
            verdict.unheard.append(f"{one.how}, {one.words}: {one.doubt}")
        for job, seen in mine.items():
            verdict.accepted += 1
            verdict.repeated_cards += len(seen.cards) - 1
            problems = list(_problems(job, seen, one))
            verdict.delivered += not problems
            verdict.problems += [f"{one.how}, {one.words}, {job}: {text}" for text in problems]
    verdict.problems += [f"nobody asked for {job}" for job in sorted(unclaimed)]
    if (most := slack.busiest_minute("chat.update")) > 50:
        verdict.problems.append(f"chat.update {most} times in a minute")
    return verdict


def _problems(job: str, seen: Traces, asked: Asked) -> Iterator[str]:
    team = asked.by.user.team
    for card in seen.cards:
        if card.channel is not asked.channel:
            yield f"a card in {card.channel.name or card.channel.kind}"
        if card.team is not team:
            yield f"a card with the token of {card.team.name}"
    pings = [ping for m in (*seen.cards, *seen.clips, *seen.notices) for ping in m.pings]
    if pings != [asked.by.id]:
        yield f"pings: {pings}"
    if len(seen.clips) != 1:
        yield f"{len(seen.clips)} clips, {len(seen.notices)} notices: {seen.cards[-1].words!r}"
    else:
        yield from _problems_of_clip(job, seen, asked)


def _problems_of_clip(job: str, seen: Traces, asked: Asked) -> Iterator[str]:
    [clip], team = seen.clips, asked.by.user.team
    threads = {card.thread_ts or card.ts for card in seen.cards}
    if clip.thread_ts not in threads or clip.channel is not asked.channel:
        yield "the clip is not in the thread of its card"
    if clip.team is not team or any(file.team is not team for file in clip.files):
        yield f"the clip came with the token of {clip.team.name}"
    if len(clip.files) != 1:
        yield f"{len(clip.files)} files"
        return
    try:
        made_for = _recipe_job(clip.files[0].data or b"")
    except RushesError as error:
        yield f"the clip cannot be read: {error!r}"
        return
    if made_for != job:
        yield f"the clip is that of {made_for}"


def _recipe_job(data: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        return str(read_recipe(Path(file.name))["job"])


def _job_of(message: Message) -> str:
    """Return the job that a file belongs to, by the buttons under it."""
    ids = {m[1] for b in message.buttons if (m := _BUTTON.fullmatch(b["action_id"]))}
    return ids.pop() if len(ids) == 1 else f"? ({message.words!r})"
