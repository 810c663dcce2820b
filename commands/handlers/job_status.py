"""Status of a job for its card: position, progress, and what its model can do."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from commands.context import Call
from commands.installation import Installation
from commands.jobs import Read
from commands.text import batch_cards, cards
from commands.text.card import Card
from commands.text.cards import JobStatus
from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.domain.job import Job

_log = structlog.get_logger(__name__)


def describe_state(job: Job, jobs: Read, clock: Clock) -> JobStatus:
    """Return the status of a job at this moment."""
    return JobStatus(
        now=clock.now(),
        queued=jobs.position(job.id),
        progress=jobs.progress(job.id),
        outlook=jobs.outlook(job),
        slot=jobs.slot(job.id),
        paused=jobs.paused,
        without_worker=jobs.without_worker,
    )


def capabilities(job: Job, installation: Installation) -> Capabilities | None:
    """Return the capabilities of a job's model, or None when it is no longer installed."""
    try:
        return installation.model(job.spec.model)
    except UserError:
        return None
    except Exception as error:  # noqa: BLE001 - a plugin's: its clip is shown without them
        log_bug(_log, "model.unusable", error, job=job.id)
        return None


def card(
    jobs: Sequence[Job], known: Read, installation: Installation, clock: Clock, locale: str
) -> Card:
    """Show the current status of a job, or of its batch."""
    statuses = [describe_state(job, known, clock) for job in jobs]
    model = capabilities(jobs[0], installation)
    if len(jobs) > 1:
        return batch_cards.batch(jobs, statuses, locale, model)
    return cards.status(jobs[0], statuses[0], locale, model)


def status(call: Call, *jobs: Job) -> Card:
    """Show a job, or its batch, in the caller's language."""
    return card(jobs, call.jobs, call.installation, call.clock, call.locale)


async def find_jobs_of_card(known: Read, job: Job) -> list[Job]:
    """Return the job of an id, or the whole batch where the id is that of its card."""
    return await known.together(job) if job.id == job.card_of else [job]
