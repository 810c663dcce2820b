"""Fault injection for the test card, so that operators can see how failures are handled.

`fail` under `[models.testcard]` names a fault. An optional `:count` limits it to the first
attempts: with `"crash:1"` the first attempt at every job fails and the second succeeds.

| fail      | what happens                                        | seen by the bot as             |
|-----------|-----------------------------------------------------|--------------------------------|
| error     | the engine fails for good                           | EngineError, final             |
| transient | the engine fails, and a retry may succeed           | EngineError, transient         |
| oom       | out of memory                                       | EngineError, transient         |
| alloc     | a library cannot allocate GPU memory                | EngineError, transient         |
| sticky    | a CUDA error that stays until the process ends      | EngineError, a new worker      |
| nan       | the frames hold NaN                                 | EngineError, a new worker      |
| lost_gpu  | the GPU has disappeared                             | EngineError, a new worker      |
| preview   | the preview cannot be drawn                         | nothing                        |
| bug       | an unexpected exception                             | EngineError `worker.bug`       |
| crash     | the process aborts                                  | WorkerLost `worker.died`       |
| segfault  | the process reads a null pointer                    | WorkerLost `worker.died`       |
| exit      | the process exits                                   | WorkerLost `worker.died`       |
| hang      | a step never ends                                   | WorkerLost `worker.hung`       |
| silent    | the process never sends hello (count: of starts)    | WorkerLost `worker.silent`     |
| no_hello  | the process exits before hello (count: of starts)   | WorkerLost `worker.silent`     |
| lie       | the manifest does not match the file              | WorkerLost `worker.bad_manifest` |
| truncate  | the file is shorter than in the manifest          | WorkerLost `worker.bad_manifest` |
| missing   | the file does not exist                           | WorkerLost `worker.bad_manifest` |
"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from inference.domain.render import Manifest
    from inference.engines.base import FrameChunk, Still

_EVERY_ATTEMPT = 1_000_000
_EXIT_STATUS = 3


class FaultKind(StrEnum):
    """Kind of failure; see the module's table."""

    NONE = ""
    ERROR = "error"
    TRANSIENT = "transient"
    OUT_OF_MEMORY = "oom"
    ALLOCATION = "alloc"
    STICKY = "sticky"
    NOT_A_NUMBER = "nan"
    LOST_GPU = "lost_gpu"
    PREVIEW = "preview"
    BUG = "bug"
    CRASH = "crash"
    SEGFAULT = "segfault"
    EXIT = "exit"
    HANG = "hang"
    SILENT = "silent"
    NO_HELLO = "no_hello"
    LIE = "lie"
    TRUNCATE = "truncate"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An injected failure, and the number of attempts it affects."""

    kind: FaultKind = FaultKind.NONE
    attempts: int = _EVERY_ATTEMPT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `kind` or `kind:count`.

        Raises:
            EngineError: `model.bad_option`.
        """
        kind, _, count = text.partition(":")
        try:
            return cls(kind=FaultKind(kind), attempts=int(count) if count else _EVERY_ATTEMPT)
        except ValueError:
            raise EngineError("model.bad_option", option="fail", value=text) from None

    def at_attempt(self, attempt: int) -> Self:
        """Return the fault for an attempt, counted from 1: this one, or none after `attempts`."""
        return self if attempt <= self.attempts else replace(self, kind=FaultKind.NONE)

    def at_start(self) -> None:
        """Apply faults before the process sends hello."""
        match self.kind:
            case FaultKind.SILENT:
                _sleep_for_ever()
            case FaultKind.NO_HELLO:
                os._exit(_EXIT_STATUS)

    def at_step(self) -> None:
        """Apply faults in a step of the engine."""
        if (words := _LIBRARY_WORDS.get(self.kind)) is not None:
            raise RuntimeError(words)
        match self.kind:
            case FaultKind.ERROR:
                raise EngineError("testcard.failed")
            case FaultKind.TRANSIENT:
                raise EngineError("testcard.failed", transient=True)
            case FaultKind.OUT_OF_MEMORY:
                raise MemoryError
            case FaultKind.BUG:
                raise RuntimeError("a bug, as configured")
            case FaultKind.CRASH:
                os.abort()
            case FaultKind.SEGFAULT:
                ctypes.string_at(0)
            case FaultKind.EXIT:
                os._exit(_EXIT_STATUS)
            case FaultKind.HANG:
                _sleep_for_ever()

    def at_still(self, still: Still | None) -> Still | None:
        """Apply faults to a preview; returns the function to draw it with."""
        return _undrawable if self.kind is FaultKind.PREVIEW else still

    def at_chunk(self, chunk: FrameChunk) -> FrameChunk:
        """Apply faults to a chunk of frames; returns the chunk to yield."""
        if self.kind is not FaultKind.NOT_A_NUMBER:
            return chunk
        broken: Any = chunk.frames * float("nan")
        return replace(chunk, frames=broken)

    def at_report(self, manifest: Manifest, directory: Path) -> Manifest:
        """Apply faults to a finished file; returns the manifest to send."""
        path = directory / manifest.name
        match self.kind:
            case FaultKind.LIE:
                return replace(manifest, sha256="0" * len(manifest.sha256))
            case FaultKind.TRUNCATE:
                os.truncate(path, manifest.size // 2)
            case FaultKind.MISSING:
                path.unlink()
        return manifest


_LIBRARY_WORDS = {
    FaultKind.ALLOCATION: "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`",
    FaultKind.STICKY: "CUDA error: an illegal memory access was encountered",
    FaultKind.LOST_GPU: "CUDA error: no CUDA-capable device is detected",
}
"""torch's messages for these faults."""


def _undrawable() -> npt.NDArray[np.uint8]:
    raise RuntimeError("a preview that cannot be drawn, as configured")


def _sleep_for_ever() -> None:
    while True:
        time.sleep(3600)
