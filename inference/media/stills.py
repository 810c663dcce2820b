"""Stills of clips as JPEG, for moderation, posters, sheets and previews."""

from __future__ import annotations

import io
import math
from itertools import islice
from typing import TYPE_CHECKING

import av
from PIL import Image, ImageDraw, ImageFont

from inference.domain.errors import EngineError
from inference.media.atomic_files import write_bytes
from inference.media.provenance import xmp
from inference.media.video_file import open_video

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

MAX_SIDE = 512
"""Longer side of stills for moderation, in pixels: more than classifiers use, quick to upload."""

POSTER_SIDE = 960
"""Longer side of posters, in pixels: as wide as chats show pictures."""

SHEET_SIDE = 720
"""Longer side of each picture on a sheet, in pixels."""

SHEET_GAP = 8
"""Gap between pictures on a sheet, in pixels."""

NUMBER_SHARE = 0.12
"""Height of a number on a sheet, as a share of its picture's shorter side."""

QUALITY = 90

PREVIEW_SIDE = 320
"""Longer side of previews, in pixels."""

PREVIEW_BYTES = 40_000
"""Largest file of a preview."""

_PREVIEW_QUALITIES = (80, 60, 40, 20, 5)

LEAST, MOST = 4, 16
"""Bounds of the number of stills of a clip, which has one per second."""


def write_stills(file: Path, directory: Path) -> list[Path]:
    """Write evenly spaced frames of a clip, from the first to the last, or an image's only frame.

    Raises:
        EngineError: `file.unreadable`: nothing in it decodes; `disk.full`.
    """
    directory.mkdir(exist_ok=True)
    stills = []
    for number, still in enumerate(_sample_frames(file)):
        still.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        path = directory / f"{number:02}.jpg"
        write_bytes(path, jpeg(still, QUALITY))
        stills.append(path)
    if not stills:
        raise EngineError("file.unreadable", path=str(file))
    return stills


def write_sheet(file: Path, directory: Path, name: str) -> Path:
    """Write the stills of a clip, and a sheet with all of them in rows.

    Raises:
        EngineError: `file.unreadable`, `disk.full`.
    """
    stills = [Image.open(path) for path in write_stills(file, directory)]
    width, height = stills[0].size
    columns = math.ceil(math.sqrt(len(stills)))
    sheet = Image.new("RGB", (columns * width, math.ceil(len(stills) / columns) * height))
    for number, still in enumerate(stills):
        sheet.paste(still, (number % columns * width, number // columns * height))
    path = directory / name
    write_bytes(path, jpeg(sheet, QUALITY))
    return path


def _sample_frames(file: Path) -> Iterator[Image.Image]:
    try:
        with open_video(file) as container:
            stream = container.streams.video[0]
            wanted = _places(stream.frames, stream.average_rate)
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    yield Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError) as error:
        raise EngineError("file.unreadable", path=str(file)) from error


def _places(frames: int, rate: Fraction | None) -> frozenset[int]:
    """Return the indices of frames to take; images declare 0 or 1 frames."""
    seconds = int(frames / rate) if rate else 0
    count = min(max(seconds, LEAST), MOST)
    return frozenset(round(index * (frames - 1) / (count - 1)) for index in range(count)) | {0}


def middle_frame(path: Path) -> Image.Image:
    """Decode the middle frame of a clip (or the only one of an image), as RGB.

    Raises:
        EngineError: `file.unreadable`.
    """
    try:
        with open_video(path) as container:
            middle = container.streams.video[0].frames // 2
            frame = next(islice(container.decode(video=0), middle, None))
            return Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise EngineError("file.unreadable", path=str(path)) from error


def write_first_frame(file: Path, target: Path) -> None:
    """Write the first frame of a trusted clip as PNG.

    Raises:
        EngineError: `file.unreadable`: nothing in it decodes; `disk.full`.
    """
    try:
        with open_video(file) as container:
            frame = next(container.decode(video=0))
            still = Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise EngineError("file.unreadable", path=str(file)) from error
    data = io.BytesIO()
    still.save(data, "PNG")
    write_bytes(target, data.getvalue())


def write_poster(file: Path, target: Path) -> None:
    """Write the poster of a trusted clip or image: its middle frame.

    Raises:
        EngineError: `file.unreadable`: nothing in it decodes; `disk.full`.
    """
    poster = middle_frame(file)
    poster.thumbnail((POSTER_SIDE, POSTER_SIDE), Image.Resampling.LANCZOS)
    write_bytes(target, jpeg(poster, QUALITY))


def write_numbered(pictures: Mapping[int, Path], target: Path) -> None:
    """Write trusted pictures onto one sheet, two in a row; portrait ones all in one row.

    Args:
        pictures: Pictures by the number that is written in their corner.
        target: Path of the JPEG file.

    Raises:
        EngineError: `file.unreadable`: one of them does not decode; `disk.full`.
    """
    drawn = [_draw_number(number, path) for number, path in sorted(pictures.items())]
    width = max(picture.width for picture in drawn) + SHEET_GAP
    height = max(picture.height for picture in drawn) + SHEET_GAP
    columns = len(drawn) if height > width else 2
    rows = math.ceil(len(drawn) / columns)
    sheet = Image.new("RGB", (columns * width - SHEET_GAP, rows * height - SHEET_GAP))
    for place, picture in enumerate(drawn):
        sheet.paste(picture, (place % columns * width, place // columns * height))
    write_bytes(target, jpeg(sheet, QUALITY))


def _draw_number(number: int, path: Path) -> Image.Image:
    """Return a picture with a number, white on black, in its upper left corner."""
    try:
        picture = Image.open(path).convert("RGB")
    except (OSError, ValueError) as error:
        raise EngineError("file.unreadable", path=str(path)) from error
    picture.thumbnail((SHEET_SIDE, SHEET_SIDE), Image.Resampling.LANCZOS)
    size = max(round(min(picture.size) * NUMBER_SHARE), 8)
    font = ImageFont.load_default(size)
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, 0, size * 1.2, size * 1.2), fill="black")
    canvas.text((size * 0.6, size * 0.6), str(number), font=font, fill="white", anchor="mm")
    return picture


def jpeg(still: Image.Image, quality: int) -> bytes:
    """Encode an image as JPEG with the AI mark."""
    data = io.BytesIO()
    still.save(data, "JPEG", quality=quality, optimize=True, xmp=xmp())
    return data.getvalue()


def write_preview(target: Path, still: npt.NDArray[np.uint8]) -> None:
    """Write a preview [height, width, 3] as a JPEG of at most `PREVIEW_BYTES`, atomically.

    It has no watermark, because it is too small and blurred to be taken for a clip.

    Raises:
        EngineError: `disk.full`.
    """
    image = Image.fromarray(still)
    factor = PREVIEW_SIDE / max(image.size)
    size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
    image = image.resize(size, Image.Resampling.BICUBIC)
    for quality in _PREVIEW_QUALITIES:
        data = jpeg(image, quality)
        if len(data) <= PREVIEW_BYTES:
            break
    write_bytes(target, data)
