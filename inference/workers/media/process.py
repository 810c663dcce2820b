"""Client of the media processes, which open untrusted files."""

from __future__ import annotations

import asyncio
import glob
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog

from inference.domain.errors import EngineError, UserError, WorkerLost
from inference.media.results import STILL, CleanImage, Fitted, Rung
from inference.workers.media.sandbox import in_force
from inference.workers.protocol import Failed, Hello, MediaCall, Message, ProtocolError, Returned
from inference.workers.spawn import Child, spawn

if TYPE_CHECKING:
    from types import TracebackType

_log = structlog.get_logger(__name__)

_CHILD_MODULE = "inference.workers.media.child"

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Limits numeric libraries to one thread, because each reserves memory that counts as used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Resource limits of each media process."""

    memory_bytes: int = 2 * 2**30
    """Address space of one process; there are at most three, and mostly one is busy."""
    file_bytes: int = 2**30
    """Largest file that it may write."""
    hello_seconds: float = 60.0
    image_cpu_seconds: int = 30
    """CPU time of one image that somebody sent; the largest take 3 s."""
    image_seconds: float = 90.0
    """Time limit of one image or still: on a busy machine much longer than its CPU time."""
    clip_seconds: float = 300.0
    """Time limit of the stills of one clip."""
    rung_seconds: float = 120.0
    """Time limit of one clip of size reduction; its still has `image_seconds`."""


class MediaProcess:
    """Client that opens media in sandboxed child processes with resource limits.

    Use as an async context manager. Image intake, moderation and size reduction have a child
    each, so that none waits for another; calls of the same kind wait for each other. A child starts
    with its first call and is replaced after a call that killed it.
    """

    def __init__(self, limits: MediaLimits = MediaLimits()) -> None:
        self._limits = limits
        self._intake = _MediaChild(limits)
        self._moderation = _MediaChild(limits)
        self._ladder = _MediaChild(limits)

    @property
    def pid(self) -> int | None:
        """Process id of the child for image intake, or None."""
        return self._intake.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with asyncio.TaskGroup() as closing:
            for child in (self._intake, self._moderation, self._ladder):
                closing.create_task(child.close())

    async def clean_image(self, source: Path, target: Path) -> CleanImage:
        """Check an untrusted image and re-encode it; see `inference.media.image_intake`.

        Raises:
            UserError: The image is refused; `image.not_an_image` also if it killed the process, or
                took more CPU time than any image.
            EngineError: `media.busy` if it took too long without that; `disk.full`,
                `media.unavailable`, or `file.unreadable`: it is gone.
        """
        arguments = {"source": source, "target": target}
        try:
            result = await self._intake.call("clean_image", arguments, self._limits.image_seconds)
        except WorkerLost as loss:
            if loss.code == "worker.hung":  # the machine's fault: CPU time has its own limit
                raise EngineError("media.busy", transient=True) from loss
            raise UserError("image.not_an_image") from loss
        return CleanImage(**result)

    async def first_frame(self, source: Path, target: Path) -> None:
        """Write the first frame of a clip; see `inference.media.stills`.

        Raises:
            EngineError: See `stills`.
        """
        arguments = {"source": source, "target": target}
        try:
            await self._intake.call("first_frame", arguments, self._limits.clip_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss

    async def fit(self, source: Path, limit: int, directory: Path, *, first: int = 0) -> Fitted:
        """Make a finished file fit into `limit` bytes; see `inference.media.size_reduction`.

        Each rung has a separate time limit. After a rung that hangs or kills the child, the next
        smaller one is tried, and finally the still.

        Args:
            source: The finished file.
            limit: Limit in bytes.
            directory: Directory of results.
            first: First rung to try, if earlier ones have failed before.

        Raises:
            EngineError: `file.too_large`, `file.unreadable`, `disk.full`, `media.unavailable`, or
                `media.failed` if even the still killed the child.
        """
        arguments = {"source": source, "limit": limit, "directory": directory}
        rung = min(first, STILL)
        while True:
            limits = self._limits
            seconds = limits.rung_seconds if rung < STILL else limits.image_seconds
            try:
                result = await self._ladder.call("fit", arguments | {"rung": rung}, seconds)
            except WorkerLost as loss:
                await asyncio.to_thread(_sweep, directory, f"{source.stem}.fit-{limit}.")
                if rung >= STILL:
                    raise EngineError("media.failed", transient=True) from loss
                rung += 1
            except EngineError as error:
                if error.code != "file.unreadable" or rung >= STILL:
                    raise
                rung = STILL  # its middle frame may be readable
            else:
                if result:
                    kind = Rung(result["rung"])
                    return Fitted(**result | {"path": Path(result["path"]), "rung": kind})
                rung += 1

    async def stills(self, file: Path, directory: Path) -> list[Path]:
        """Write stills of a clip or an image; see `inference.media.stills`.

        Raises:
            EngineError: `file.unreadable`, `disk.full`, `media.failed` or `media.unavailable`.
        """
        arguments = {"file": file, "directory": directory}
        try:
            result = await self._moderation.call("stills", arguments, self._limits.clip_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss
        return [Path(path) for path in result["stills"]]

    async def sheet(self, file: Path, directory: Path, name: str) -> Path:
        """Write stills of a clip and a sheet of them; see `inference.media.stills`.

        Args:
            file: The clip.
            directory: Directory of results.
            name: File name of the sheet.

        Raises:
            EngineError: See `stills`.
        """
        arguments = {"file": file, "directory": directory, "name": name}
        try:
            result = await self._ladder.call("sheet", arguments, self._limits.clip_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss
        return Path(result["sheet"])

    async def rate(self, pictures: Sequence[Path], model: Path) -> list[float]:
        """Return a classifier's score of explicitness for each picture, 0 to 1.

        See `safety.classifier`.

        Raises:
            EngineError: `media.failed`, `media.unavailable`, or `file.unreadable`: one is gone.
        """
        arguments = {"pictures": list(pictures), "model": model}
        try:
            result = await self._moderation.call("rate", arguments, self._limits.image_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss
        scores: list[float] = result["scores"]
        return scores


class _MediaChild:
    """Child process for one kind of call, used by one caller at a time."""

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._stack = AsyncExitStack()

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None."""
        return self._child.pid if self._child else None

    async def close(self) -> None:
        """Stop the child after its last call."""
        async with self._turn:
            await self._drop()

    async def call(
        self, operation: str, arguments: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """Run an operation in the child; the time limit does not include waiting for other calls.

        Raises:
            WorkerLost: The operation hung or killed the child.
            EngineError: The operation's error, or `media.unavailable`.
        """
        async with self._turn:
            child = await self._ready()
            try:
                child.send(MediaCall(operation=operation, arguments=arguments))
                answer = await _answer(child, seconds)
            except BaseException as error:
                # Also if the caller was cancelled, because the child is busy with its call.
                await self._drop()
                if isinstance(error, WorkerLost):
                    _log.warning("media.process_lost", operation=operation, code=error.code)
                raise
        if isinstance(answer, Failed):
            raise answer.error()
        return answer.result

    async def _ready(self) -> Child:
        if self._child and self._child.gone:
            await self._drop()
        if self._child is None:
            config = {
                "memory_bytes": self._limits.memory_bytes,
                "file_bytes": self._limits.file_bytes,
                "image_cpu_seconds": self._limits.image_cpu_seconds,
            }
            try:
                child = await self._stack.enter_async_context(
                    spawn(_CHILD_MODULE, config, _ONE_THREAD, strangers=True)
                )
                await _greet(child, self._limits.hello_seconds)
                _tell_sandbox()
            except BaseException as error:
                await self._drop()
                if isinstance(error, (WorkerLost, OSError)):
                    raise EngineError("media.unavailable", transient=True) from error
                raise
            self._child = child
        return self._child

    async def _drop(self) -> None:
        self._child = None
        await self._stack.aclose()


async def _greet(child: Child, seconds: float) -> None:
    if not isinstance(await _receive(child, seconds), Hello):
        raise ProtocolError("no hello")


async def _answer(child: Child, seconds: float) -> Returned | Failed:
    message = await _receive(child, seconds)
    if not isinstance(message, (Returned, Failed)):
        raise ProtocolError("not an answer")
    return message


async def _receive(child: Child, seconds: float) -> Message:
    message = await child.receive(within_seconds=seconds)
    if message is None:
        raise WorkerLost("worker.hung", silent_seconds=seconds)
    return message


@cache
def _tell_sandbox() -> None:
    """Log once which confinements the media processes have."""
    found = in_force()
    say = _log.info if all(found.values()) else _log.warning
    say("media.sandbox", **found)


def _sweep(directory: Path, prefix: str) -> None:
    """Delete the part files of a killed child."""
    for part in directory.glob(f"{glob.escape(prefix)}*.part*"):
        part.unlink(missing_ok=True)
