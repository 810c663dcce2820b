"""Reference images that were uploaded, until their jobs have their own clean copies.

An upload is on the disk before its job is accepted. It goes once no waiting job names it.
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

from inference.domain.errors import UserError
from inference.domain.job import Job
from inference.media.atomic_files import write_bytes
from inference.store.sqlite.database import Database

PREFIX = "upload:"
"""In references of a spec: the name of an upload follows."""

SPARED_SECONDS = 600.0
"""An upload this young may belong to a job that is just being accepted."""

SWEEP_SECONDS = 300.0

_NAME = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """The folder of uploads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def keep(self, data: bytes) -> str:
        """Store an upload durably, and return its name in a spec."""
        name = secrets.token_hex(16)
        await asyncio.to_thread(self._write, name, data)
        return PREFIX + name

    @contextlib.asynccontextmanager
    async def held(self, files: Mapping[str, bytes]) -> AsyncIterator[dict[str, str]]:
        """Keep files for a job that is accepted within, and drop them where it is not.

        Args:
            files: By option; what a spec names them by is yielded.
        """
        kept: dict[str, str] = {}
        try:
            for name, data in files.items():
                kept[name] = await self.keep(data)
            yield kept
        except Exception:  # a client that leaves may have its job accepted all the same
            for image in kept.values():
                await self.drop(image)
            raise

    def _write(self, name: str, data: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        write_bytes(self._directory / name, data)

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
            if entry.name not in needed and entry.stat(follow_symlinks=False).st_mtime < latest:
                Path(entry.path).unlink(missing_ok=True)
