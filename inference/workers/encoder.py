"""Encoder thread: watermark and video encoding beside the engine."""

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
"""Bounds the memory: the engine waits when the encoder is this far behind."""

_LOOK_SECONDS = 0.1
"""How often a waiting engine looks whether the encoder has failed."""


class _Abandoned(Exception):
    """No more frames will come, and what was written is not wanted."""


class EncoderThread(Generic[Result]):
    """Runs `encode` on its own thread, over the chunks that `put` adds.

    Leaving the context before `finish` makes the iterator of chunks raise, so that `encode`
    removes what it has written; the thread has ended when the context is left.

    Args:
        encode: Consumes all chunks and returns what `finish` is to return.
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
        # A full queue means that the thread is not waiting for it: it will see the event.
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._pool.shutdown()

    def put(self, chunk: FrameChunk) -> None:
        """Hand over a chunk; its array belongs to the encoder from now on.

        Raises:
            Exception: What `encode` failed with.
        """
        self._put(chunk)

    def finish(self) -> Result:
        """Wait until everything is encoded.

        Raises:
            Exception: What `encode` failed with.
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
