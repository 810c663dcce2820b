"""JSON of jobs, compatible with `Video` of OpenAI's clients."""

from __future__ import annotations

from typing import Any

from bot.http.api_command_names import HTTP, ApiNames
from bot.platform import Services
from commands.handlers import job_status
from commands.installation import Installation
from commands.jobs import Read
from commands.options import PROMPT
from commands.schema import Kind
from commands.text.job_lines import unknown_in
from commands.text.messages import member_text
from inference.domain.job import UNPREPARED, Failure, Job, JobState

QUEUED = frozenset({JobState.ACCEPTED, JobState.PREPARING, JobState.REVIEW, JobState.QUEUED})
UNDER_WAY = frozenset({JobState.RUNNING, JobState.FINISHING, JobState.DELIVERING})


def status_of(job: Job) -> str:
    """Return the state of a job in OpenAI's words."""
    if job.state in QUEUED:
        return "queued"
    if job.state in UNDER_WAY:
        return "in_progress"
    return "completed" if job.state is JobState.DONE else "failed"


def video_json(
    job: Job, services: Services, *, locale: str, files_seconds: float, names: ApiNames = HTTP
) -> dict[str, Any]:
    """Return a job as OpenAI's `Video`, with what we know besides under `rushes`.

    Args:
        job: The job.
        services: Know where it stands, and its model.
        locale: Of the sentence that says what went wrong.
        files_seconds: How long finished files are kept.
        names: Of the protocol.
    """
    jobs, installation = services.jobs, services.installation
    status = status_of(job)
    done = status == "completed"
    ended = None if job.ended_at is None else int(job.ended_at)
    return {
        "id": job.id,
        "object": "video",
        "created_at": int(job.created_at),
        "completed_at": ended if done else None,
        "expires_at": int(job.ended_at + files_seconds) if done and job.ended_at else None,
        "model": job.spec.model,
        "prompt": job.spec.own_words,
        "seconds": f"{job.spec.seconds:.4g}",
        "size": _size(job, installation),
        "status": status,
        "progress": 100 if done else _percent(job, jobs),
        "error": _error(job, installation, locale, names) if status == "failed" else None,
        "remixed_from_video_id": job.parent,
        "rushes": _ours(job, jobs, installation, locale),
    }


def notes(job: Job, installation: Installation, locale: str) -> list[str]:
    """Return notes for the requester about a job's prompt, once it can no longer change."""
    if job.verdict.reasons or (job.state in UNPREPARED and job.spec.refine):
        return []
    known = job_status.capabilities(job, installation)
    said = unknown_in(job.spec.prompt, locale, known)
    return [] if said is None else [said]


def _ours(job: Job, jobs: Read, installation: Installation, locale: str) -> dict[str, Any]:
    ours: dict[str, Any] = {"state": job.state.value}
    queued = jobs.position(job.id)
    if queued is not None:
        ours |= {"position": queued.position, "starts_in": round(queued.start_in, 1)}
    if (outlook := jobs.outlook(job)) is not None:
        ours["seconds_left"] = round(outlook.seconds_left, 1)
    if job.spec.original is not None:
        ours["refined_prompt"] = job.spec.prompt
    if said := notes(job, installation, locale):
        ours["notes"] = said
    values = {
        option.name: job.spec.value(option.name)
        for option in installation.options.order
        if option is not PROMPT and option.kind is not Kind.IMAGE
    }
    return ours | {name: value for name, value in values.items() if value is not None}


def _size(job: Job, installation: Installation) -> str:
    if job.manifest is not None:
        return f"{job.manifest.width}x{job.manifest.height}"
    known = job_status.capabilities(job, installation)
    size = None if known is None else known.sizes.get((job.spec.resolution, job.spec.aspect))
    return str(size or f"{job.spec.resolution} {job.spec.aspect}")


def _percent(job: Job, jobs: Read) -> int:
    outlook = jobs.outlook(job)
    return 0 if outlook is None else min(99, int(100 * outlook.fraction))


def _error(job: Job, known: Installation, locale: str, names: ApiNames) -> dict[str, Any]:
    if job.state is JobState.CANCELLED:
        failure = Failure(code="job.cancelled")
    else:
        failure = job.failure or Failure(code="internal", params={"job": job.id})
    return {"code": failure.code, "message": names.say(member_text(failure, locale), known.options)}
