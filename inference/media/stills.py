"""Stills of a clip as JPEG."""

from __future__ import annotations

import io
from itertools import islice
from typing import TYPE_CHECKING

import av
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import FILE_FPS
from inference.media.atomic_files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SIDE = 512
"""Pixels: more than any classifier looks at, few enough to send many."""

QUALITY = 90

LEAST, MOST = 4, 16
"""Stills of a clip: one for each second, within these bounds."""


def write_stills(file: Path, directory: Path) -> list[Path]:
    """Write frames of a clip, evenly spaced from the first to the last, or an image's only one.

    Raises:
        EngineError: `file.unreadable`: nothing in it decodes; `disk.full`.
    """
    directory.mkdir(exist_ok=True)
    stills = []
    for number, still in enumerate(_sampled(file)):
        still.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        path = directory / f"{number:02}.jpg"
        write_bytes(path, jpeg(still, QUALITY))
        stills.append(path)
    if not stills:
        raise EngineError("file.unreadable", path=str(file))
    return stills


def _sampled(file: Path) -> Iterator[Image.Image]:
    try:
        with av.open(str(file)) as container:
            wanted = _places(container.streams.video[0].frames)
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    yield Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError) as error:
        raise EngineError("file.unreadable", path=str(file)) from error


def _places(frames: int) -> frozenset[int]:
    """Return which of so many frames are looked at; an image says that it has 0 or 1."""
    count = min(max(frames // FILE_FPS, LEAST), MOST)
    return frozenset(round(index * (frames - 1) / (count - 1)) for index in range(count)) | {0}


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
