import hashlib
import resource
import signal
import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.domain.watermark import Corner, WatermarkSettings
from inference.engines.base import FrameChunk
from inference.engines.geometry import SIZES
from inference.media.encode import ClipWriter, write_image
from inference.media.provenance import read_recipe
from inference.media.watermark import Stamp
from tests.unit.media.media_samples import decode, moving, plain

pytestmark = pytest.mark.deep

WIDE = Size(640, 360)
RECIPE = {"prompt": "여우 🦊", "seed": 7}


def writer(path, size=WIDE):
    return ClipWriter(path, size, RECIPE, Stamp.draw(WatermarkSettings(), size), fps=24)


def write_chunks(path, *chunks):
    with writer(path) as clip:
        for frames in chunks:
            clip.write(FrameChunk(frames=frames))


def atoms(path):
    """Names of the file's top-level boxes, in order."""
    data, names, position = path.read_bytes(), [], 0
    while position < len(data):
        names.append(data[position + 4 : position + 8].decode())
        position += int.from_bytes(data[position : position + 4])
    return names


def test_the_file_is_what_every_player_takes(make_clip):
    clip = make_clip(moving(25, WIDE), RECIPE)

    with av.open(str(clip.path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert stream.average_rate == 24
        assert (stream.width, stream.height) == (640, 360)
        frames = list(container.decode(video=0))
    assert len(frames) == 25
    assert [frame.time for frame in frames] == pytest.approx([n / 24 for n in range(25)])
    assert read_recipe(clip.path) == RECIPE


def test_it_plays_before_it_is_all_there(make_clip):
    names = atoms(make_clip(moving(10, WIDE)).path)
    assert names.index("moov") < names.index("mdat")


def test_the_description_is_true(make_clip):
    clip = make_clip(moving(10, Size(480, 480)))
    data = clip.path.read_bytes()
    assert clip.size == len(data)
    assert clip.sha256 == hashlib.sha256(data).hexdigest()
    assert (clip.width, clip.height, clip.frames) == (480, 480, 10)


def test_the_same_frames_give_the_same_file(make_clip):
    frames = moving(10, WIDE)
    assert make_clip(frames, name="a.mp4").sha256 == make_clip(frames, name="b.mp4").sha256


@pytest.mark.cases(2)
@pytest.mark.parametrize("size", set(SIZES.values()), ids=str)
def test_every_product_size_can_be_written(make_clip, size):
    assert decode(make_clip(plain(2, size, 90)).path).shape == (2, size.height, size.width, 3)


@pytest.mark.cases(2)
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("corner", list(Corner))
def test_the_mark_is_seen_in_its_corner_of_every_frame_and_nowhere_else(make_clip, level, corner):
    settings = WatermarkSettings(corner=corner)
    frames = decode(make_clip(plain(6, WIDE, level), settings=settings).path)

    stamp = Stamp.draw(settings, WIDE)
    height, width, _ = stamp.keep.shape
    inside = np.zeros((360, 640), bool)
    inside[stamp.top : stamp.top + height, stamp.left : stamp.left + width] = True
    difference = np.abs(frames.astype(int) - level).max(axis=-1)
    assert (difference[:, inside].max(axis=1) > 80).all()
    near = 8  # the codec smears over one block
    around = np.zeros_like(inside)
    around[
        max(stamp.top - near, 0) : stamp.top + height + near,
        max(stamp.left - near, 0) : stamp.left + width + near,
    ] = True
    assert difference[:, ~around].max() <= 3


def test_colours_come_back_within_what_the_codec_loses(make_clip):
    colours = [(250, 30, 30), (30, 220, 40), (40, 60, 240), (230, 220, 20), (128, 128, 128)]
    frames = plain(5, WIDE, 0)
    for index, colour in enumerate(colours):
        frames[:, :, index * 128 : (index + 1) * 128] = colour
    decoded = decode(make_clip(frames).path)
    for index, colour in enumerate(colours):
        middle = decoded[:, 100, index * 128 + 64].astype(int)
        assert np.abs(middle - colour).max() <= 6


def test_quality_is_high_on_moving_pictures(make_clip):
    frames = moving(10, WIDE, noise=0)
    error = (decode(make_clip(frames).path)[:, :300].astype(float) - frames[:, :300]) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 38


def test_the_engines_frames_are_left_alone(make_clip):
    frames = moving(3, WIDE)
    frames.setflags(write=False)
    make_clip(frames)


def test_frames_that_are_not_contiguous_are_taken(make_clip):
    channels_first = np.ascontiguousarray(moving(3, WIDE, noise=0).transpose(0, 3, 1, 2))
    decoded = decode(make_clip(channels_first.transpose(0, 2, 3, 1)).path)
    assert np.abs(decoded[0, 50].astype(int) - channels_first[0, :, 50].T).mean() < 4


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 360, 638, 3), np.uint8),
        np.zeros((2, 640, 360, 3), np.uint8),
        np.zeros((2, 360, 640, 4), np.uint8),
        np.zeros((2, 360, 640, 3), np.float32),
    ],
    ids=["narrow", "turned", "alpha", "float"],
)
def test_frames_of_another_kind_fail_and_leave_nothing(tmp_path, frames):
    with pytest.raises(EngineError) as caught:
        write_chunks(tmp_path / "clip.mp4", plain(1, WIDE, 0), frames)
    assert caught.value.code == "encode.wrong_frames"
    assert list(tmp_path.iterdir()) == []


def test_a_clip_without_frames_fails_and_leaves_nothing(tmp_path):
    with pytest.raises(EngineError) as caught, writer(tmp_path / "clip.mp4"):
        pass
    assert caught.value.code == "encode.no_frames"
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_fail(tmp_path):
    with pytest.raises(EngineError) as caught, writer(tmp_path / "clip.mp4", Size(641, 360)):
        pass
    assert caught.value.code == "encode.odd_size"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cases(1)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_between_frames_leaves_nothing(tmp_path, error):
    clip = writer(tmp_path / "clip.mp4")

    def fail_midway():
        with clip:
            clip.write(FrameChunk(frames=moving(20, WIDE)))
            raise error

    with pytest.raises(error):
        fail_midway()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="not finished"):
        _ = clip.encoded


def test_a_full_disk_fails_for_good_and_leaves_nothing(tmp_path):
    (tmp_path / "clip.mp4.part").symlink_to("/dev/full")
    with pytest.raises(EngineError) as caught:
        write_chunks(tmp_path / "clip.mp4", moving(5, WIDE))
    assert caught.value.code == "disk.full"
    assert not caught.value.transient
    assert list(tmp_path.iterdir()) == []


FILLING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.unit.media.media_samples import moving
from inference.engines.base import FrameChunk
from inference.domain.errors import EngineError
from inference.media.encode import ClipWriter
from inference.media.watermark import Stamp
from inference.domain.watermark import WatermarkSettings
from inference.domain.spec import Size
size = Size(640, 360)
stamp = Stamp.draw(WatermarkSettings(), size)
try:
    with ClipWriter(Path(sys.argv[1]), size, {}, stamp, fps=24) as clip:
        for _ in range(10):
            clip.write(FrameChunk(frames=moving(10, size, noise=60)))
except EngineError as error:
    print(error.code)
"""


@pytest.mark.process
def test_a_disk_that_fills_up_midway_fails_and_leaves_nothing(tmp_path, request):
    def little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    child = subprocess.run(
        [sys.executable, "-c", FILLING, tmp_path / "clip.mp4", request.path.parent],
        preexec_fn=little_room,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert child.stdout.strip() == "disk.full", child.stderr
    assert list(tmp_path.iterdir()) == []


def test_images_are_exact_and_carry_no_mark(tmp_path):
    frame = moving(1, WIDE)[0]
    image = write_image(tmp_path / "image.png", frame, RECIPE)

    with Image.open(image.path) as opened:
        assert (np.asarray(opened) == frame).all()
    assert read_recipe(image.path) == RECIPE
    assert image.sha256 == hashlib.sha256(image.path.read_bytes()).hexdigest()
    assert (image.width, image.height, image.frames) == (640, 360, 1)
    assert list(tmp_path.iterdir()) == [image.path]


def test_an_image_on_a_full_disk_leaves_nothing(tmp_path):
    (tmp_path / "image.png.part").symlink_to("/dev/full")
    with pytest.raises(EngineError) as caught:
        write_image(tmp_path / "image.png", moving(1, WIDE)[0], RECIPE)
    assert caught.value.code == "disk.full"
    assert list(tmp_path.iterdir()) == []


def test_a_float_image_is_refused(tmp_path):
    with pytest.raises(EngineError) as caught:
        write_image(tmp_path / "image.png", np.zeros((8, 8, 3), np.float32), {})
    assert caught.value.code == "encode.wrong_frames"
