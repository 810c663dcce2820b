"""Preparation of accepted jobs: image download, moderation, prompt refinement.

Durable and resumable: every step can be done again, so a job found in `preparing` after a restart
simply starts over. Each kind of work has a separate concurrency limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import EngineError, RushesError, UserError
from inference.domain.job import ASSISTANT, Job
from inference.domain.verdict import Verdict
from inference.jobs.durable_write import end_job, failure_of, write_with_retry
from inference.jobs.input_files import ImageCleaner, Images, ImageSource, InputFiles
from inference.jobs.prompt_refinement import UNANSWERED, PromptRefinement
from inference.retries import backoff
from inference.safety.guard import ModerationGuard, ModeratorScope
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore

CHECKS = 8
"""Prompts that are moderated at once, here and by a service, and as many images."""

WRITES = 8
"""Jobs whose state is changed at once."""

MACHINE_TRIES = 8
"""Of a job that meets faults of this machine, before it fails: over a minute and a half."""

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0
"""Between these tries."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Request:
    """A batch while its jobs are being prepared."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    images: Images = field(default_factory=dict)


class Preparer:
    """Prepares accepted jobs and queues them."""

    def __init__(
        self,
        *,
        store: JobStore,
        artifacts: Artifacts,
        cleaner: ImageCleaner,
        sources: Mapping[str, ImageSource],
        prompt_refinement: PromptRefinement,
        guard: ModerationGuard,
        ready: Callable[[Job], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Wire it up.

        Args:
            store: Where the transitions happen.
            artifacts: Where the images go.
            cleaner: Decodes untrusted images.
            sources: Platform name -> where its images come from.
            prompt_refinement: Works prompts out.
            guard: Judges words and images.
            ready: Called with every job that is now queued (`Dispatcher.enqueue_or_fail`).
            clock: Paces the tries while the disk takes nothing.
        """
        self._store = store
        self._artifacts = artifacts
        self._input_files = InputFiles(
            store=store, artifacts=artifacts, cleaner=cleaner, sources=sources
        )
        self._prompt_refinement = prompt_refinement
        self._guard = guard
        self._ready = ready
        self._clock = clock
        self._arrivals: asyncio.Queue[Job] = asyncio.Queue()
        self._requests: WeakValueDictionary[str, _Request] = WeakValueDictionary()
        """Those that are being prepared, by the job that has the card."""
        self._texts = {scope: asyncio.Semaphore(CHECKS) for scope in ModeratorScope}
        self._images = {scope: asyncio.Semaphore(CHECKS) for scope in ModeratorScope}
        self._writes = asyncio.Semaphore(WRITES)

    def add(self, job: Job) -> None:
        """Add an accepted job, new or found after a restart.

        Those that were asked for together are prepared, and queued, in the order of their coming.
        """
        self._arrivals.put_nowait(job)

    async def run(self) -> None:
        """Prepare jobs concurrently, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                job = await self._arrivals.get()
                request = self._requests.setdefault(job.card_of, _Request())
                tasks.create_task(self._serve(job.id, request), name=f"preparing-{job.id}")

    async def _serve(self, job_id: str, request: _Request) -> None:
        """Bring a job to its next state when its turn has come."""
        async with request.turn:
            try:
                await self._bring_in_line(job_id)
            except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
                log_bug(_log, "job.preparing_bug", error, job=job_id)
                await self._fail(job_id, error)

    async def _fail(self, job_id: str, error: Exception) -> None:
        failure = failure_of(error, job_id)
        await end_job(lambda: self._store.fail(job_id, failure), job_id, self._clock)

    async def _bring_in_line(self, job_id: str) -> None:
        async with self._writes:
            job = await self._write(lambda: self._begun(job_id))
        if job is None or job.ended:
            return
        try:
            prepared = await self._prepared_unless_ended(job)
        except UserError as error:
            _log.info("job.refused", job=job.id, code=error.code)
            failure = failure_of(error, job.id)
            if await self._write(lambda: self._store.refuse(job.id, failure)):
                await asyncio.to_thread(self._artifacts.remove, job.id)
        except RushesError as error:
            _log.warning("job.preparing_failed", job=job.id, code=error.code)
            await self._fail(job.id, error)
        else:
            if prepared is not None:
                async with self._writes:
                    await self._enqueue(prepared)

    async def _prepared_unless_ended(self, job: Job) -> Job | None:
        """Return the prepared job, or None for one that was cancelled or deleted meanwhile.

        Its files may have gone in the middle of a step, so whatever that step fails with means
        nothing.
        """
        try:
            prepared = await self._prepared(job)
        except Exception:
            if not await self._has_ended(job.id):
                raise
            return None
        return None if await self._has_ended(job.id) else prepared

    async def _has_ended(self, job_id: str) -> bool:
        """Return whether a job has ended; what a step still wrote for a deleted one goes."""
        job = await self._write(lambda: self._store.get(job_id))
        if job is None or job.removed_at is not None:
            await asyncio.to_thread(self._artifacts.remove, job_id)
        return job is None or job.ended

    async def _prepared(self, job: Job) -> Job:
        """Return the job as it will be rendered; a fault of the machine is not the job's."""
        for failures in range(MACHINE_TRIES - 1):
            try:
                return await self._prepare(job)
            except EngineError as error:
                if not error.transient or await self._has_ended(job.id):
                    raise
                _log.warning("job.preparing_later", job=job.id, code=error.code)
                await self._clock.sleep(
                    backoff(
                        failures,
                        first=FIRST_RETRY_SECONDS,
                        longest=LONGEST_RETRY_SECONDS,
                        jitter=0.0,  # the limits on what runs at once spread the tries
                    )
                )
        return await self._prepare(job)

    async def _enqueue(self, job: Job) -> None:
        """Queue a prepared job, or put it in review until its requester approves it."""
        if job.review and (job.made_to_fit or job.origins.get("prompt") == ASSISTANT):
            await self._write(lambda: self._store.review(job))
            return
        queued = await self._write(
            lambda: self._store.enqueue(job.id, spec=job.spec, verdict=job.verdict)
        )
        if queued is not None:
            await self._ready(queued)

    async def _begun(self, job_id: str) -> Job | None:
        """Return the job in `preparing`, also when it was found there after a restart."""
        return await self._store.begin_preparing(job_id) or await self._store.get(job_id)

    async def _write(self, write: Callable[[], Awaitable[Job | None]]) -> Job | None:
        return await write_with_retry(write, self._clock)

    async def _prepare(self, job: Job) -> Job:
        """Return the job as it will be rendered: with its image, final prompt and verdict.

        Raises:
            UserError: The job must be refused, with the sentence for its requester.
        """
        request = self._requests.setdefault(job.card_of, _Request())
        job = await self._input_files.bring(job, request.images)
        job = replace(job, verdict=Verdict())
        # Locally denied prompts are sent neither to the assistant nor to hosted moderation.
        job = await self._judged(job, ModeratorScope.LOCAL)
        job = await self._refine(job)
        return await self._judged(job, ModeratorScope.HOSTED)

    async def _refine(self, job: Job) -> Job:
        """Refine the prompt, and store the result with the job at once."""
        refined = await self._refine_checked(job)
        if refined != job:
            await self._write(lambda: self._store.keep_refinement(refined))
        return refined

    async def _refine_checked(self, job: Job) -> Job:
        """Refine a prompt that passed moderation, and drop an answer that does not.

        What the person asked for is judged already: they are not refused for what somebody else
        made of it.
        """
        image = self._artifacts.input(job, job.spec.image)
        refined = await self._prompt_refinement.refine(job, image)
        if refined.spec.prompt != job.spec.prompt:
            verdict = await self._guard.judge_texts(
                (refined.spec.prompt,),
                tenant=job.tenant,
                flagged=job.output.flagged,
                scope=ModeratorScope.LOCAL,
            )
            if verdict.denied:
                _log.warning("job.refinement_denied", job=job.id)
                return replace(job, notes=(*job.notes, UNANSWERED))
            refined = replace(refined, verdict=refined.verdict.merge(verdict))
        return refined

    async def _judged(self, job: Job, scope: ModeratorScope) -> Job:
        """Return the job with the verdict on its texts, original and refined, and its image.

        Raises:
            UserError: `safety.prompt` or `safety.image`: it may not be made.
        """
        flagged = job.output.flagged
        async with self._texts[scope]:
            verdict = await self._guard.judge_texts(
                job.spec.wanted_words,
                unwanted=job.spec.unwanted_words,
                tenant=job.tenant,
                flagged=flagged,
                scope=scope,
            )
        if verdict.denied:
            raise UserError("safety.prompt", reason=verdict.reasons[0].value)
        started_from = (job.spec.image, job.spec.last)
        images = [self._artifacts.input(job, reference) for reference in started_from]
        for image in (*images, *self._artifacts.pictures(job).values()):
            if image is not None:
                async with self._images[scope]:
                    seen = await self._guard.judge_file(image, flagged=flagged, scope=scope)
                verdict = verdict.merge(seen)
        if verdict.denied:
            raise UserError("safety.image", reason=verdict.reasons[0].value)
        return replace(job, verdict=job.verdict.merge(verdict))
