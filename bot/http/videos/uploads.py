"""Reference images that were uploaded, until their jobs have their own copies.

An upload is checked and encoded again before its job is accepted, in the media process: what is
no picture is refused at once. It goes once no waiting job names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType

from inference.domain.errors import EngineError, UserError
from inference.domain.job import Job
from inference.jobs.input_files import ImageCleaner
from inference.media.atomic_files import write_bytes
from inference.store.sqlite.database import Database

PREFIX = "upload:"
"""In references of a spec: the name of an upload follows."""

SPARED_SECONDS = 600.0
"""An upload this young may belong to a job that is just being accepted."""

SWEEP_SECONDS = 300.0

AT_ONCE = 2
"""Pictures at once in front of the media process: those of chats wait for these at most."""

_NAME = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """The folder of uploads."""

    def __init__(self, directory: Path, cleaner: ImageCleaner | None = None) -> None:
        """Name the folder.

        Args:
            directory: It is made when it is needed.
            cleaner: Decodes pictures; it may be set later, before the first one comes.
        """
        self._directory = directory
        self.cleaner = cleaner
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def keep(self, data: bytes, field: str) -> str:
        """Store a picture durably, and return its name in a spec.

        Args:
            data: What was sent as a picture.
            field: Of the request, for what is said of it.

        Raises:
            UserError: `image.*`: it cannot be used.
            EngineError: `disk.full` or `media.unavailable`.
        """
        if self.cleaner is None:
            raise EngineError("media.unavailable", transient=True)
        name = secrets.token_hex(16)
        raw = self._directory / f"{name}.raw"
        try:
            await asyncio.to_thread(self._write, raw, data)
            async with self._turns:
                await self.cleaner.clean_image(raw, self._directory / name)
        except BaseException as error:  # also where the client has left
            await self.drop(name)
            if isinstance(error, UserError):
                raise UserError(error.code, **error.params, field=field) from error
            raise
        finally:
            await asyncio.to_thread(raw.unlink, missing_ok=True)
        return PREFIX + name

    @contextlib.asynccontextmanager
    async def hold(
        self,
        files: Mapping[str, bytes],
        turn: contextlib.AbstractAsyncContextManager[None],
        *,
        fields: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[dict[str, str]]:
        """Keep files for a job that is accepted within, and drop them where it is not.

        Args:
            files: By option; what a spec names them by is yielded.
            turn: Entered once they are kept.
            fields: Of the request, by option, where that is not its member under `rushes`.

        Raises:
            UserError: `image.*`: one of them is no picture that can be used.
        """
        kept: dict[str, str] = {}
        entered = False
        try:
            for name, data in files.items():
                kept[name] = await self.keep(data, fields.get(name, f"rushes.{name}"))
            async with turn:
                entered = True
                yield kept
        except BaseException as error:
            # A client that leaves within may have its job accepted all the same.
            if not entered or isinstance(error, Exception):
                for image in kept.values():
                    await self.drop(image)
            raise

    def _write(self, file: Path, data: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        write_bytes(file, data)

    async def fetch(self, job: Job, image: str, target: Path) -> None:  # noqa: ARG002 - the port's signature
        """Copy an upload; see `ImageSource`.

        Raises:
            UserError: `image.expired`.
        """
        name = image.removeprefix(PREFIX)
        if not image.startswith(PREFIX) or not _NAME.fullmatch(name):
            raise UserError("image.expired")
        try:
            await asyncio.to_thread(shutil.copyfile, self._directory / name, target)
        except FileNotFoundError as error:
            if not target.parent.is_dir():  # its job was deleted; others may need the upload
                raise
            raise UserError("image.expired") from error

    async def drop(self, image: str) -> None:
        """Delete an upload whose job was not accepted."""
        name = image.removeprefix(PREFIX)
        await asyncio.to_thread((self._directory / name).unlink, missing_ok=True)

    async def sweep(self, database: Database) -> None:
        """Delete the uploads that no job needs any more."""
        rows = await database.read(
            "SELECT member.value AS image FROM jobs, json_tree(jobs.spec) AS member"
            " WHERE platform = 'http' AND state IN ('accepted', 'preparing')"
            " AND member.key = 'url'"
        )
        needed = {str(row["image"]).removeprefix(PREFIX) for row in rows}
        await asyncio.to_thread(self._sweep, needed)

    def _sweep(self, needed: set[str]) -> None:
        if not self._directory.is_dir():
            return
        latest = time.time() - SPARED_SECONDS
        for entry in os.scandir(self._directory):
            if entry.name in needed:
                continue
            with contextlib.suppress(FileNotFoundError):  # a request dropped it meanwhile
                if entry.stat(follow_symlinks=False).st_mtime < latest:
                    Path(entry.path).unlink()
