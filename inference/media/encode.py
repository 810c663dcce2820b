"""Encoding of finished files: H.264 clips with AAC sound, written as frames arrive; PNG images."""

from __future__ import annotations

import hashlib
import io
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.media.atomic_files import part_file, write_bytes
from inference.media.provenance import COMMENT, PNG_XMP, mark_mp4, recipe_comment, xmp
from inference.media.sound import SoundTrack
from inference.media.video_file import address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

    from inference.engines.base import FrameChunk, Sound
    from inference.media.watermark import Stamp

CRF = 18
"""x264's constant rate factor of finished clips: visually lossless."""
PRESET = "veryfast"
"""x264's preset: half the time of `fast` for the same size and 0.1 dB (49 frames: 0.3 s, 0.5 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Description of a finished file, complete on disk."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    width: int
    height: int
    frames: int


class ClipWriter:
    """Context manager that writes a watermarked clip to `path` while its frames arrive.

    Equal frames do not always give equal bytes: in a few hundred encodings x264 encodes one frame
    slightly differently, also with one thread. Seeds guarantee frames, not files.

    The file exists only if the block ends without an error; `encoded` describes it.

    Raises:
        EngineError: On leaving: `encode.no_frames`; anywhere: `disk.full`.
    """

    def __init__(
        self, path: Path, size: Size, recipe: dict[str, Any], stamp: Stamp, *, fps: int
    ) -> None:
        self._path = path
        self._size = size
        self._fps = fps
        self._comment = recipe_comment(recipe)
        self._stamp = stamp
        self._options = {"preset": PRESET, "crf": str(CRF)}
        self._stack = ExitStack()
        self._encoded: Encoded | None = None

    @property
    def encoded(self) -> Encoded:
        """The finished file.

        Raises:
            RuntimeError: The block has not ended, or it raised.
        """
        if self._encoded is None:
            raise RuntimeError("the clip is not finished")
        return self._encoded

    def __enter__(self) -> Self:
        self._mp4 = self._stack.enter_context(
            open_mp4(
                self._path, self._size, rate=self._fps, comment=self._comment, options=self._options
            )
        )
        return self

    def write(self, chunk: FrameChunk) -> None:
        """Watermark and encode the next frames; the chunk is not changed.

        Raises:
            EngineError: `encode.wrong_frames`: not uint8 RGB of the clip's size;
                `encode.wrong_sound`; `disk.full`.
        """
        _check_frames(chunk.frames.shape[1:], chunk.frames.dtype, self._size)
        if chunk.sound is not None:
            self._mp4.add_sound(chunk.sound)
        for index in range(len(chunk.frames)):
            # One frame at a time: a copy of a 720p chunk would take hundreds of megabytes.
            stamped = chunk.frames[index : index + 1].copy()
            self._stamp.apply(stamped)
            self._mp4.encode(av.VideoFrame.from_ndarray(stamped[0], format="rgb24"))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)
        if error is None:
            self._encoded = _describe(self._path, self._size, self._mp4.frames)


def write_image(
    path: Path, frame: npt.NDArray[np.uint8], recipe: dict[str, Any], stamp: Stamp | None = None
) -> Encoded:
    """Write one frame [height, width, 3] as PNG, with its recipe and an optional watermark.

    Raises:
        EngineError: `encode.wrong_frames`: not a uint8 RGB frame; `disk.full`.
    """
    size = Size(frame.shape[1], frame.shape[0])
    _check_frames(frame.shape, frame.dtype, size)
    if stamp is not None:
        stamped = frame[np.newaxis].copy()
        stamp.apply(stamped)
        frame = stamped[0]
    comment = PngInfo()
    comment.add_text(COMMENT, recipe_comment(recipe))
    comment.add_itxt(PNG_XMP, xmp().decode())
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "PNG", pnginfo=comment)
    write_bytes(path, data.getvalue())
    return _describe(path, size, frames=1)


class Mp4:
    """An mp4 file open for writing; see `open_mp4`."""

    def __init__(
        self,
        container: OutputContainer,
        size: Size,
        rate: Fraction | int,
        options: Mapping[str, str],
    ) -> None:
        self.frames = 0
        """Number of frames encoded so far."""
        self._container = container
        self._sound: SoundTrack | None = None
        self._size = size
        self._time_base = 1 / Fraction(rate)
        self._stream = container.add_stream("libx264", rate=rate, options=dict(options))
        self._stream.width, self._stream.height = size.width, size.height
        self._stream.pix_fmt = "yuv420p"
        # For untagged files players choose BT.601 or BT.709 differently.
        self._stream.codec_context.colorspace = Colorspace.ITU709
        self._stream.codec_context.color_primaries = Colorspace.ITU709
        self._stream.codec_context.color_trc = Colorspace.ITU709
        self._stream.codec_context.color_range = ColorRange.MPEG

    def add_sound(self, sound: Sound) -> None:
        """Add a sound stream; only before the first frame.

        Raises:
            EngineError: `encode.wrong_sound`: not valid sound, or frames were written already.
        """
        if self.frames:
            raise EngineError("encode.wrong_sound", got=f"sound after {self.frames} frames")
        self._sound = SoundTrack(self._container, sound)

    def copy_sound(self, stream: AudioStream) -> AudioStream:
        """Add a stream like another file's, for `mux`; only before the first frame."""
        return self._container.add_stream_from_template(stream)

    def mux(self, packet: av.Packet[Any]) -> None:
        """Append a packet of a copied stream."""
        self._container.mux(packet)

    def encode(self, frame: av.VideoFrame) -> None:
        """Append a frame; any size and pixel format is converted to the file's."""
        converted = frame.reformat(
            width=self._size.width,
            height=self._size.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
        )
        converted.pts = self.frames
        converted.time_base = self._time_base
        self._container.mux(self._stream.encode(converted))
        self.frames += 1
        if self._sound is not None:
            self._sound.write_until(float(self.frames * self._time_base))

    def finish(self) -> None:
        """Flush the encoder.

        Raises:
            EngineError: `encode.no_frames`.
        """
        if not self.frames:
            raise EngineError("encode.no_frames")
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish(float(self.frames * self._time_base))


@contextmanager
def open_mp4(
    target: Path, size: Size, *, rate: Fraction | int, comment: str, options: Mapping[str, str]
) -> Iterator[Mp4]:
    """Open an H.264 file for writing, in yuv420p, with the AI mark and with its index first.

    Args:
        target: Path of the file, which is replaced only if the block ends without an error.
        size: Size in pixels, even in both directions.
        rate: Frames per second.
        comment: The `comment` tag.
        options: Options of libx264, such as `crf`.

    Raises:
        EngineError: `encode.odd_size`, `encode.no_frames` or `disk.full`.
    """
    if size.width % 2 or size.height % 2:
        raise EngineError("encode.odd_size", size=str(size))
    muxer = {"movflags": "+faststart"}
    with part_file(target) as part:
        with av.open(address(part), "w", format="mp4", options=muxer) as container:
            container.metadata[COMMENT] = comment
            mp4 = Mp4(container, size, rate, options)
            yield mp4
            mp4.finish()
        mark_mp4(part)


def _check_frames(shape: tuple[int, ...], dtype: np.dtype[Any], size: Size) -> None:
    if shape != (size.height, size.width, 3) or dtype != np.uint8:
        raise EngineError("encode.wrong_frames", expected=str(size), got=f"{dtype}{list(shape)}")


def _describe(path: Path, size: Size, frames: int) -> Encoded:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Encoded(
        path=path,
        size=path.stat().st_size,
        sha256=digest,
        width=size.width,
        height=size.height,
        frames=frames,
    )
