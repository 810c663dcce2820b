"""Sound in clips: AAC at 48 kHz, as long as the frames and in time with them."""

import av
import numpy as np
import pytest

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import FrameChunk, Sound
from inference.media.encode import ClipWriter
from inference.media.size_reduction import fit
from inference.media.watermark import Stamp
from tests.unit.media.media_samples import moving

SIZE = Size(320, 180)
FRAMES = 48
"""Two seconds."""


def beep(rate, *, seconds=2.0, at=1.0, channels=1):
    """Silence with a loud tone of 0.1 s."""
    time = np.arange(round(seconds * rate)) / rate
    loud = (time >= at) & (time < at + 0.1)
    tone = np.where(loud, 0.8 * np.sin(2 * np.pi * 1000 * time), 0.0)
    return Sound(samples=np.tile(tone, (channels, 1)).astype(np.float32), rate=rate)


def write(path, sound, frames=FRAMES, pieces=4):
    with ClipWriter(path, SIZE, {"seed": 1}, Stamp.draw(WatermarkSettings(), SIZE), fps=24) as clip:
        for index, piece in enumerate(np.array_split(moving(frames, SIZE), pieces)):
            clip.write(FrameChunk(frames=piece, sound=sound if index == 0 else None))
    return path


def heard(path):
    """Return samples [channels, n], their rate, and the times of the streams' first packets."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == "aac"
        frames = [frame for frame in container.decode(audio=0) if frame.pts >= 0]
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), stream.rate


def loudest(samples, rate):
    """The middle of what is loud, in seconds."""
    places = np.flatnonzero(np.abs(samples[0]) > 0.4)
    return places.mean() / rate


@pytest.mark.cases(1)
@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_of_any_rate_is_heard_when_it_should_be(tmp_path, rate, channels):
    samples, written = heard(write(tmp_path / "a.mp4", beep(rate, channels=channels)))

    assert written == 48_000
    assert len(samples) == channels
    assert loudest(samples, written) == pytest.approx(1.05, abs=0.01)


@pytest.mark.cases(1)
@pytest.mark.parametrize("seconds", [0.5, 1.98, 3.0])
@pytest.mark.slow
def test_sound_ends_with_the_frames(tmp_path, seconds):
    path = write(tmp_path / "a.mp4", beep(48_000, seconds=seconds, at=0.2))

    with av.open(str(path)) as container:
        assert container.streams.audio[0].frames  # packets
        assert float(container.duration / 1e6) == pytest.approx(2.0, abs=0.05)
        assert len(list(container.decode(video=0))) == FRAMES
    samples, rate = heard(path)
    assert samples.shape[1] / rate == pytest.approx(2.0, abs=0.03)


def test_the_ladder_keeps_the_sound_in_time(tmp_path):
    path = write(tmp_path / "a.mp4", beep(44_100, channels=2))
    limit = path.stat().st_size * 2 // 3

    fitted = fit(path, limit, tmp_path)

    assert fitted.path != path
    assert fitted.path.stat().st_size <= limit
    samples, rate = heard(fitted.path)
    assert loudest(samples, rate) == pytest.approx(1.05, abs=0.01)


def test_clips_without_sound_have_no_sound_stream(tmp_path):
    with av.open(str(write(tmp_path / "a.mp4", None))) as container:
        assert not container.streams.audio


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    "samples",
    [np.zeros(10), np.zeros((3, 10)), np.full((1, 10), np.nan)],
    ids=["no channels", "three channels", "not finite"],
)
def test_what_is_no_sound_is_refused_and_nothing_is_left(tmp_path, samples):
    with pytest.raises(EngineError, match=r"encode\.wrong_sound"):
        write(tmp_path / "a.mp4", Sound(samples=samples.astype(np.float32), rate=48_000))
    assert not list(tmp_path.iterdir())


def test_sound_that_comes_late_is_refused(tmp_path):
    chunk = FrameChunk(frames=moving(2, SIZE))
    with ClipWriter(
        tmp_path / "a.mp4", SIZE, {}, Stamp.draw(WatermarkSettings(), SIZE), fps=24
    ) as clip:
        clip.write(chunk)
        with pytest.raises(EngineError, match=r"encode\.wrong_sound"):
            clip.write(FrameChunk(frames=chunk.frames, sound=beep(48_000)))
