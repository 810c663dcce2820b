import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.media.encode import write_image
from inference.media.provenance import read_recipe
from inference.media.results import Rung
from inference.media.size_reduction import fit
from inference.media.watermark import Stamp
from tests.unit.media.conftest import MakeClip
from tests.unit.media.media_samples import decode, moving

SIZE = Size(640, 360)
RECIPE = {"prompt": "여우 🦊 " * 50, "seed": 7}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    make_clip = MakeClip(directory=tmp_path_factory.mktemp("original"))
    return make_clip(moving(24, SIZE, noise=8), RECIPE)


@pytest.fixture
def clip(original, tmp_path):
    """A clip of about 1.1 MB."""
    return replace(original, path=Path(shutil.copy(original.path, tmp_path)))


def test_a_file_that_fits_stays_as_it_is(clip, tmp_path):
    fitted = fit(clip.path, clip.size, tmp_path)
    assert (fitted.path, fitted.rung) == (clip.path, Rung.ORIGINAL)
    assert (fitted.width, fitted.height) == (640, 360)


@pytest.mark.parametrize(
    ("limit", "rung", "width"),
    [
        pytest.param(1_000_000, Rung.BITRATE, 640, marks=pytest.mark.slow),
        pytest.param(200_000, Rung.BITRATE, 640, marks=pytest.mark.slow),
        (25_000, Rung.BITRATE, 640),
        (16_000, Rung.SMALLER, 480),
        pytest.param(10_000, Rung.SMALLER, 320, marks=pytest.mark.slow),
        (5_000, Rung.STILL, None),
    ],
)
@pytest.mark.cases(1)
def test_the_first_rung_that_fits_wins(clip, tmp_path, limit, rung, width):
    fitted = fit(clip.path, limit, tmp_path)

    assert fitted.rung == rung
    assert fitted.path.stat().st_size <= limit
    assert sorted(tmp_path.iterdir()) == sorted([clip.path, fitted.path])
    with av.open(str(fitted.path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (fitted.width, fitted.height)
    if rung is Rung.STILL:
        assert fitted.path.name == f"clip.fit-{limit}.jpg"
        return
    assert fitted.path.name == f"clip.fit-{limit}.mp4"
    assert fitted.width == width
    assert read_recipe(fitted.path) == RECIPE
    with av.open(str(fitted.path)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames) == (24, 24)
        assert stream.pix_fmt == "yuv420p"
    head = fitted.path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


@pytest.mark.slow
def test_a_larger_limit_never_gives_a_worse_rung(clip, tmp_path):
    rungs = [fit(clip.path, limit, tmp_path).rung for limit in range(8_000, 12_001, 500)]
    order = [Rung.STILL, Rung.SMALLER, Rung.BITRATE]
    assert rungs == sorted(rungs, key=order.index)


@pytest.mark.slow
def test_most_of_the_room_is_used(clip, tmp_path):
    limit = clip.size // 2
    assert fit(clip.path, limit, tmp_path).path.stat().st_size > limit * 0.75


@pytest.mark.slow
def test_the_watermark_survives(make_clip, tmp_path):
    clip = make_clip(moving(12, SIZE, noise=20))
    fitted = fit(clip.path, clip.size // 4, tmp_path)
    assert fitted.rung is Rung.BITRATE
    stamp = Stamp.draw(WatermarkSettings(), SIZE)
    covered = np.argwhere(stamp.keep[..., 0] < 80)  # inside the letters
    rows, columns = (covered + np.array([stamp.top, stamp.left])).T
    before, after = decode(clip.path)[6], decode(fitted.path)[6]
    assert after[rows, columns].mean() == pytest.approx(before[rows, columns].mean(), abs=15)


@pytest.mark.slow
def test_a_result_of_an_earlier_call_is_used_again(clip, tmp_path):
    for limit in (200_000, 16_000, 5_000):
        first = fit(clip.path, limit, tmp_path)
        stamp = first.path.stat()
        assert fit(clip.path, limit, tmp_path) == first
        assert first.path.stat().st_mtime_ns == stamp.st_mtime_ns
        assert first.path.stat().st_ino == stamp.st_ino


@pytest.mark.slow
def test_a_platform_that_lied_about_its_limit_gets_a_smaller_file(clip, tmp_path):
    first = fit(clip.path, clip.size // 2, tmp_path)
    refused = first.path.stat().st_size
    second = fit(clip.path, int(refused * 0.9), tmp_path)
    assert second.path != first.path
    assert second.path.stat().st_size <= refused * 0.9


@pytest.mark.cases(1)
@pytest.mark.parametrize("limit", [5_000, 8_000, 12_000, 20_000])
def test_pure_noise_is_made_to_fit_too(make_clip, tmp_path, limit):
    clip = make_clip(moving(2, SIZE, noise=90))
    fitted = fit(clip.path, limit, tmp_path)
    assert fitted.rung is not Rung.ORIGINAL
    assert fitted.path.stat().st_size <= limit


def test_an_image_becomes_a_jpeg_of_the_largest_size_that_fits(tmp_path):
    frame = moving(1, SIZE)[0]
    image = write_image(tmp_path / "image.png", frame, RECIPE)
    fitted = fit(image.path, image.size // 4, tmp_path)
    assert (fitted.rung, fitted.width, fitted.height) == (Rung.STILL, 640, 360)
    with Image.open(fitted.path) as still:
        assert np.abs(np.asarray(still).astype(int) - frame).mean() < 6


def test_when_nothing_fits_it_says_so_and_leaves_nothing(clip, tmp_path):
    with pytest.raises(EngineError) as caught:
        fit(clip.path, 200, tmp_path)
    assert caught.value.code == "file.too_large"
    assert caught.value.params == {"limit": 200}
    assert list(tmp_path.iterdir()) == [clip.path]


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(clip, tmp_path):
    limit = clip.size // 2
    room = tmp_path / "room"
    room.mkdir()
    (room / f"clip.fit-{limit}.mp4.part.part").symlink_to("/dev/full")
    with pytest.raises(EngineError) as caught:
        fit(clip.path, limit, room)
    assert caught.value.code == "disk.full"
    assert list(room.iterdir()) == []


def test_what_is_no_clip_is_unreadable(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"garbage" * 1000)
    with pytest.raises(EngineError) as caught:
        fit(broken, 100, tmp_path)
    assert caught.value.code == "file.unreadable"


def test_a_clip_whose_pictures_are_missing_is_unreadable(clip, tmp_path):
    data = clip.path.read_bytes()
    clip.path.write_bytes(data[: data.index(b"mdat") + 60_000])
    with pytest.raises(EngineError) as caught:
        fit(clip.path, 50_000, tmp_path)
    assert caught.value.code == "file.unreadable"
    assert list(tmp_path.iterdir()) == [clip.path]
