"""Edited messages: a waiting job takes the new words of the message that asked for it."""

from __future__ import annotations

from dataclasses import replace

from commands.context import Call, Command
from commands.handlers import generate, repeat
from commands.option_set import OptionSet
from commands.options import SEED
from commands.results import Revised
from commands.specs.layers import CAPPED
from commands.specs.resolve import Resolved
from commands.text import replies
from commands.text.card import Card
from inference.domain.errors import UserError
from inference.domain.job import ASSISTANT, LANGUAGE, MEMORY, RANDOM, TYPED, WAITING, Job

_OVERRULED = frozenset({ASSISTANT, CAPPED, LANGUAGE, MEMORY})
"""Origins of values that are not what the requester asked for."""

PREPARED_SECONDS = 60.0
"""How long an edit waits for a job that is being prepared: it is not sent again."""


async def rewrite(call: Call, command: Command, job: Job) -> Card | Revised | None:
    """Change a waiting job to the new text of its message.

    Args:
        call: Who edited the message; `text` is what it says after the command.
        command: One of those that make something.
        job: What the message asked for before.

    Returns:
        What to tell the requester, or None where the edit changes nothing.

    Raises:
        UserError: What the message says now is not possible; the job is as it was.
    """
    job = await repeat.wait_until_prepared(call, job, seconds=PREPARED_SECONDS)
    known = call.installation.options
    brings_image = not known.pictures.isdisjoint(call.options)
    kept = repeat.references_of(call, job)  # files of a message do not change with its words
    resolved, rules = await generate.resolve_request(call, command, kept)
    if resolved.origins.get(SEED.name) == job.origins.get(SEED.name) == RANDOM:
        resolved = replace(resolved, spec=replace(resolved.spec, seed=job.spec.seed))
    together = await call.jobs.together(job)
    if resolved.count != len(together):
        raise UserError("edit.count")
    if not brings_image and _comparable_request(resolved, job, known) == _comparable_request(
        job, job, known
    ):
        return None
    if any(each.state in WAITING for each in together):
        call.installation.check(resolved.spec)
        revised = await repeat.revise(call, job, resolved, rules)
        if revised is not None:
            return revised
    return replies.note("edit.too_late", call.locale, job=job.id)


def _comparable_request(request: Resolved | Job, job: Job, known: OptionSet) -> dict[str, object]:
    """Return the words and the typed options, apart from what was overruled for the job."""
    spec = request.spec
    ours = {name for name, origin in job.origins.items() if origin in _OVERRULED}
    typed = {name for name, origin in request.origins.items() if origin == TYPED} - ours
    return {
        "prompt": spec.own_words,
        "mode": spec.mode,
        **{name: spec.value(name) for name in typed - known.pictures - {"refine"}},
        "refine": "refine" in typed,
    }
