"""The terminal as a platform: a thread is a folder, a message is a line in its log.

Jobs that were asked for together have one thread, that of the first.

```
data_dir/threads/<guild>/<job>/thread.jsonl  one JSON object per posted message
data_dir/threads/<guild>/<job>/card.txt      the newest state of the job's card
data_dir/threads/<guild>/<job>/<job>.mp4     the file that a message brought
```
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from bot.network.image_download import too_large
from bot.platform import Outgoing, Receipt, Remember, Services
from commands.context import PictureCheck
from commands.parsing.values import shorten
from commands.text.card import Card, plain
from inference.clock import Clock, SystemClock
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job
from inference.domain.outbox import ActKind
from inference.jobs.input_files import ImageCleaner
from inference.media.atomic_files import part_file, write_bytes
from inference.media.results import ImageLimits

NAME = "terminal"

UPLOAD_LIMIT = 2**30
"""Bytes; a copy on the same disk could be larger, but no clip is."""

MAX_PENDING = 1000
"""Messages kept for a slow listener; beyond it the oldest are dropped."""

_REMOVED = "removed"
"""Kind of the record of a message that was deleted."""

_MAX_NAME = 40
"""Characters of a guild in a path, before what keeps long or odd ones apart."""


def tenant_of(guild: str) -> str:
    """Return the tenant of a guild of the terminal."""
    return f"{NAME}:{guild}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a terminal job came from, kept with it as its opaque address."""

    guild: str
    directory: str
    """What relative paths of the person are relative to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEvent:
    """A message was posted, or a posted one has a new state."""

    job: Job
    kind: ActKind
    card: Card
    """With its file where the thread keeps it."""
    edited: bool = False


_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


class TerminalImages:
    """Reads reference images from this machine's disk."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits

    async def fetch(self, job: Job, image: str, target: Path) -> None:
        """Copy the person's file; see `ImageSource`.

        Raises:
            UserError: `image.not_found`, `image.not_an_address` or `image.too_large`.
        """
        directory = Address(**job.address).directory
        await asyncio.to_thread(self._copy, image, directory, target)

    def make_check(self, cleaner: ImageCleaner | None) -> PictureCheck | None:
        """Return a check of pictures before their job is accepted; None without a cleaner."""
        return None if cleaner is None else partial(self._check, cleaner)

    async def _check(self, cleaner: ImageCleaner, directory: str, typed: str) -> None:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="rushes-"))
        try:
            await asyncio.to_thread(self._copy, typed, directory, folder / "source")
            await cleaner.clean_image(folder / "source", folder / "picture.png")
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _copy(self, typed: str, directory: str, target: Path) -> None:
        if _ADDRESS.match(typed):
            raise UserError("image.not_an_address", url=shorten(typed))
        source = Path(directory, os.path.expanduser(typed))  # noqa: PTH111 - pathlib raises where a home is unknown
        try:
            # Without O_NONBLOCK, a named pipe without a writer holds the thread for ever.
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as incoming:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise UserError("image.not_found", path=str(source))
                data = incoming.read(self._limits.file_bytes + 1)
        except (OSError, ValueError) as error:
            raise UserError("image.not_found", path=str(source)) from error
        if len(data) > self._limits.file_bytes:
            raise too_large(self._limits)
        target.write_bytes(data)


class TerminalPlatform:
    """Posts into folders, and notifies the listeners in this process."""

    name = NAME

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock = SystemClock(),  # noqa: B008 - it has no state
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - frozen
    ) -> None:
        """Keep threads below a directory.

        Args:
            directory: Made on demand.
            clock: Dates the messages.
            limits: How large a reference image may be.
        """
        self.images = TerminalImages(limits)
        self.connected = True  # clients open the socket themselves
        self._directory = directory
        self._clock = clock
        self._listeners: set[asyncio.Queue[MessageEvent]] = set()

    async def run(self, services: Services) -> None:  # noqa: ARG002 - the port's signature
        """Wait until cancelled: commands come in over the control socket."""
        await asyncio.get_running_loop().create_future()

    @contextlib.contextmanager
    def listen(self) -> Iterator[asyncio.Queue[MessageEvent]]:
        """Yield a queue that receives every message inside the block."""
        queue: asyncio.Queue[MessageEvent] = asyncio.Queue(MAX_PENDING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def upload_limit(self, job: Job) -> int:  # noqa: ARG002 - the port's signature
        """Return the one limit of all threads."""
        return UPLOAD_LIMIT

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:  # noqa: ARG002 - a folder needs no memory
        """Put the file into the thread, then the message into its log; see `Platform`."""
        thread = self.thread(message.job)
        new = await self._in_thread(self._post, thread, message)
        if new:
            self._notify(message, edited=False)
        return _receipt(message)

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:  # noqa: ARG002 - the job names the thread
        """Write the card's newest state beside the log; see `Platform`."""
        thread = self.thread(message.job)
        if not await asyncio.to_thread(thread.is_dir):
            raise DeliveryError("delivery.thread_gone", transient=False)
        await self._in_thread(_write_card, thread, message.card)
        self._notify(message, edited=True)

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Delete the file that a message brought; see `Platform`."""
        await self._in_thread(self._remove, self.thread(job), receipt["key"])

    async def find(self, message: Outgoing) -> Receipt | None:
        """Look the message up in its thread's log; see `Platform`."""
        records = await self._in_thread(_read_log, self.thread(message.job) / "thread.jsonl")
        return _receipt(message) if _stands(records, message.key) else None

    def thread(self, job: Job) -> Path:
        """Return the folder of a job's thread."""
        return self._directory / _folder_name(Address(**job.address).guild) / job.card_of

    def _notify(self, message: Outgoing, *, edited: bool) -> None:
        event = MessageEvent(
            job=message.job,
            kind=message.kind,
            card=_locate(message.card, self.thread(message.job)),
            edited=edited,
        )
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def _post(self, thread: Path, message: Outgoing) -> bool:
        """Post on the disk; return whether the message was not there yet."""
        log = thread / "thread.jsonl"
        if _stands(_read_log(log), message.key):
            return False
        thread.mkdir(parents=True, exist_ok=True)
        attachment = message.card.attachment
        if attachment is not None:
            with part_file(thread / attachment.name) as part:
                shutil.copyfile(attachment.path, part)
        if message.kind is ActKind.CARD:
            _write_card(thread, message.card)
        record = {
            "key": message.key,
            "kind": message.kind.value,
            "time": self._clock.now(),
            "text": plain(message.card),
            "file": attachment and attachment.name,
            "spoiler": message.spoiler,
        }
        _append(log, record)
        return True

    def _remove(self, thread: Path, key: str) -> None:
        """Delete the file of a message, and note that the message is gone."""
        log = thread / "thread.jsonl"
        records = _read_log(log)
        for record in records:
            name = record.get("file") if record.get("key") == key else None
            if isinstance(name, str) and PurePath(name).name == name:  # nothing outside the thread
                (thread / name).unlink(missing_ok=True)
        if _stands(records, key):
            _append(log, {"key": key, "kind": _REMOVED, "time": self._clock.now()})

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            problem = error.strerror or "unreadable"
            raise DeliveryError("delivery.disk", transient=True, problem=problem) from error


def _locate(card: Card, thread: Path) -> Card:
    """Return the card with its file where the thread keeps it."""
    if card.attachment is None:
        return card
    path = thread / card.attachment.name
    return replace(card, attachment=replace(card.attachment, path=path))


def _folder_name(guild: str) -> str:
    """Return a name that is safe in a path; different guilds never share one."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", guild)[:_MAX_NAME]
    if safe and safe == guild:
        return safe
    return f"{safe}~{hashlib.sha256(guild.encode()).hexdigest()[:8]}"


def _receipt(message: Outgoing) -> Receipt:
    return {"key": message.key}


def _read_log(log: Path) -> list[dict[str, Any]]:
    """Return the messages of a thread, without a line that a crash cut short."""
    records = []
    with contextlib.suppress(FileNotFoundError):
        for line in log.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
    return records


def _stands(records: Iterable[Mapping[str, Any]], key: str) -> bool:
    """Whether a message was posted and not deleted since."""
    kinds = [record.get("kind") for record in records if record.get("key") == key]
    return bool(kinds) and kinds[-1] != _REMOVED


def _append(log: Path, record: dict[str, Any]) -> None:
    """Add a line in one write, and see it on the disk."""
    line = json.dumps(record).encode() + b"\n"
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # leave a line that a crash cut short alone on its own
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_card(thread: Path, card: Card) -> None:
    write_bytes(thread / "card.txt", (plain(card) + "\n").encode())
