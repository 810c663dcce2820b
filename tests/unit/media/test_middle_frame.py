import numpy as np
import pytest

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.media.encode import write_image
from inference.media.stills import middle_frame
from tests.unit.media.media_samples import moving, plain

SIZE = Size(320, 180)


def test_it_is_the_middle_one_of_a_clip(make_clip):
    frames = plain(9, SIZE, 0)
    for index in range(9):
        frames[index] = 20 + index * 25

    frame = middle_frame(make_clip(frames).path)

    assert frame.size == (320, 180)
    assert np.asarray(frame)[20, 20] == pytest.approx(20 + 4 * 25, abs=4)


def test_an_image_has_one_too(tmp_path):
    image = write_image(tmp_path / "image.png", moving(1, SIZE)[0], {})
    assert middle_frame(image.path).size == (320, 180)


def test_a_clip_whose_pictures_are_missing_is_unreadable(make_clip, tmp_path):
    clip = make_clip(moving(24, SIZE)).path
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + 2000])
    with pytest.raises(EngineError) as caught:
        middle_frame(clip)
    assert caught.value.code == "file.unreadable"


@pytest.mark.parametrize("content", [b"", b"no clip", b"\x00\x00\x00\x18ftypisom" + bytes(16)])
def test_a_broken_clip_is_unreadable(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(EngineError) as caught:
        middle_frame(tmp_path / "clip.mp4")
    assert caught.value.code == "file.unreadable"
