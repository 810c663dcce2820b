"""Preparation of accepted jobs: image download, moderation, prompt refinement.

Durable and resumable: every step can be done again, so a job found in `preparing` after a restart
simply starts over. Each kind of work has a concurrency limit of its own, downloads one for each
platform and tenant, so that nobody waits for a server that hangs but those who need it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import EngineError, RushesError, UserError
from inference.domain.job import ASSISTANT, Job
from inference.domain.render import LATENTS_NAME
from inference.domain.verdict import Verdict
from inference.jobs.durable_write import end_job, failure_of, write_with_retry
from inference.jobs.prompt_refinement import UNANSWERED, PromptRefinement
from inference.media.atomic_files import part_file
from inference.safety.guard import Guard, ModeratorScope
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore

IMAGE_NAME = "image.png"
"""Artifact name of a prepared reference image."""

LAST_NAME = "last.png"
"""The same of the image that a clip ends with."""

PARENT_RESULT = "parent:result"
"""In `Spec.image`: the still that the job's parent made."""

PARENT_LATENTS = "parent:latents"
"""In `Spec.latents`: what was kept of the clip that the job's parent made."""

DOWNLOADS = 4
"""Downloads at once, of each platform."""

DOWNLOADS_OF_TENANT = 2
"""Of these, those of one tenant."""

DOWNLOAD_SECONDS = 180.0
"""Time limit of one download with all its retries: an endless one must end."""

CHECKS = 8
"""Prompts that are moderated at once, here and by a service, and as many images."""

WRITES = 8
"""Jobs whose state is changed at once."""

MACHINE_RETRY_SECONDS = (1, 5, 15, 60)
"""Waits after a fault of this machine, before the job is tried once more."""

_log = structlog.get_logger(__name__)


class ImageSource(Protocol):
    """Downloads reference images from a platform."""

    async def fetch(self, job: Job, image: str, target: Path) -> None:
        """Write the untrusted bytes of an image to `target`, within size limits.

        Args:
            job: Whose image it is.
            image: Where the platform keeps it: `Spec.image` or `Spec.last` of the job.
            target: The file to write.

        Raises:
            UserError: It is gone, too large, or not from the platform's own hosts.
        """
        ...


class ImageCleaner(Protocol):
    """Decodes untrusted images in a sandbox (`workers.media.MediaProcess`)."""

    async def clean_image(self, source: Path, target: Path) -> object:
        """Decode `source` and write a clean RGB PNG to `target`.

        Raises:
            UserError: It is not an image that can be used.
        """
        ...


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
        guard: Guard,
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
        self._cleaner = cleaner
        self._sources = sources
        self._prompt_refinement = prompt_refinement
        self._guard = guard
        self._ready = ready
        self._clock = clock
        self._arrivals: asyncio.Queue[str] = asyncio.Queue()
        self._downloads = {name: asyncio.Semaphore(DOWNLOADS) for name in sources}
        self._of_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """As long as somebody downloads or waits for it."""
        self._texts = {scope: asyncio.Semaphore(CHECKS) for scope in ModeratorScope}
        self._images = {scope: asyncio.Semaphore(CHECKS) for scope in ModeratorScope}
        self._writes = asyncio.Semaphore(WRITES)

    def add(self, job_id: str) -> None:
        """Add an accepted job, new or found after a restart."""
        self._arrivals.put_nowait(job_id)

    async def run(self) -> None:
        """Prepare jobs concurrently, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                job_id = await self._arrivals.get()
                tasks.create_task(self._serve(job_id), name=f"preparing-{job_id}")

    async def _serve(self, job_id: str) -> None:
        """Bring a job to its next state."""
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
            prepared = await self._prepared(job)
        except UserError as error:
            _log.info("job.refused", job=job.id, code=error.code)
            failure = failure_of(error, job.id)
            if await self._write(lambda: self._store.refuse(job.id, failure)):
                await asyncio.to_thread(self._artifacts.remove, job.id)
        except RushesError as error:
            _log.warning("job.preparing_failed", job=job.id, code=error.code)
            await self._fail(job.id, error)
        else:
            async with self._writes:
                await self._enqueue(prepared)

    async def _prepared(self, job: Job) -> Job:
        """Return the job as it will be rendered; a fault of the machine is not the job's."""
        for pause in MACHINE_RETRY_SECONDS:
            try:
                return await self._prepare(job)
            except EngineError as error:
                if not error.transient:
                    raise
                _log.warning("job.preparing_later", job=job.id, code=error.code)
                await self._clock.sleep(pause)
        return await self._prepare(job)

    async def _enqueue(self, job: Job) -> None:
        """Let a prepared job wait for the GPU, or for its requester's word on what it became."""
        if job.review and (job.made_to_fit or job.origins.get("prompt") == ASSISTANT):
            await self._write(lambda: self._store.review(job))
            return
        queued = await self._write(
            lambda: self._store.enqueue(job.id, spec=job.spec, image=job.image, verdict=job.verdict)
        )
        if queued is not None:
            await self._ready(queued)

    async def _begun(self, job_id: str) -> Job | None:
        """Return the job in `preparing`, also when it was found there after a restart."""
        return await self._store.begin_preparing(job_id) or await self._store.get(job_id)

    async def _write(self, write: Callable[[], Awaitable[Job | None]]) -> Job | None:
        return await write_with_retry(write, self._clock)

    async def _prepare(self, job: Job) -> Job:
        """Return the job as it will be rendered: image, last words, what the checks say of both.

        Raises:
            UserError: The job must be refused, with the sentence for its requester.
        """
        job = replace(await self._with_files(job), verdict=Verdict())
        # Locally denied prompts are sent neither to the assistant nor to hosted moderation.
        job = await self._judged(job, ModeratorScope.LOCAL)
        job = await self._refine(job)
        return await self._judged(job, ModeratorScope.HOSTED)

    async def _with_files(self, job: Job) -> Job:
        """Return the job with what it starts from lying in its own folder."""
        spec, folder = job.spec, self._artifacts.input_directory(job.id)
        if spec.image is None and spec.latents is None:
            return replace(job, image=None)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        if spec.image is not None:
            await self._bring_image(job, spec.image, folder / IMAGE_NAME)
            spec = replace(spec, image=IMAGE_NAME)
        if spec.last is not None:
            await self._bring_image(job, spec.last, folder / LAST_NAME)
            spec = replace(spec, last=LAST_NAME)
        if spec.latents is not None:
            await self._bring_latents(job, spec.latents, folder / LATENTS_NAME)
            spec = replace(spec, latents=LATENTS_NAME)
        return replace(job, spec=spec, image=spec.image)

    async def _refine(self, job: Job) -> Job:
        """Let the assistant at the prompt, and keep what came of it with the job at once."""
        refined = await self._refine_checked(job)
        if refined != job:
            await self._write(lambda: self._store.keep_refinement(refined))
        return refined

    async def _bring_image(self, job: Job, image: str, target: Path) -> None:
        """Put a clean reference image at `target`, wherever it comes from."""
        if image == target.name and await asyncio.to_thread(target.is_file):
            return  # prepared before: the job was edited in the queue, or found after a restart
        if job.parent is not None and image in {target.name, PARENT_RESULT}:
            await self._inherit(job, job.parent, image, target)
            return
        source = self._sources.get(job.platform)
        if source is None:
            raise UserError("image.fetch_failed")
        raw = target.with_name("source")
        own = self._of_tenant.setdefault(job.tenant, asyncio.Semaphore(DOWNLOADS_OF_TENANT))
        async with own, self._downloads[job.platform]:
            await _fetch(source, job, image, raw)
        await self._cleaner.clean_image(raw, target)
        await asyncio.to_thread(raw.unlink, missing_ok=True)

    async def _bring_latents(self, job: Job, latents: str, target: Path) -> None:
        """Put what the clip goes on from at `target`."""
        if latents == target.name and await asyncio.to_thread(target.is_file):
            return
        try:
            await self._inherit(job, job.parent or "", latents, target)
        except UserError as error:
            raise UserError("latents.expired") from error

    async def _refine_checked(self, job: Job) -> Job:
        """Let the assistant at a prompt that was judged, and drop an answer that is denied.

        What the person asked for is judged already: they are not refused for what somebody else
        made of it.
        """
        refined = await self._prompt_refinement.refine(job, self._artifacts.image(job))
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
            refined = replace(refined, verdict=refined.verdict.joined(verdict))
        return refined

    async def _judged(self, job: Job, scope: ModeratorScope) -> Job:
        """Return the job with what the checks say of its words, in both versions, and its image.

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
        for name in (job.spec.image, job.spec.last):
            image = self._artifacts.input(job, name)
            if image is not None:
                async with self._images[scope]:
                    seen = await self._guard.judge_file(image, flagged=flagged, scope=scope)
                verdict = verdict.joined(seen)
        if verdict.denied:
            raise UserError("safety.image", reason=verdict.reasons[0].value)
        return replace(job, verdict=job.verdict.joined(verdict))

    async def _inherit(self, job: Job, parent_id: str, name: str, target: Path) -> None:
        """Copy an input, or the result, of the job that this one was made from.

        Raises:
            UserError: `image.expired`.
        """
        parent = await self._store.get(parent_id)
        if parent is None or parent.tenant != job.tenant:
            raise UserError("image.expired")
        if name == PARENT_RESULT:
            source = self._artifacts.finished(parent)
        elif name == PARENT_LATENTS:
            source = self._artifacts.latents(parent)
        else:
            source = self._artifacts.input(parent, name)
        if source is None:
            raise UserError("image.expired")
        try:
            await asyncio.to_thread(_copy, source, target)
        except FileNotFoundError as error:
            raise UserError("image.expired") from error


async def _fetch(source: ImageSource, job: Job, image: str, target: Path) -> None:
    try:
        async with asyncio.timeout(DOWNLOAD_SECONDS):
            await source.fetch(job, image, target)
    except TimeoutError as error:
        raise UserError("image.fetch_failed") from error


def _copy(source: Path, target: Path) -> None:
    """Copy whole or not at all: a file that is there counts as prepared."""
    with part_file(target) as part:
        shutil.copyfile(source, part)
