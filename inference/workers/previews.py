"""Preview thread: draws and writes preview pictures at intervals during a render."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import structlog

from inference.domain.render import PREVIEW_NAME
from inference.media.stills import write_preview

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from inference.engines.base import Still

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.5
"""Shortest time between two previews; cards are edited every few seconds only."""

FIRST_STEP = 2
"""First step with a preview; after one step the picture is still noise."""


class Previews:
    """Context manager that writes previews in a thread, each over the one before.

    The context waits for the end of the thread. The last preview is not deleted, because it may be
    in use; it is deleted with the job's files.

    Args:
        directory: Folder of the attempt.
    """

    def __init__(self, directory: Path) -> None:
        self.count = 0
        """Number of written previews."""
        self._path = directory / PREVIEW_NAME
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._writing: Future[None] | None = None
        self._next_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def offer(self, step: int, still: Still | None) -> None:
        """Draw and write a preview, if the interval has passed and the last one is written."""
        now = time.monotonic()
        busy = self._writing is not None and not self._writing.done()
        if still is None or step < FIRST_STEP or busy or now < self._next_at:
            return
        self._next_at = now + PAUSE_SECONDS
        # An error in a preview must not fail the render.
        try:
            self._writing = self._pool.submit(self._write, still())
        except Exception as error:  # noqa: BLE001 - an engine may raise anything
            _log.warning("preview.failed", error=type(error).__name__)

    def _write(self, still: npt.NDArray[np.uint8]) -> None:
        try:
            write_preview(self._path, still)
        except Exception as error:  # noqa: BLE001 - an engine's picture may be invalid
            _log.warning("preview.failed", error=type(error).__name__)
        else:
            self.count += 1
