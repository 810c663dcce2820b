"""Size reduction: re-encodes a finished file in steps until it fits a platform's upload limit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.media.atomic_files import part_file, write_bytes
from inference.media.encode import Mp4, open_mp4
from inference.media.provenance import COMMENT
from inference.media.results import SCALES, STILL, Fitted, Rung
from inference.media.stills import jpeg, middle_frame
from inference.media.video_file import open_video

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer

_STILL_SCALES = (Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(1, 4), Fraction(1, 8))
_STILL_QUALITIES = (85, 60)
_TRIES = 3
"""Encodings per scale; each one lowers the bitrate by the excess of the last."""
_AIM = 0.92
"""Share of the limit that the first encoding aims at."""
_LEAST_BITS_PER_PIXEL = 0.02
"""Below this, H.264 shows blocks, and a smaller scale looks better."""
_BYTES_PER_FRAME = 24
"""Bytes of index entries of the container, per frame."""
_BYTES_PER_FILE = 2048
"""Bytes of headers of the container."""
_BYTES_PER_SOUND = 4
"""Bytes of index entries of the container, per packet of sound."""
_PRESET = "fast"


class _TooLargeError(Exception):
    """An encoding exceeded the limit; `size` is its size in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    path: Path
    size: Size
    frames: int
    """Number of frames; 0 for an image file."""
    rate: Fraction
    """Frames per second; 0 for an image file."""
    comment: str
    sound_bytes: int
    """Bytes of the sound stream, which is copied unchanged; 0 without one."""


def fit(source: Path, limit: int, directory: Path) -> Fitted:
    """Return the best version of a finished clip or image with at most `limit` bytes.

    New files are named `<stem>.fit-<limit>.mp4` or `.jpg`. Files of an earlier call are reused, so
    each source needs a separate directory. Clips keep their recipe and watermark.

    A platform that refuses a file within its limit (413) has a lower limit than documented: call
    again with 0.9 times the size of the refused file.

    Raises:
        EngineError: `file.too_large`: even the smallest still does not fit; `file.unreadable`;
            `disk.full`.
    """
    for rung in range(STILL):
        fitted = fit_rung(source, limit, directory, rung)
        if fitted is not None:
            return fitted
    return fit_still(source, limit, directory)


def fit_rung(source: Path, limit: int, directory: Path, rung: int) -> Fitted | None:
    """Return a clip at one of the rungs before `STILL`, or None if it does not fit there.

    A result of an earlier call is reused, at any scale. See `fit`.
    """
    original = _inspect(source)
    if source.stat().st_size <= limit:
        return _fitted(source, Rung.ORIGINAL, original.size)
    clip = directory / f"{source.stem}.fit-{limit}.mp4"
    if (size := _usable(clip)) is not None:
        return _fitted_clip(clip, size, original)
    size = _scale_size(original.size, SCALES[rung])
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
    """Return the size of an earlier call's result, or None; a damaged result is deleted."""
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
        with open_video(path) as container:
            stream = container.streams.video[0]
            return _Source(
                path=path,
                size=Size(stream.width, stream.height),
                frames=stream.frames,
                rate=stream.average_rate or Fraction(0),
                comment=container.metadata.get(COMMENT, ""),
                sound_bytes=_sound_bytes(container),
            )
    except (av.FFmpegError, IndexError) as error:
        raise EngineError("file.unreadable", path=str(path)) from error


def _scale_size(size: Size, scale: Fraction) -> Size:
    return Size(int(size.width * scale) & ~1, int(size.height * scale) & ~1)


def _encode_within(limit: int, original: _Source, clip: Path, size: Size) -> bool:
    """Write the clip at a size, and return whether it fits with enough bits per pixel."""
    overhead = _BYTES_PER_FILE + _BYTES_PER_FRAME * original.frames + len(original.comment)
    overhead += original.sound_bytes
    bits_per_frame = (limit - overhead) * 8 * _AIM / original.frames
    for _ in range(_TRIES):
        if bits_per_frame < size.width * size.height * _LEAST_BITS_PER_PIXEL:
            return False
        try:
            _encode(limit, original, clip, size, bits=int(bits_per_frame * original.rate))
        except _TooLargeError as error:
            bits_per_frame *= (limit - overhead) / max(error.size - overhead, 1) * _AIM
        else:
            return True
    return False


def _encode(limit: int, original: _Source, clip: Path, size: Size, bits: int) -> None:
    """Write the clip at `bits` per second.

    Raises:
        _TooLargeError: The result exceeds the limit; it is deleted.
    """
    options = {"preset": _PRESET, "b": str(bits), "maxrate": str(bits), "bufsize": str(bits)}
    with part_file(clip) as part:
        with open_mp4(
            part, size, rate=original.rate, comment=original.comment, options=options
        ) as mp4:
            _transcode(original.path, mp4)
        written = part.stat().st_size
        if written > limit:
            raise _TooLargeError(written)
        _inspect(part)  # raises if the result is not readable


def _transcode(path: Path, mp4: Mp4) -> None:
    """Re-encode a clip's frames and copy its sound, in the order of the file."""
    try:
        with open_video(path) as container:
            video = container.streams.video[0]
            video.thread_type = "AUTO"
            sound = next(iter(container.streams.audio), None)
            target = None if sound is None else mp4.copy_sound(sound)
            for packet in container.demux([video] if sound is None else [video, sound]):
                if packet.stream is video:
                    for frame in video.decode(packet):
                        mp4.encode(frame)
                elif packet.dts is not None and target is not None:
                    packet.stream = target
                    mp4.mux(packet)
    except av.FFmpegError as error:
        raise EngineError("file.unreadable", path=str(path)) from error


def _sound_bytes(container: InputContainer) -> int:
    sizes = [packet.size for packet in container.demux(audio=0)] if container.streams.audio else []
    return sum(sizes) + _BYTES_PER_SOUND * len(sizes)


def _write_still(limit: int, original: _Source, target: Path) -> Size:
    """Write the JPEG of the middle frame that fits, at the largest scale, then highest quality."""
    full = middle_frame(original.path)
    for scale in _STILL_SCALES:
        size = _scale_size(original.size, scale)
        still = full.resize((size.width, size.height), Image.Resampling.LANCZOS)
        for quality in _STILL_QUALITIES:
            data = jpeg(still, quality)
            if len(data) <= limit:
                write_bytes(target, data)
                return size
    raise EngineError("file.too_large", limit=limit)
