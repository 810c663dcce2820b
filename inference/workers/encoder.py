"""Encoder thread: watermarks and encodes frames while the engine renders."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from inference.engines.base import FrameChunk

Result = TypeVar("Result")

_WAITING_CHUNKS = 2
"""Most chunks in the queue, which bounds memory: the engine waits if it is full."""

_LOOK_SECONDS = 0.1
"""Poll interval of a waiting engine, to notice that the encoder has failed."""


class _Abandoned(Exception):
    """The render was abandoned; the file must be deleted."""


class EncoderThread(Generic[Result]):
    """Context manager that runs `encode` in a thread, over the chunks that `put` adds.

    If the context ends before `finish`, the iterator of chunks raises, so that `encode` deletes its
    file. The context waits for the end of the thread.

    Args:
        encode: Consumes all chunks; its result is returned by `finish`.
    """

    def __init__(self, encode: Callable[[Iterator[FrameChunk]], Result]) -> None:
        self._encode = encode
        self._queue: queue.Queue[FrameChunk | None] = queue.Queue(_WAITING_CHUNKS)
        self._abandoned = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._result: Future[Result]

    def __enter__(self) -> Self:
        self._result = self._pool.submit(self._encode, self._chunks())
        return self

    def __exit__(self, *_: object) -> None:
        self._abandoned.set()
        # With a full queue the thread does not block on it, and will see the event.
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._pool.shutdown()

    def put(self, chunk: FrameChunk) -> None:
        """Add a chunk; its array must not be changed afterwards.

        Raises:
            Exception: The exception of `encode`, if it failed.
        """
        self._put(chunk)

    def finish(self) -> Result:
        """Wait until all chunks are encoded and return the result of `encode`.

        Raises:
            Exception: The exception of `encode`, if it failed.
        """
        self._put(None)
        return self._result.result()

    def _put(self, item: FrameChunk | None) -> None:
        while not self._result.done():
            with suppress(queue.Full):
                self._queue.put(item, timeout=_LOOK_SECONDS)
                return
        self._result.result()

    def _chunks(self) -> Iterator[FrameChunk]:
        while True:
            chunk = self._queue.get()
            if self._abandoned.is_set():
                raise _Abandoned
            if chunk is None:
                return
            yield chunk
