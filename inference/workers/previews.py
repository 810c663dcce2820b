"""Preview thread: writes preview stills at intervals."""

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
"""At least this long between two previews: cards are edited every few seconds."""

FIRST_STEP = 2
"""After the first step there is nothing to see yet."""


class Previews:
    """Writes the newest preview over the last one, without delaying the render.

    When the context is left, the thread has ended. The last preview stays, because somebody may be
    reading it; it goes with the job's files.

    Args:
        directory: Of the attempt.
    """

    def __init__(self, directory: Path) -> None:
        self.count = 0
        """How many were written."""
        self._path = directory / PREVIEW_NAME
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._writing: Future[None] | None = None
        self._next_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def offer(self, step: int, still: Still | None) -> None:
        """Draw and write a still if it is time for one and the last one is written."""
        now = time.monotonic()
        busy = self._writing is not None and not self._writing.done()
        if still is None or step < FIRST_STEP or busy or now < self._next_at:
            return
        self._next_at = now + PAUSE_SECONDS
        # Previews are optional, so no render fails without one.
        try:
            self._writing = self._pool.submit(self._write, still())
        except Exception as error:  # noqa: BLE001 - whatever an engine's drawing raises
            _log.warning("preview.failed", error=type(error).__name__)

    def _write(self, still: npt.NDArray[np.uint8]) -> None:
        try:
            write_preview(self._path, still)
        except Exception as error:  # noqa: BLE001 - whatever it cannot be encoded for
            _log.warning("preview.failed", error=type(error).__name__)
        else:
            self.count += 1
