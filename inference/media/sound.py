"""Sound encoding: AAC at 48 kHz, interleaved with the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import numpy.typing as npt

from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from av.container import OutputContainer

    from inference.engines.base import Sound

RATE = 48_000
"""Samples per second in files, which all players support; sound is resampled to it."""
_BIT_RATE = {1: 96_000, 2: 160_000}
_LAYOUTS = {1: "mono", 2: "stereo"}
_BLOCK = 1024
"""Samples per channel of an AAC-LC frame."""


class SoundTrack:
    """Sound stream of an open file, written in step with its frames.

    Args:
        container: The file, before its first packet, because streams cannot be added later.
        sound: Sound of the whole clip.

    Raises:
        EngineError: `encode.wrong_sound`: not one or two channels of finite numbers.
    """

    def __init__(self, container: OutputContainer, sound: Sound) -> None:
        self._samples = _resample(sound)
        self._container = container
        self._layout = _LAYOUTS[len(self._samples)]
        self._stream = container.add_stream(
            "aac", rate=RATE, layout=self._layout, bit_rate=_BIT_RATE[len(self._samples)]
        )
        self._done = 0

    def write_until(self, seconds: float) -> None:
        """Encode the sound up to a time of the clip, in whole AAC frames."""
        while self._done + _BLOCK <= seconds * RATE:
            self._encode(self._done + _BLOCK)

    def finish(self, seconds: float) -> None:
        """Encode the rest, cut or padded with silence to the length of the clip."""
        end = round(seconds * RATE)
        while self._done < end:
            self._encode(min(self._done + _BLOCK, end))
        self._container.mux(self._stream.encode(None))

    def _encode(self, end: int) -> None:
        block = self._samples[:, self._done : end]
        block = np.pad(block, ((0, 0), (0, end - self._done - block.shape[1])))
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block), format="fltp", layout=self._layout
        )
        frame.sample_rate = RATE
        frame.pts = self._done
        self._container.mux(self._stream.encode(frame))
        self._done = end


def _resample(sound: Sound) -> npt.NDArray[np.float32]:
    samples = sound.samples
    if samples.ndim != 2 or len(samples) not in _LAYOUTS or not np.isfinite(samples).all():  # noqa: PLR2004 - channels, samples
        raise EngineError("encode.wrong_sound", got=f"{samples.dtype}{list(samples.shape)}")
    samples = np.ascontiguousarray(np.clip(samples, -1, 1), dtype=np.float32)
    if sound.rate == RATE or not samples.shape[1]:
        return samples
    layout = _LAYOUTS[len(samples)]
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.sample_rate = sound.rate
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE)
    parts = [part.to_ndarray() for part in (*resampler.resample(frame), *resampler.resample(None))]
    joined: npt.NDArray[np.float32] = np.concatenate(parts, axis=1)
    return joined
