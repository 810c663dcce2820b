"""Looks up what a card needs to know besides the job."""

from __future__ import annotations

import structlog

from commands.context import Call, Jobs
from commands.installation import Installation
from commands.text import cards
from commands.text.card import Card
from commands.text.cards import Standing
from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import UserError
from inference.domain.job import Job
from inference.engines.base import Capabilities

_log = structlog.get_logger(__name__)


def standing(job: Job, jobs: Jobs, clock: Clock) -> Standing:
    """Return where a job stands at this moment."""
    return Standing(
        now=clock.now(),
        place=jobs.position(job.id),
        progress=jobs.progress(job.id),
        seconds_left=jobs.seconds_left(job.id),
        paused=jobs.paused,
        without_worker=jobs.without_worker,
    )


def capabilities(job: Job, installation: Installation) -> Capabilities | None:
    """Return what the job's model can do, or None when it is no longer installed."""
    try:
        return installation.model(job.spec.model)
    except UserError:
        return None
    except Exception as error:  # noqa: BLE001 - a plugin's: its clip is shown without them
        log_bug(_log, "model.unusable", error, job=job.id)
        return None


def status(call: Call, job: Job) -> Card:
    """Show a job as it stands, in the language of the caller."""
    return cards.status(
        job,
        standing(job, call.jobs, call.clock),
        call.locale,
        capabilities(job, call.installation),
    )
