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
from inference.domain.effect_use import EffectUse
from inference.domain.errors import EngineError, RushesError, UserError
from inference.domain.job import ASSISTANT, Job
from inference.domain.reference import (
    IMAGE_NAME,
    LAST_NAME,
    Attached,
    FromParent,
    Kept,
    Prepared,
    Reference,
    picture_name,
)
from inference.domain.render import LATENTS_NAME
from inference.domain.verdict import Verdict
from inference.jobs.durable_write import end_job, failure_of, write_with_retry
from inference.jobs.prompt_refinement import UNANSWERED, PromptRefinement
from inference.media.atomic_files import part_file
from inference.safety.guard import Guard, ModeratorScope
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore

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
            image: Where the platform keeps it: `Attached.url`.
            target: The file to write.

        Raises:
            UserError: It is gone, too large, or not from the platform's own hosts.
        """
        ...


class ImageCleaner(Protocol):
    """Decodes untrusted images in a sandbox (`workers.media.process.MediaProcess`)."""

    async def clean_image(self, source: Path, target: Path) -> object:
        """Decode `source` and write a clean RGB PNG to `target`.

        Raises:
            UserError: It is not an image that can be used.
        """
        ...

    async def first_frame(self, source: Path, target: Path) -> None:
        """Write the first frame of the clip `source`, which we made, to `target` as PNG.

        Raises:
            EngineError: It cannot be read.
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
        self._arrivals: asyncio.Queue[Job] = asyncio.Queue()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Of the requests that are being prepared."""
        self._downloads = {name: asyncio.Semaphore(DOWNLOADS) for name in sources}
        self._of_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """As long as somebody downloads or waits for it."""
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
                turn = self._turns.setdefault(job.card_of, asyncio.Lock())
                tasks.create_task(self._serve(job.id, turn), name=f"preparing-{job.id}")

    async def _serve(self, job_id: str, turn: asyncio.Lock) -> None:
        """Bring a job to its next state when its turn has come."""
        async with turn:
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
        spec = job.spec
        if spec.image is not None:
            await self._bring(job, spec.image, IMAGE_NAME)
            spec = replace(spec, image=Prepared(IMAGE_NAME))
        if spec.last is not None:
            await self._bring(job, spec.last, LAST_NAME)
            spec = replace(spec, last=Prepared(LAST_NAME))
        if spec.latents is not None:
            await self._bring(job, spec.latents, LATENTS_NAME)
            spec = replace(spec, latents=Prepared(LATENTS_NAME))
        effects = [await self._with_pictures(job, effect) for effect in spec.effects]
        return replace(job, spec=replace(spec, effects=tuple(effects)))

    async def _with_pictures(self, job: Job, effect: EffectUse) -> EffectUse:
        """Return an effect with its pictures lying in the job's own folder."""
        pictures: dict[str, Reference] = {}
        for name, reference in effect.pictures.items():
            pictures[name] = Prepared(picture_name(name))
            await self._bring(job, reference, picture_name(name))
        return replace(effect, pictures=pictures)

    async def _refine(self, job: Job) -> Job:
        """Let the assistant at the prompt, and keep what came of it with the job at once."""
        refined = await self._refine_checked(job)
        if refined != job:
            await self._write(lambda: self._store.keep_refinement(refined))
        return refined

    async def _bring(self, job: Job, reference: Reference, name: str) -> None:
        """Put what a job starts from into its own folder, clean, wherever it comes from.

        Raises:
            UserError: `image.*` or `latents.expired`: it cannot be had any more.
        """
        target = self._artifacts.input_directory(job.id) / name
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        match reference:
            case Prepared() if await asyncio.to_thread(target.is_file):
                return  # the job was edited in the queue, or found after a restart
            case Prepared():  # version 0.1 said so of files of the parent too
                await self._inherit(job, Kept.INPUT, target)
            case FromParent():
                await self._inherit(job, reference.kind, target)
            case Attached():
                await self._download(job, reference, target)

    async def _download(self, job: Job, image: Attached, target: Path) -> None:
        source = self._sources.get(job.platform)
        if source is None:
            raise UserError("image.fetch_failed")
        raw = target.with_name("source")
        own = self._of_tenant.setdefault(job.tenant, asyncio.Semaphore(DOWNLOADS_OF_TENANT))
        async with own, self._downloads[job.platform]:
            await _fetch(source, job, image.url, raw)
        await self._cleaner.clean_image(raw, target)
        await asyncio.to_thread(raw.unlink, missing_ok=True)

    async def _refine_checked(self, job: Job) -> Job:
        """Let the assistant at a prompt that was judged, and drop an answer that is denied.

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
        started_from = (job.spec.image, job.spec.last)
        images = [self._artifacts.input(job, reference) for reference in started_from]
        for image in (*images, *self._artifacts.pictures(job).values()):
            if image is not None:
                async with self._images[scope]:
                    seen = await self._guard.judge_file(image, flagged=flagged, scope=scope)
                verdict = verdict.joined(seen)
        if verdict.denied:
            raise UserError("safety.image", reason=verdict.reasons[0].value)
        return replace(job, verdict=job.verdict.joined(verdict))

    async def _inherit(self, job: Job, kind: Kept, target: Path) -> None:
        """Copy a file of the job that this one was made from.

        Raises:
            UserError: `image.expired` or `latents.expired`.
        """
        expired = UserError("image.expired")
        if target.name == LATENTS_NAME:
            expired = UserError("latents.expired")
        parent = await self._store.get(job.parent or "")
        if parent is None or parent.tenant != job.tenant:
            raise expired
        match kind:
            case Kept.RESULT | Kept.FIRST_FRAME:
                source = self._artifacts.finished(parent)
            case Kept.LATENTS:
                source = self._artifacts.latents(parent)
            case Kept.INPUT:
                source = self._artifacts.input(parent, Prepared(target.name))
        if source is None:
            raise expired
        try:
            if kind is Kept.FIRST_FRAME:
                await self._cleaner.first_frame(source, target)
            else:
                await asyncio.to_thread(_copy, source, target)
        except FileNotFoundError as error:
            raise expired from error


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
