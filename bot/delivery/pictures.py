"""Pictures of cards: previews of running jobs, posters of finished ones, sheets of batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from commands.text.batch_cards import pick_shown_job
from inference.domain.errors import EngineError
from inference.domain.job import Job, JobState
from inference.store.artifacts import Artifacts
from inference.store.outbox_requests import FEWEST

_log = structlog.get_logger(__name__)


class Pictures:
    """Makes pictures of finished jobs, and finds those of running ones."""

    def __init__(self, artifacts: Artifacts, *, previews: bool) -> None:
        """Wire it up.

        Args:
            artifacts: The files of jobs.
            previews: Whether stills of a running job may be shown: they are not moderated.
        """
        self._artifacts = artifacts
        self._previews = previews

    async def of_card(self, job: Job, together: Sequence[Job] = ()) -> Path | None:
        """Return the picture of a job's card, or of its batch's card."""
        shown = pick_shown_job(together) if together else job
        if shown.removed_at is not None:
            return None
        if shown.state is JobState.RUNNING:
            open_to_all = self._previews and not shown.verdict.reasons
            return self._artifacts.preview(shown) if open_to_all else None
        return await asyncio.to_thread(self._of_finished, together or (job,))

    async def sheet(self, jobs: Sequence[Job]) -> Path | None:
        """Return one picture of a batch's unflagged results; None for fewer than two."""
        return await asyncio.to_thread(self._sheet, jobs)

    def _of_finished(self, jobs: Sequence[Job]) -> Path | None:
        if len(jobs) == 1:
            return self._poster(jobs[0]) if jobs[0].state is JobState.DONE else None
        return self._sheet(jobs) or next(iter(self._posters(jobs).values()), None)

    def _sheet(self, jobs: Sequence[Job]) -> Path | None:
        posters = self._posters(jobs)
        if len(posters) < FEWEST:
            return None
        from inference.media.stills import write_numbered  # noqa: PLC0415 - not at each start

        target = self._artifacts.sheet(next(job for job in jobs if job.number in posters))
        try:
            write_numbered(posters, target)
        except (EngineError, OSError) as error:
            _log.warning("delivery.no_sheet", job=jobs[0].id, error=type(error).__name__)
            return None
        return target

    def _posters(self, jobs: Sequence[Job]) -> dict[int, Path]:
        """Return the posters of a batch's unflagged results, by number."""
        made = [job for job in jobs if job.state is JobState.DONE and job.removed_at is None]
        return {
            job.number: poster
            for job in made
            if not job.verdict.reasons and (poster := self._poster(job)) is not None
        }

    def _poster(self, job: Job) -> Path | None:
        """Return the poster of a finished job, made at the first time; None without its file."""
        poster, file = self._artifacts.poster(job), self._artifacts.find_finished(job)
        if file is None or poster.is_file():
            return None if file is None else poster
        from inference.media.stills import write_poster  # noqa: PLC0415 - not at each start

        try:
            write_poster(file, poster)
        except (EngineError, OSError) as error:
            _log.warning("delivery.no_poster", job=job.id, error=type(error).__name__)
            return None
        return poster
