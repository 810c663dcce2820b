"""Actions on videos, as functions of a call, shared by the routes and the tools of MCP."""

from __future__ import annotations

from bot.http.videos.option_values import passes_for
from bot.http.videos.video_json import status_of
from commands.actions import Action
from commands.context import Call
from commands.handlers import queue, repeat
from commands.parsing.flags import ParsedRequest, parse
from commands.parsing.quotes import escape
from commands.results import Accepted
from inference.domain.errors import NotFound, UserError
from inference.domain.job import Job, is_job_id
from inference.jobs.service import JobService


def job_id(given: str) -> str:
    """Return the canonical form of a job id.

    Raises:
        NotFound: `job.unknown`: it cannot be one.
    """
    wanted = given.upper()
    if not is_job_id(wanted):
        raise NotFound("job.unknown", job=given[:32])
    return wanted


async def find(call: Call, video: str) -> Job:
    """Return a job that the caller may see and that was not deleted.

    Raises:
        NotFound: `job.unknown`.
    """
    job = await call.job(job_id(video))
    if job.removed_at is not None:
        raise NotFound("job.unknown", job=job.id)
    return job


async def find_finished(call: Call, video: str) -> Job:
    """Return such a job that has made its file.

    Raises:
        NotFound: `job.unknown`.
        UserError: `http.not_finished`, or `http.not_made`: it never will.
    """
    job = await find(call, video)
    status = status_of(job)
    if status == "failed":
        raise UserError("http.not_made", job=job.id)
    if status != "completed":
        raise UserError("http.not_finished", job=job.id)
    return job


async def extend(call: Call, job: Job, *, prompt: str | None, seconds: str | None) -> Accepted:
    """Queue a clip that goes on from a finished one.

    Args:
        call: Who asks.
        job: What is gone on from.
        prompt: What happens from then on, if that is not said already.
        seconds: How much is added; as much as one pass of the job by default.

    Raises:
        UserError: It cannot be gone on from.
    """
    known = call.installation
    typed: ParsedRequest | None = None if prompt is None else parse(escape(prompt), known.options)
    passes = None
    if seconds is not None:
        passes = passes_for(float(seconds), known.model(job.spec.model), extending=True)
    words = None if typed is None else typed.prompt
    return await repeat.repeat_job(call, job, Action.EXTEND, prompt=words, passes=passes)


async def delete(call: Call, job: Job, jobs: JobService) -> None:
    """Delete a job in any state, with its files; one whose file is being finished, after that.

    Raises:
        UserError: `job.not_yours`, or `http.ending`: that takes longer.
    """
    queue.check_owner(call, job)
    try:
        job = await queue.wait_until_posted(call, job)
    except UserError as error:
        raise UserError("http.ending", job=job.id) from error
    if not await jobs.discard(job.id, tenant=call.channel.tenant):
        raise UserError("http.ending", job=job.id)
