"""The commands about jobs: /rushes queue, status, cancel, show."""

from __future__ import annotations

from commands.actions import Action
from commands.command import Command, Visibility
from commands.context import Call
from commands.handlers import job_status
from commands.options import JOB
from commands.parsing.values import label
from commands.policy.settings import QUEUE_PROMPTS, Prompts
from commands.policy.visibility import Sight, can_see, sight
from commands.text import cards
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.summary import dotted, quoted
from inference.domain.errors import NotFound, UserError
from inference.domain.job import Job, JobState
from inference.domain.verdict import Outcome
from inference.jobs.service import CancelOutcome
from inference.text import isolate

PARENT = "rushes"

MAX_LINES = 10
"""Jobs that the queue shows; how many more there are is said in words."""

LINE_LENGTH = 60
"""Characters of a prompt in the queue."""

_RUNNING = frozenset({JobState.RUNNING, JobState.FINISHING, JobState.DELIVERING})


async def queue(call: Call) -> Card:
    """Show the tenant's line, the running job first."""
    jobs = await call.jobs.waiting(call.channel.tenant)
    if not jobs:
        return cards.note("queue.empty", call.locale)
    hidden = (await call.rules()).value(QUEUE_PROMPTS) == Prompts.HIDDEN
    listed = jobs[:MAX_LINES]
    viewer = await call.viewer(listed)
    lines = [
        _queue_line(call, job, hidden=hidden and not call.caller.owns(job))
        if can_see(job, viewer)
        else _taken_line(call, job, named=sight(job, viewer) is Sight.ID)
        for job in listed
    ]
    if len(jobs) > MAX_LINES:
        lines.append((text("queue.more", call.locale, count=len(jobs) - MAX_LINES),))
    if call.jobs.paused:
        lines.append((text("card.paused", call.locale),))
    elif call.jobs.without_worker:
        lines.append((text("card.without_worker", call.locale),))
    if call.jobs.draining:
        lines.append((text("queue.draining", call.locale),))
    return Card(
        kind=CardKind.INFO,
        title=text("queue.title", call.locale, count=len(jobs)),
        lines=tuple(lines),
    )


async def status(call: Call) -> Card:
    """Show a job as it stands: the named one, or the caller's newest."""
    return job_status.status(call, await _named_or_newest(call))


async def show(call: Call) -> Card:
    """Bring a finished job's file again, or show how far an unfinished one is."""
    job = await _named_or_newest(call)
    if job.state is not JobState.DONE:
        return job_status.status(call, job)
    file = call.jobs.files(job)
    if file is None:
        raise UserError("job.files_expired", job=job.id)
    if _for_adults(job) and not call.channel.age_restricted:
        raise UserError("safety.age_restricted", job=job.id)
    capabilities = job_status.capabilities(job, call.installation)
    return cards.clip(job, file, call.locale, capabilities, measured=call.caller.owns(job))


async def cancel(call: Call) -> Card:
    """Cancel the named job, or the only one that the caller has in line."""
    if wanted_job(call):
        return await cancel_named(call)
    jobs = await call.jobs.waiting(call.channel.tenant)
    own = [job for job in jobs if job.requester.id == call.caller.id]
    if not own:
        raise NotFound("job.none_waiting")
    if len(own) > 1:
        raise UserError("job.which", jobs=[job.id for job in own])
    return await cancel_job(call, own[0])


async def cancel_named(call: Call) -> Card:
    """Cancel the named job.

    Raises:
        UserError: `value.missing`: none is named.
    """
    wanted = wanted_job(call)
    if not wanted:
        raise UserError("value.missing", option=label(JOB))
    return await cancel_job(call, await call.job(wanted, at_least=Sight.ID))


async def cancel_job(call: Call, job: Job) -> Card:
    """Cancel a job of the caller's tenant.

    Raises:
        UserError: `job.not_yours`: neither its requester nor an admin asks.
    """
    if not call.caller.owns(job):
        raise UserError("job.not_yours", name=isolate(job.requester.name))
    outcome = await call.jobs.cancel(job.id, tenant=call.channel.tenant)
    removable = outcome is CancelOutcome.TOO_LATE and call.jobs.files(job) is not None
    return cards.note(
        f"cancel.{outcome}",
        call.locale,
        job=job.id,
        buttons=cards.buttons(job, (Action.DELETE,) if removable else (), call.locale),
    )


async def remove_job(call: Call, job: Job) -> Card:
    """Take the finished file of a job of the caller's tenant back.

    Raises:
        UserError: `job.not_yours`, or `job.nothing_to_remove`.
    """
    if not call.caller.owns(job):
        raise UserError("job.not_yours", name=isolate(job.requester.name))
    if not await call.jobs.remove(job.id, tenant=call.channel.tenant):
        raise UserError("job.nothing_to_remove", job=job.id)
    return cards.note("remove.removed", call.locale, job=job.id)


def wanted_job(call: Call) -> str:
    """Return the job id that was given, as ids are written, or an empty text."""
    return str(call.options.get(JOB.name, call.text)).strip().lstrip("#").upper()


async def _named_or_newest(call: Call) -> Job:
    wanted = wanted_job(call)
    if wanted:
        return await call.job(wanted)
    newest = await call.jobs.recent(call.channel.tenant, call.caller.id, limit=1)
    if not newest:
        raise NotFound("job.none")
    return newest[0]


def _for_adults(job: Job) -> bool:
    """Return whether a job was flagged, and let through because of the channel it was made in."""
    return bool(job.verdict.reasons) and job.verdict.outcome is Outcome.ALLOW


def _queue_line(call: Call, job: Job, *, hidden: bool) -> Line:
    """Show a job's place, but of a hidden one neither prompt nor id: who has the id can see it."""
    key, _, where = _standing(call, job)
    line = text(
        key,
        call.locale,
        **where,
        prompt=text("queue.hidden", call.locale)
        if hidden
        else quoted(job.spec.own_words, LINE_LENGTH),
        name=isolate(job.requester.name),
    )
    return (line if hidden else dotted([line, job.id], call.locale),)


def _taken_line(call: Call, job: Job, *, named: bool) -> Line:
    """Show that a place is taken; `named` adds the id."""
    _, key, where = _standing(call, job)
    line = text(key, call.locale, **where)
    return (dotted([line, job.id], call.locale) if named else line,)


def _standing(call: Call, job: Job) -> tuple[str, str, dict[str, float]]:
    """Return what is said of a job that may be seen and of one that may not, and the numbers."""
    if job.state in _RUNNING:
        return "queue.running", "queue.private.running", {}
    place = call.jobs.position(job.id)
    if place is None:
        return "queue.preparing", "queue.private.preparing", {}
    where = {"position": place.position, "start": place.start_in}
    return "queue.waiting", "queue.private.waiting", where


COMMANDS = (
    Command(parent=PARENT, name="queue", handler=queue, visibility=Visibility.CALLER),
    Command(
        parent=PARENT,
        name="status",
        handler=status,
        options=(JOB,),
        visibility=Visibility.CALLER,
    ),
    Command(
        parent=PARENT,
        name="cancel",
        handler=cancel,
        options=(JOB,),
        visibility=Visibility.CALLER,
    ),
    Command(
        parent=PARENT,
        name="show",
        handler=show,
        options=(JOB,),
        visibility=Visibility.CALLER,
    ),
)
