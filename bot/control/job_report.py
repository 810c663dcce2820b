"""Report on a job for the control socket: its card, and its posted file."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePath
from typing import Any

from bot.app import App
from bot.control.card_json import card_to_json
from bot.terminal.platform import NAME, TerminalPlatform
from commands.handlers import job_status
from commands.text import batch_cards, cards
from commands.text.card import Card
from inference.clock import SystemClock
from inference.domain.job import Job, JobState
from inference.domain.outbox import ActKind, Route

_UNMADE = frozenset({JobState.FAILED, JobState.REFUSED, JobState.EXPIRED})


async def job_report(app: App, job: Job, locale: str) -> dict[str, Any]:
    """Return the status of a job as JSON data, described by `bot.control.client.JobReport`."""
    jobs = app.core.jobs
    result, sheet = await _result(app, job, locale), await _sheet(app, job, locale)
    shown = await job_status.find_jobs_of_card(jobs, job)
    card = job_status.card(shown, jobs, app.services.installation, SystemClock(), locale)
    return {
        "id": job.id,
        "state": job.state.value,
        "settled": await _is_settled(app, job),
        "card": card_to_json(card),
        "result": result and card_to_json(result),
        "sheet": sheet and card_to_json(sheet),
        "together": [each.id for each in await jobs.together(job)],
    }


async def find_posted_file(app: App, job: Job) -> Path | None:
    """Return the posted file, which does not expire like the job's own."""
    if job.manifest is None:
        return None
    return await _in_thread(app, job, f"{job.id}{PurePath(job.manifest.name).suffix}")


async def _in_thread(app: App, job: Job, name: str) -> Path | None:
    terminal = app.platforms.get(NAME)
    if job.platform != NAME or not isinstance(terminal, TerminalPlatform):
        return None
    path = terminal.thread(job) / name
    return path if await asyncio.to_thread(path.is_file) else None


async def _result(app: App, job: Job, locale: str) -> Card | None:
    """Return the message that ended a job, as it was posted; None of a deleted one."""
    if job.removed_at is not None:
        return None
    if job.state in _UNMADE:
        return cards.failure(job, locale)
    if job.state is not JobState.DONE or job.manifest is None:
        return None
    file = await find_posted_file(app, job) or app.core.jobs.files(job)
    if file is None:
        return None
    capabilities = job_status.capabilities(job, app.services.installation)
    return cards.clip(job, file, locale, capabilities)


async def _sheet(app: App, job: Job, locale: str) -> Card | None:
    """Return the posted sheet of a batch's stills."""
    if job.batch is None:
        return None
    together = await app.core.jobs.together(job)
    file = await _in_thread(app, job, batch_cards.sheet_name(together))
    return None if file is None else batch_cards.sheet(together, file, locale)


async def _is_settled(app: App, job: Job) -> bool:
    """Return whether a job has ended and its result, if any, is posted."""
    if not job.ended:
        return False
    told = await app.core.outbox.get(job.id, ActKind.NOTICE)
    sheet = await app.core.outbox.get(job.card_of, ActKind.SHEET)
    return all(act is None or act.shown > 0 or act.route is Route.KEPT for act in (told, sheet))
