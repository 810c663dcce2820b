"""What came of a day on Discord, judged by what people saw and by nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fakes.discord import ChannelKind, LoopbackDiscord, Message

WORDS = re.compile(r"by (?P<who>p\d+), take (?P<take>\d+)")
"""Part of every prompt: whose it is."""

_BUTTON = re.compile(r"v1:(?P<verb>\w+):(?P<job>[0-9A-Z]{8,26})")

ELSEWHERE = "Posted here because"
"""How a clip says that its channel allows no thread now."""

THINKING_SECONDS = 5.0
"""After this an answer that was announced is there, or the bot forgot it."""

THREADED = frozenset({ChannelKind.TEXT, ChannelKind.ANNOUNCEMENT})
"""Where clips go into the thread of their card."""


@dataclass(slots=True, kw_only=True)
class Job:
    """What people saw of one job."""

    id: str
    cards: list[Message] = field(default_factory=list)
    clips: list[Message] = field(default_factory=list)
    notices: list[Message] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether its card says that it was cancelled: it offers the same again."""
        return any(_verbs(card) == {"retry"} for card in self.cards)

    @property
    def ended(self) -> bool:
        """Whether nothing is to be waited for."""
        return bool(self.cards) and bool(self.stopped or self.clips or self.notices)


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Counts, and everything that is wrong in words."""

    accepted: int = 0
    delivered: int = 0
    cancelled: int = 0
    thinking: int = 0
    """Answers that were announced and never came, because the bot was killed meanwhile."""
    problems: list[str] = field(default_factory=list)


def jobs(discord: LoopbackDiscord) -> dict[str, Job]:
    """Return the jobs of which a public message was seen, by id."""
    seen = discord.witness.messages
    ids = {job for message in seen for _, job in _pressable(message)}
    ids |= {stem(message) for message in seen if stem(message)}
    found = {job: Job(id=job) for job in ids}
    for message in seen:
        job = found.get(stem(message))
        if job is not None:
            job.clips.append(message)
        else:
            for job in (found[each] for each in ids & _mentioned(message, ids)):
                told = _first_verbs(message) == {"retry", "info"}
                (job.notices if told else job.cards).append(message)
    return found


def judge(discord: LoopbackDiscord, kills: Sequence[float] = ()) -> Verdict:
    """Judge a day that is over.

    Args:
        discord: What people saw.
        kills: When the bot was killed; Unix seconds.
    """
    verdict = Verdict()
    found = jobs(discord)
    for job in found.values():
        verdict.accepted += bool(job.cards)
        problem = _problem(discord, job)
        if problem:
            verdict.problems.append(f"{job.id}: {problem}")
        elif job.clips:
            verdict.delivered += 1
        else:
            verdict.cancelled += 1
    mine = {id(m) for job in found.values() for m in (*job.cards, *job.clips, *job.notices)}
    for message in discord.world.messages:
        if message.loading and not message.deleted:
            forgiven = any(0 < kill - message.posted_at < THINKING_SECONDS for kill in kills)
            verdict.thinking += forgiven
            if not forgiven:
                verdict.problems.append(f"left thinking: {message.asked_by}")
    for message in discord.witness.messages:
        if id(message) not in mine and not message.loading:
            verdict.problems.append(f"belongs to no job: {message.text[:200]!r}")
    verdict.problems += [f"violation: {violation}" for violation in discord.violations]
    verdict.problems += [f"slip of the fake: {slip}" for slip in discord.api.slips]
    verdict.problems += [f"silly: {edits}" for edits in discord.witness.silly_edits]
    return verdict


def _problem(discord: LoopbackDiscord, job: Job) -> str | None:
    """Return what is wrong with what people saw of a job."""
    if len(job.cards) != 1:
        return f"{len(job.cards)} cards"
    [card] = job.cards
    owner = WORDS.search(card.text)
    if owner is None:
        return f"a card without its prompt: {card.text!r}"
    if job.notices or (job.clips and job.stopped) or len(job.clips) > 1 or not job.ended:
        told = [notice.text for notice in job.notices]
        return f"{len(job.clips)} clips, told {told}, and the card says {card.text!r}"
    seen = (card, *job.clips)
    pinged = [discord.world.users[user].name for message in seen for user in message.pings]
    if pinged != [owner["who"]] * len(job.clips):
        return f"for {owner['who']}, and {pinged} were notified"
    return _fault_of(job.clips[0], card, owner[0]) if job.clips else None


def _fault_of(clip: Message, card: Message, words: str) -> str | None:
    """Return what is wrong with a file that arrived."""
    place = card.thread if card.channel.kind in THREADED else card.channel
    instead = clip.channel is card.channel and ELSEWHERE in clip.text
    if clip.channel is not place and not instead:
        return f"the clip is in {clip.channel.name or 'a direct message'}"
    if not re.search(re.escape(words).encode() + rb"(?!\d)", clip.files[0].data):
        return "the clip is that of another prompt"
    return None


def stem(message: Message) -> str:
    """Return the job whose file a message brings; the picture of a card has another name."""
    for file in message.files:
        stem = file.name.rpartition(".")[0]
        if re.fullmatch(r"[0-9A-Z]{8,26}", stem):
            return stem
    return ""


def _pressable(message: Message) -> list[tuple[str, str]]:
    """Return verb and job of all buttons that a message ever had."""
    found = []
    for state in message.states:
        found += [(m["verb"], m["job"]) for m in _BUTTON.finditer(str(state.components))]
    return found


def _mentioned(message: Message, ids: set[str]) -> set[str]:
    words = set(re.findall(r"[0-9A-Z]{8,26}", f"{message.text} {message.states[0].embeds}"))
    return (words & ids) | {job for _, job in _pressable(message)}


def _verbs(message: Message) -> set[str]:
    return {m["verb"] for m in _BUTTON.finditer(str(message.components))}


def _first_verbs(message: Message) -> set[str]:
    return {m["verb"] for m in _BUTTON.finditer(str(message.states[0].components))}
