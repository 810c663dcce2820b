"""Poster frame: the middle frame of a clip as JPEG."""

from __future__ import annotations

import io
from itertools import islice
from typing import TYPE_CHECKING

import av
from PIL import Image

from inference.domain.errors import EngineError
from inference.media.atomic_files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

QUALITY = 85


def write_poster(clip: Path, target: Path, max_side: int) -> None:
    """Write the middle frame, at most `max_side` pixels long, never enlarged.

    Raises:
        EngineError: `file.unreadable`: nothing in it decodes; `disk.full`.
    """
    still = middle_frame(clip)
    still.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    write_bytes(target, jpeg(still, QUALITY))


def middle_frame(path: Path) -> Image.Image:
    """Decode the middle frame of a clip (or the one of an image), RGB.

    Raises:
        EngineError: `file.unreadable`.
    """
    try:
        with av.open(str(path)) as container:
            middle = container.streams.video[0].frames // 2
            frame = next(islice(container.decode(video=0), middle, None))
            return Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise EngineError("file.unreadable", path=str(path)) from error


def jpeg(still: Image.Image, quality: int) -> bytes:
    """Return the image as a JPEG file."""
    data = io.BytesIO()
    still.save(data, "JPEG", quality=quality, optimize=True)
    return data.getvalue()
