"""Size ladder: makes a finished file smaller until it fits a platform's upload limit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import FILE_FPS, Size
from inference.media.atomic_files import part_file, write_bytes
from inference.media.encode import open_mp4
from inference.media.provenance import COMMENT
from inference.media.results import SCALES, STILL, Fitted, Rung
from inference.media.stills import jpeg, middle_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STILL_SCALES = (Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(1, 4), Fraction(1, 8))
_STILL_QUALITIES = (85, 60)
_TRIES = 2
"""Encodings per size: the encoder may miss its bit rate once; the second aims that much lower."""
_AIM = 0.92
"""Share of the room that is aimed at."""
_LEAST_BITS_PER_PIXEL = 0.02
"""Under this H.264 turns to blocks, and fewer pixels look better."""
_BYTES_PER_FRAME = 24
"""Index entries of the container."""
_BYTES_PER_FILE = 2048
"""Headers of the container."""
_PRESET = "fast"


class _TooLargeError(Exception):
    """This encoding missed the limit; `size` says by how much."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    path: Path
    size: Size
    frames: int
    """0 for an image file."""
    comment: str


def fit(source: Path, limit: int, directory: Path) -> Fitted:
    """Return the best version of a finished clip or image with at most `limit` bytes.

    New files are named `<stem>.fit-<limit>.mp4` or `.jpg`; one that is there from an earlier
    call is used again, so each source needs a directory of its own. Clips keep their recipe
    and, being made from the marked file, their watermark.

    A platform that refuses a file although it fits (413) has a smaller limit than it says:
    call again with 0.9 times the size of what was refused.

    Raises:
        EngineError: `file.too_large`: not even a small still fits; `file.unreadable`;
            `disk.full`.
    """
    for rung in range(STILL):
        fitted = fit_rung(source, limit, directory, rung)
        if fitted is not None:
            return fitted
    return fit_still(source, limit, directory)


def fit_rung(source: Path, limit: int, directory: Path, rung: int) -> Fitted | None:
    """Return a clip at one of the sizes before `STILL`, or None when that size misses the limit.

    A result of an earlier call is returned whatever its size is. See `fit`.
    """
    original = _inspect(source)
    if source.stat().st_size <= limit:
        return _fitted(source, Rung.ORIGINAL, original.size)
    clip = directory / f"{source.stem}.fit-{limit}.mp4"
    if (size := _usable(clip)) is not None:
        return _fitted_clip(clip, size, original)
    size = _scaled(original.size, SCALES[rung])
    if original.frames and _encode_within(limit, original, clip, size):
        return _fitted_clip(clip, size, original)
    return None


def fit_still(source: Path, limit: int, directory: Path) -> Fitted:
    """Return a JPEG of the middle frame within the limit; see `fit`."""
    original = _inspect(source)
    still = directory / f"{source.stem}.fit-{limit}.jpg"
    size = _usable(still) or _write_still(limit, original, still)
    return _fitted(still, Rung.STILL, size)


def _usable(path: Path) -> Size | None:
    """Return the size of a result of an earlier call, or None; one that is damaged is deleted."""
    if not path.exists():
        return None
    try:
        return _inspect(path).size
    except EngineError:
        path.unlink()
        return None


def _fitted(path: Path, rung: Rung, size: Size) -> Fitted:
    return Fitted(path=path, rung=rung, width=size.width, height=size.height)


def _fitted_clip(path: Path, size: Size, original: _Source) -> Fitted:
    return _fitted(path, Rung.BITRATE if size == original.size else Rung.SMALLER, size)


def _inspect(path: Path) -> _Source:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return _Source(
                path=path,
                size=Size(stream.width, stream.height),
                frames=stream.frames,
                comment=container.metadata.get(COMMENT, ""),
            )
    except (av.FFmpegError, IndexError) as error:
        raise EngineError("file.unreadable", path=str(path)) from error


def _scaled(size: Size, scale: Fraction) -> Size:
    return Size(int(size.width * scale) & ~1, int(size.height * scale) & ~1)


def _encode_within(limit: int, original: _Source, clip: Path, size: Size) -> bool:
    """Write the clip at this size if that makes sense within the limit; say whether it did."""
    overhead = _BYTES_PER_FILE + _BYTES_PER_FRAME * original.frames + len(original.comment)
    bits_per_frame = (limit - overhead) * 8 * _AIM / original.frames
    for _ in range(_TRIES):
        if bits_per_frame < size.width * size.height * _LEAST_BITS_PER_PIXEL:
            return False
        try:
            _encode(limit, original, clip, size, rate=int(bits_per_frame * FILE_FPS))
        except _TooLargeError as error:
            bits_per_frame *= limit / error.size * _AIM
        else:
            return True
    return False


def _encode(limit: int, original: _Source, clip: Path, size: Size, rate: int) -> None:
    """Write the clip at `rate` bits per second.

    Raises:
        _TooLargeError: It came out larger than the limit; nothing was left behind.
    """
    options = {
        "preset": _PRESET,
        "b": str(rate),
        "maxrate": str(rate),
        "bufsize": str(rate),
    }
    with part_file(clip) as part:
        with open_mp4(part, size, comment=original.comment, options=options) as mp4:
            for frame in _decode(original.path):
                mp4.encode(frame)
        written = part.stat().st_size
        if written > limit:
            raise _TooLargeError(written)
        _inspect(part)  # what cannot be read is not sent


def _decode(path: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            yield from container.decode(video=0)
    except av.FFmpegError as error:
        raise EngineError("file.unreadable", path=str(path)) from error


def _write_still(limit: int, original: _Source, target: Path) -> Size:
    """Write the largest, then the finest JPEG of the middle frame that fits."""
    full = middle_frame(original.path)
    for scale in _STILL_SCALES:
        size = _scaled(original.size, scale)
        still = full.resize((size.width, size.height), Image.Resampling.LANCZOS)
        for quality in _STILL_QUALITIES:
            data = jpeg(still, quality)
            if len(data) <= limit:
                write_bytes(target, data)
                return size
    raise EngineError("file.too_large", limit=limit)
