"""Edited messages: a waiting job takes the new words of the message that asked for it."""

from __future__ import annotations

from dataclasses import replace

from commands.command import Command
from commands.context import Call
from commands.handlers import generate, limits
from commands.options import IMAGE, LAST, SEED
from commands.resolve import CAPPED, Resolved
from commands.schema import Value
from commands.text import cards
from commands.text.card import Card
from inference.domain.job import ASSISTANT, LANGUAGE, MEMORY, RANDOM, TYPED, Job, JobState

_OVERRULED = frozenset({ASSISTANT, CAPPED, LANGUAGE, MEMORY})
"""Origins of values that are not what the requester asked for."""


async def rewrite(call: Call, command: Command, job: Job) -> Card | None:
    """Change a waiting job to what its edited message says now.

    Args:
        call: Who edited the message; `text` is what it says after the command.
        command: One of those that make something.
        job: What the message asked for before.

    Returns:
        What to tell the requester, or None where the edit changes nothing.

    Raises:
        UserError: What the message says now is not possible; the job is as it was.
    """
    options: dict[str, Value] = dict(call.options)
    brings_image = IMAGE.name in options
    for option in (IMAGE, LAST):  # files of a message do not change with its words
        if option.name in options:
            continue
        if (own := getattr(job.spec, option.name)) is not None:
            options[option.name] = own
    resolved, rules = await generate.resolve_request(replace(call, options=options), command)
    if resolved.origins.get(SEED.name) == job.origins.get(SEED.name) == RANDOM:
        resolved = replace(resolved, spec=replace(resolved.spec, seed=job.spec.seed))
    if not brings_image and _asked(resolved, job) == _asked(job, job):
        return None
    if job.state in {JobState.REVIEW, JobState.QUEUED}:
        call.installation.check(resolved.spec)
        revised = await call.jobs.revise(
            job.id,
            tenant=call.channel.tenant,
            spec=resolved.spec,
            origins=resolved.origins,
            quota=await limits.quota_of(call, rules),
        )
        if revised is not None:
            return cards.note("edit.revised", call.locale, job=job.id)
    return cards.note("edit.too_late", call.locale, job=job.id)


def _asked(request: Resolved | Job, job: Job) -> dict[str, object]:
    """Return the words and the typed options, apart from what was overruled for the job."""
    spec = request.spec
    ours = {name for name, origin in job.origins.items() if origin in _OVERRULED}
    typed = {name for name, origin in request.origins.items() if origin == TYPED} - ours
    files = {IMAGE.name, LAST.name}
    return {
        "prompt": spec.own_words,
        "mode": spec.mode,
        **{name: getattr(spec, name, None) for name in typed - files - {"refine"}},
        "refine": "refine" in typed,
    }
