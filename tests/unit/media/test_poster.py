import numpy as np
import pytest
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.media.encode import write_image
from inference.media.poster import write_poster
from tests.unit.media.media_samples import moving, plain

SIZE = Size(320, 180)


def test_the_poster_is_the_middle_frame(make_clip, tmp_path):
    frames = plain(9, SIZE, 0)
    for index in range(9):
        frames[index] = 20 + index * 25
    write_poster(make_clip(frames).path, tmp_path / "poster.jpg", max_side=320)

    with Image.open(tmp_path / "poster.jpg") as poster:
        assert poster.format == "JPEG"
        assert poster.size == (320, 180)
        assert np.asarray(poster)[20, 20] == pytest.approx(20 + 4 * 25, abs=4)


@pytest.mark.parametrize(("max_side", "size"), [(160, (160, 90)), (1000, (320, 180))])
def test_it_is_reduced_but_never_enlarged(make_clip, tmp_path, max_side, size):
    write_poster(make_clip(moving(3, SIZE)).path, tmp_path / "poster.jpg", max_side)
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert poster.size == size


def test_an_image_has_a_poster_too(tmp_path):
    image = write_image(tmp_path / "image.png", moving(1, SIZE)[0], {})
    write_poster(image.path, tmp_path / "poster.jpg", max_side=100)
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert poster.size == (100, 56)


def test_a_clip_whose_pictures_are_missing_is_unreadable(make_clip, tmp_path):
    clip = make_clip(moving(24, SIZE)).path
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + 2000])
    with pytest.raises(EngineError) as caught:
        write_poster(clip, tmp_path / "poster.jpg", max_side=100)
    assert caught.value.code == "file.unreadable"


@pytest.mark.parametrize("content", [b"", b"no clip", b"\x00\x00\x00\x18ftypisom" + bytes(16)])
def test_a_broken_clip_is_unreadable(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(EngineError) as caught:
        write_poster(tmp_path / "clip.mp4", tmp_path / "poster.jpg", max_side=100)
    assert caught.value.code == "file.unreadable"
    assert not (tmp_path / "poster.jpg").exists()
