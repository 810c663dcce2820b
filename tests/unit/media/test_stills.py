from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.media.encode import write_image
from inference.media.stills import LEAST, MAX_SIDE, MOST, write_numbered, write_stills
from tests.unit.media.media_samples import moving, plain

SIZE = Size(64, 48)


def level(path):
    with Image.open(path) as still:
        assert still.format == "JPEG"
        return np.asarray(still)[4, 4].mean()


def test_stills_are_spread_over_the_clip_with_its_first_and_last_frame(make_clip, tmp_path):
    frames = plain(49, SIZE, 0)
    for index in range(49):
        frames[index] = 20 + index * 4

    stills = write_stills(make_clip(frames).path, tmp_path / "stills")

    assert [level(path) for path in stills] == pytest.approx(
        [20 + 4 * index for index in (0, 16, 32, 48)], abs=5
    )


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("frames", "count"),
    [(2, 2), (24, LEAST), (7 * 24, 7), (40 * 24, MOST)],
)
def test_longer_clips_are_looked_at_more_often_within_bounds(make_clip, tmp_path, frames, count):
    clip = make_clip(plain(frames, SIZE, 90)).path

    assert len(write_stills(clip, tmp_path / "stills")) == count


def test_an_image_is_its_own_only_still_and_not_too_large(tmp_path):
    image = write_image(tmp_path / "image.png", moving(1, Size(1280, 720))[0], {})

    [still] = write_stills(image.path, tmp_path / "stills")

    with Image.open(still) as picture:
        assert picture.size == (MAX_SIDE, 288)


def test_stills_of_an_earlier_try_are_written_anew(make_clip, tmp_path):
    clip = make_clip(plain(9, SIZE, 90)).path

    assert write_stills(clip, tmp_path / "stills") == write_stills(clip, tmp_path / "stills")


@pytest.mark.parametrize("content", [b"", b"no clip", b"\x00\x00\x00\x18ftypisom" + bytes(16)])
def test_a_broken_file_is_unreadable(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)

    with pytest.raises(EngineError, match=r"file\.unreadable"):
        write_stills(tmp_path / "clip.mp4", tmp_path / "stills")


@pytest.mark.parametrize(
    ("size", "count", "wanted"),
    [((640, 360), 4, (1288, 728)), ((640, 360), 3, (1288, 728)), ((360, 640), 4, (1464, 640))],
)
def test_a_sheet_has_every_picture_with_its_number_in_its_place(tmp_path, size, count, wanted):
    pictures = {}
    for number in range(1, count + 1):
        pictures[number] = tmp_path / f"{number}.png"
        Image.new("RGB", size, (0, 60 * number, 0)).save(pictures[number])

    write_numbered(pictures, tmp_path / "sheet.jpg")

    sheet = Image.open(tmp_path / "sheet.jpg")
    assert sheet.size == wanted
    columns = 2 if size[0] > size[1] else count
    for number in pictures:
        left = (number - 1) % columns * (size[0] + 8)
        top = (number - 1) // columns * (size[1] + 8)
        corner = sheet.crop((left, top, left + 40, top + 40)).convert("L")
        assert corner.getextrema()[1] > 200  # the number is white on black
        assert abs(sheet.getpixel((left + size[0] // 2, top + size[1] // 2))[1] - 60 * number) < 9
    assert b"trainedAlgorithmicMedia" in (tmp_path / "sheet.jpg").read_bytes()


def test_a_sheet_with_a_broken_picture_is_none(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(EngineError, match="unreadable"):
        write_numbered({1: tmp_path / "broken.png"}, tmp_path / "sheet.jpg")
    assert not (tmp_path / "sheet.jpg").exists()
