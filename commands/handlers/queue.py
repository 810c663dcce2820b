"""The commands about jobs: /rushes queue, status, cancel, show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from commands.actions import Action
from commands.context import Call, Command, rushes_command
from commands.handlers import job_status
from commands.handlers.arguments import incomplete_error
from commands.jobs import Read
from commands.options import JOB
from commands.policy.settings import QUEUE_PROMPTS, PromptVisibility
from commands.policy.visibility import JobAccess, can_see, find_job_access
from commands.text import cards, job_buttons, replies
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.summary import isolate_prompt, join_facts
from inference.domain.errors import NotFound, UserError
from inference.domain.job import Job, JobState
from inference.domain.untrusted_text import isolate
from inference.domain.verdict import Outcome
from inference.jobs.service import CancelOutcome

MAX_LINES = 10
"""Jobs that the queue shows; how many more there are is said in words."""

LINE_LENGTH = 60
"""Characters of a prompt in the queue."""

_TOLD = (CancelOutcome.CANCELLING, CancelOutcome.CANCELLED, CancelOutcome.TOO_LATE)
"""Order in which one of several outcomes is chosen for the answer."""

_POSTING = frozenset({JobState.FINISHING, JobState.DELIVERING})

_RUNNING = _POSTING | {JobState.RUNNING}

POSTED_SECONDS = 2.0
"""How long a press waits for a result that is being posted."""


async def queue(call: Call) -> Card:
    """Show the tenant's queue, the running job first."""
    jobs = await call.jobs.waiting(call.channel.tenant)
    standstill = [(text(key, call.locale),) for key in _standstill(call.jobs)]
    others = not standstill and call.jobs.waits_for_others(call.channel.tenant)
    if not jobs and not standstill:
        return replies.note("queue.empty_here" if others else "queue.empty", call.locale)
    hidden = (await call.rules()).value(QUEUE_PROMPTS) == PromptVisibility.HIDDEN
    listed = jobs[:MAX_LINES]
    viewer = await call.viewer(listed)
    lines = [
        _queue_line(call, job, hidden=hidden and not call.caller.owns(job))
        if can_see(job, viewer)
        else _taken_line(call, job, named=find_job_access(job, viewer) is JobAccess.ID)
        for job in listed
    ]
    if len(jobs) > MAX_LINES:
        lines.append((text("queue.more", call.locale, count=len(jobs) - MAX_LINES),))
    if others:
        lines.append((text("queue.others", call.locale),))
    return Card(
        kind=CardKind.INFO,
        title=text("queue.title", call.locale, count=len(jobs)),
        lines=(*lines, *standstill),
    )


def _standstill(jobs: Read) -> Iterator[str]:
    """Yield the messages about why nothing starts, or nothing new is accepted."""
    if jobs.paused:
        yield "card.paused"
    elif jobs.without_worker:
        yield "card.without_worker"
    if jobs.draining:
        yield "queue.draining"


async def status(call: Call) -> Card:
    """Show the status of a job: the named one, or the caller's newest."""
    job = await _find_named_or_newest(call)
    return job_status.status(call, *await job_status.find_jobs_of_card(call.jobs, job))


async def show(call: Call) -> Card:
    """Post a finished job's file again, or show the progress of an unfinished one."""
    job = await _find_named_or_newest(call)
    if job.state is not JobState.DONE or job.removed_at is not None:
        return job_status.status(call, *await job_status.find_jobs_of_card(call.jobs, job))
    file = call.jobs.files(job)
    if file is None:
        raise UserError("job.files_expired", job=job.id)
    check_shown(call, job)
    capabilities = job_status.capabilities(job, call.installation)
    return cards.clip(job, file, call.locale, capabilities, measured=call.caller.owns(job))


async def cancel(call: Call) -> Card:
    """Cancel the named job, or the only one that the caller has in the queue."""
    if read_job_id(call):
        return await cancel_named(call)
    jobs = await call.jobs.waiting(call.channel.tenant)
    own = [job for job in jobs if job.requester.id == call.caller.id]
    if not own:
        raise NotFound("job.none_waiting")
    asked = {job.card_of: job for job in reversed(own)}
    if len(asked) > 1:
        return _ambiguous_error(call, dict(reversed(asked.items())))
    return await cancel_job(call, own[0])


def _ambiguous_error(call: Call, asked: Mapping[str, Job]) -> Card:
    """Return the error for an ambiguous cancel, with the command for each job."""
    card = replies.error(UserError("job.which"), call.locale)
    lines = [
        (
            join_facts(
                [f"/rushes cancel {name}", isolate_prompt(job.spec.own_words, LINE_LENGTH)],
                call.locale,
            ),
        )
        for name, job in asked.items()
    ]
    more = len(lines) - MAX_LINES
    rest = [(text("queue.more", call.locale, count=more),)] if more > 0 else []
    return replace(card, lines=(*card.lines, *lines[:MAX_LINES], *rest))


async def cancel_named(call: Call) -> Card:
    """Cancel the named job.

    Raises:
        UserError: `command.incomplete`: no job is named.
    """
    wanted = read_job_id(call)
    if not wanted:
        raise incomplete_error(JOB)
    return await cancel_job(call, await call.job(wanted, at_least=JobAccess.ID))


async def cancel_job(call: Call, job: Job) -> Card:
    """Cancel a job of the caller's tenant; the first also stands for those asked for with it.

    Raises:
        UserError: `job.not_yours`: neither its requester nor an admin asks.
    """
    check_owner(call, job)
    meant = await job_status.find_jobs_of_card(call.jobs, job)
    outcomes = [  # the last one first, so that none begins meanwhile
        await call.jobs.cancel(each.id, tenant=call.channel.tenant) for each in reversed(meant)
    ]
    rest = CancelOutcome.TOO_LATE in outcomes and len(set(outcomes)) > 1
    outcome = next(one for one in _TOLD if one in outcomes)
    removable = outcome is CancelOutcome.TOO_LATE and call.jobs.files(job) is not None
    named = [job.id] if rest or len(meant) == 1 else [each.id for each in meant]
    return replies.note(
        "cancel.rest" if rest else f"cancel.{outcome}",
        call.locale,
        job=text("list.separator", call.locale).join(named),
        count=len(named),
        buttons=job_buttons.buttons(job, (Action.DELETE,) if removable else (), call.locale),
    )


async def remove_job(call: Call, job: Job) -> Card:
    """Delete the posted file of a job of the caller's tenant.

    Raises:
        UserError: `job.not_yours`, `job.posting_now` or `job.nothing_to_remove`.
    """
    check_owner(call, job)
    job = await wait_until_posted(call, job)
    if not await call.jobs.remove(job.id, tenant=call.channel.tenant):
        raise UserError("job.nothing_to_remove", job=job.id)
    return replies.note("remove.removed", call.locale, job=job.id)


async def ask_removal(call: Call, job: Job) -> Card:
    """Ask for confirmation of what `remove_job` does, unless that would refuse it.

    Raises:
        UserError: `job.not_yours` or `job.nothing_to_remove`.
    """
    check_owner(call, job)
    if job.removed_at is not None or (job.ended and job.state is not JobState.DONE):
        raise UserError("job.nothing_to_remove", job=job.id)
    return job_buttons.confirmation(job.id, call.locale)


async def wait_until_posted(call: Call, job: Job) -> Job:
    """Return a job once its result is posted: people press as soon as they see the message.

    Raises:
        UserError: `job.posting_now`: it takes longer.
    """
    [job] = await call.jobs.wait_past([job], _POSTING, seconds=POSTED_SECONDS)
    if job.state in _POSTING:
        raise UserError("job.posting_now", job=job.id)
    return job


def check_owner(call: Call, job: Job) -> None:
    """Check that a job is the caller's, or that the caller may manage all jobs.

    Raises:
        UserError: `job.not_yours`.
    """
    if not call.caller.owns(job):
        raise UserError("job.not_yours", name=isolate(job.requester.name))


def read_job_id(call: Call) -> str:
    """Return the job id that was given, as ids are written, or an empty text."""
    return str(call.options.get(JOB.name, call.text)).strip().lstrip("#").upper()


async def _find_named_or_newest(call: Call) -> Job:
    wanted = read_job_id(call)
    if wanted:
        return await call.job(wanted)
    newest = await call.jobs.recent(call.channel.tenant, call.caller.id, limit=1)
    if not newest:
        raise NotFound("job.none")
    return newest[0]


def check_shown(call: Call, job: Job) -> None:
    """Check that a finished file may be shown in the channel of the call.

    Raises:
        UserError: `safety.age_restricted`.
    """
    if _for_adults(job) and not call.channel.age_restricted:
        raise UserError("safety.age_restricted", job=job.id)


def _for_adults(job: Job) -> bool:
    """Whether a flagged job was allowed because its channel is age-restricted."""
    return bool(job.verdict.reasons) and job.verdict.outcome is Outcome.ALLOW


def _queue_line(call: Call, job: Job, *, hidden: bool) -> Line:
    """Show a queued job; of a hidden one neither prompt nor id: who has the id can see it."""
    key, _, where = _position_texts(call, job)
    line = text(
        key,
        call.locale,
        **where,
        prompt=text("queue.hidden", call.locale)
        if hidden
        else isolate_prompt(job.spec.own_words, LINE_LENGTH),
        name=isolate(job.requester.name),
    )
    return _add_place(call, job, line, named=not hidden)


def _taken_line(call: Call, job: Job, *, named: bool) -> Line:
    """Show that a place is taken; `named` adds the id."""
    _, key, where = _position_texts(call, job)
    line = text(key, call.locale, **where)
    return _add_place(call, job, line, named=named)


def _add_place(call: Call, job: Job, line: str, *, named: bool) -> Line:
    """Add where a job runs, if there are several slots, and its id."""
    slot = call.jobs.slot(job.id)
    where = [] if slot is None else [text("card.slot", call.locale, slot=slot)]
    return (join_facts([line, *where, *([job.id] if named else [])], call.locale),)


def _position_texts(call: Call, job: Job) -> tuple[str, str, dict[str, float]]:
    """Return the message keys for a visible and for a hidden job, and their values."""
    if job.state is JobState.RUNNING and job.cancel_requested_at is not None:
        return "queue.cancelling", "queue.private.running", {}
    if job.state in _RUNNING:
        return "queue.running", "queue.private.running", {}
    queued = call.jobs.position(job.id)
    if queued is None:
        return "queue.preparing", "queue.private.preparing", {}
    where = {"position": queued.position, "start": queued.start_in}
    return "queue.waiting", "queue.private.waiting", where


def commands() -> tuple[Command, ...]:
    """Return the commands of this module."""
    return (
        rushes_command(name="queue", handler=queue),
        rushes_command(name="status", handler=status, options=(JOB,)),
        rushes_command(name="cancel", handler=cancel, options=(JOB,)),
        rushes_command(name="show", handler=show, options=(JOB,)),
    )
