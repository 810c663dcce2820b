"""The parent's side of the media process, where files of strangers are opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inference.errors import EngineError, UserError, WorkerLost
from inference.media.facts import CleanImage, Fitted, Rung
from inference.workers.protocol import Call, Failed, Hello, Message, ProtocolError, Returned
from inference.workers.spawn import Child, spawn

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)

_CHILD_MODULE = "inference.workers.media_child"

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Each thread of a numeric library reserves memory that counts against the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What the media process may use."""

    memory_bytes: int = 2 * 2**30
    """Address space."""
    file_bytes: int = 2**30
    """Of any file it writes."""
    hello_seconds: float = 60.0
    image_seconds: float = 45.0
    """For one image, or one still of a clip; the largest take 3 s, 15 s on a very busy machine."""
    clip_seconds: float = 300.0
    """For one clip, all rungs of the ladder together."""


class MediaProcess:
    """Opens media in a child with limits; a child that breaks takes nothing with it.

    Use as an async context manager. The child starts with the first call and is replaced after
    one that killed it. Concurrent calls wait for each other.
    """

    def __init__(self, limits: MediaLimits = MediaLimits()) -> None:
        self._limits = limits
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._stack = AsyncExitStack()

    @property
    def pid(self) -> int | None:
        """Process id of the present child, if there is one."""
        return self._child.pid if self._child else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._turn:
            await self._drop()

    async def clean_image(self, source: Path, target: Path) -> CleanImage:
        """Check a stranger's image and write it anew; see `inference.media.intake`.

        Raises:
            UserError: What is wrong with it; `image.not_an_image` also for one that breaks
                the process.
            EngineError: `disk.full`, or `media.unavailable`.
        """
        arguments = {"source": source, "target": target}
        try:
            result = await self._call("clean_image", arguments, self._limits.image_seconds)
        except WorkerLost as loss:
            raise UserError("image.not_an_image") from loss
        return CleanImage(**result)

    async def fit(self, source: Path, limit: int, directory: Path) -> Fitted:
        """Make a finished file fit into `limit` bytes; see `inference.media.ladder`.

        Raises:
            EngineError: `file.too_large`, `file.unreadable`, `disk.full`, `media.failed` or
                `media.unavailable`.
        """
        arguments = {"source": source, "limit": limit, "directory": directory}
        try:
            result = await self._call("fit", arguments, self._limits.clip_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss
        return Fitted(**result | {"path": Path(result["path"]), "rung": Rung(result["rung"])})

    async def poster(self, clip: Path, target: Path, max_side: int) -> None:
        """Write a still of a clip; see `inference.media.poster`.

        Raises:
            EngineError: `disk.full`, `media.failed` or `media.unavailable`.
        """
        arguments = {"clip": clip, "target": target, "max_side": max_side}
        try:
            await self._call("poster", arguments, self._limits.image_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss

    async def stills(self, file: Path, directory: Path) -> list[Path]:
        """Write a few frames of a clip or an image; see `inference.media.stills`.

        Raises:
            EngineError: `file.unreadable`, `disk.full`, `media.failed` or `media.unavailable`.
        """
        arguments = {"file": file, "directory": directory}
        try:
            result = await self._call("stills", arguments, self._limits.clip_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss
        return [Path(path) for path in result["stills"]]

    async def rate(self, pictures: Sequence[Path], model: Path) -> list[float]:
        """Return how explicit a model finds each picture, 0 to 1; see `safety.classifier`.

        Raises:
            EngineError: `media.failed` or `media.unavailable`.
        """
        arguments = {"pictures": list(pictures), "model": model}
        try:
            result = await self._call("rate", arguments, self._limits.image_seconds)
        except WorkerLost as loss:
            raise EngineError("media.failed", transient=True) from loss
        scores: list[float] = result["scores"]
        return scores

    async def _call(
        self, operation: str, arguments: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        async with self._turn:
            child = await self._ready()
            try:
                child.send(Call(operation=operation, arguments=arguments))
                answer = await _answer(child, seconds)
            except BaseException as error:
                # Cancelled callers too: the child still works on what nobody wants any more.
                await self._drop()
                if isinstance(error, WorkerLost):
                    log.warning("media process lost in %s: %s", operation, error)
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
            }
            try:
                child = await self._stack.enter_async_context(
                    spawn(_CHILD_MODULE, config, _ONE_THREAD, strangers=True)
                )
                await _greet(child, self._limits.hello_seconds)
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
