"""Input files: the images and latents that a job starts from, brought into its own folder."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

from inference.domain.effect_use import EffectUse
from inference.domain.errors import UserError
from inference.domain.job import Job
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
from inference.media.atomic_files import part_file
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore

DOWNLOADS = 4
"""Downloads at once, of each platform."""

DOWNLOADS_OF_TENANT = 2
"""Of these, those of one tenant."""

DOWNLOAD_SECONDS = 180.0
"""Time limit of one download with all its retries: an endless one must end."""

_NAMES = {"image": IMAGE_NAME, "last": LAST_NAME, "latents": LATENTS_NAME}
"""Member of `Spec` -> the file in the job's own folder."""

Images = dict[Attached, Path | UserError]
"""Attached images that one request has downloaded, or why they cannot be used."""


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


class InputFiles:
    """Brings files from chats and from earlier jobs.

    Downloads have a concurrency limit for each platform and tenant, so that nobody waits for a
    server that hangs but those who need it.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        artifacts: Artifacts,
        cleaner: ImageCleaner,
        sources: Mapping[str, ImageSource],
    ) -> None:
        """Wire it up.

        Args:
            store: Knows the earlier jobs.
            artifacts: Where the files go.
            cleaner: Decodes untrusted images.
            sources: Platform name -> where its images come from.
        """
        self._store = store
        self._artifacts = artifacts
        self._cleaner = cleaner
        self._sources = sources
        self._downloads = {name: asyncio.Semaphore(DOWNLOADS) for name in sources}
        self._of_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """As long as somebody downloads or waits for it."""

    async def bring(self, job: Job, images: Images) -> Job:
        """Return a job with all that it starts from in its own folder.

        Args:
            job: Being prepared.
            images: What others of the same request have downloaded; it is added to.

        Raises:
            UserError: `image.*` or `latents.expired`: something cannot be had any more.
        """
        spec = job.spec
        brought: dict[str, Any] = {}
        for member, name in _NAMES.items():
            if (reference := getattr(spec, member)) is not None:
                await self._bring_one(job, images, reference, name)
                brought[member] = Prepared(name)
        effects = [await self._with_pictures(job, images, effect) for effect in spec.effects]
        return replace(job, spec=replace(spec, effects=tuple(effects), **brought))

    async def _with_pictures(self, job: Job, images: Images, effect: EffectUse) -> EffectUse:
        """Return an effect with its pictures lying in the job's own folder."""
        pictures: dict[str, Reference] = {}
        for name, reference in effect.pictures.items():
            pictures[name] = Prepared(picture_name(name))
            await self._bring_one(job, images, reference, picture_name(name))
        return replace(effect, pictures=pictures)

    async def _bring_one(self, job: Job, images: Images, reference: Reference, name: str) -> None:
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
                await self._attach(job, images, reference, target)

    async def _attach(self, job: Job, images: Images, image: Attached, target: Path) -> None:
        """Put an attached image into a job's folder; one request downloads it once."""
        found = images.get(image)
        if isinstance(found, UserError):
            raise found
        if found is not None:
            with contextlib.suppress(FileNotFoundError):  # its job was cancelled
                await asyncio.to_thread(_copy, found, target)
                return
        try:
            await self._download(job, image, target)
        except UserError as error:
            images[image] = error
            raise
        images[image] = target

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
                source = self._artifacts.find_finished(parent)
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
