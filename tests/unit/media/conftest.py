"""Clips for the media tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import FrameChunk
from inference.media.encode import ClipWriter, Encoded
from inference.media.watermark import Stamp
from tests.unit.media.media_samples import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeClip:
    """Writes real clips with the default watermark into the test's directory."""

    directory: Path

    def __call__(
        self,
        frames: Frames,
        recipe: dict[str, object] | None = None,
        settings: WatermarkSettings | None = None,
        name: str = "clip.mp4",
    ) -> Encoded:
        size = Size(frames.shape[2], frames.shape[1])
        stamp = Stamp.draw(settings or WatermarkSettings(), size)
        with ClipWriter(self.directory / name, size, recipe or {}, stamp, fps=24) as writer:
            for start in range(0, len(frames), 5):
                writer.write(FrameChunk(frames=frames[start : start + 5]))
        return writer.encoded


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    return MakeClip(directory=tmp_path)
