from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.opensora.geometry import (
    NANO_SIZES,
    OFFICIAL_SIZES,
    PixelSize,
    compute_decoded_size,
    flip_aspect,
    latent_frames,
    latent_size,
    nano_size,
    official_size,
    schedule_ratio,
    timesteps,
)
from tests.opensora import opensora_vectors as vectors


@pytest.fixture(params=vectors.sets())
def recorded(request):
    return vectors.read_json(request.param / "geometry_and_schedule.json")


def test_the_aspect_tables_are_those_of_the_original(recorded):
    ours = {
        resolution: {aspect: list(size) for aspect, size in table.items()}
        for resolution, table in OFFICIAL_SIZES.items()
    }
    assert ours == recorded["aspect"]


def test_sizes_lengths_and_schedules_are_those_of_the_original(recorded):
    for combo in recorded["combos"]:
        size, frames = PixelSize(*combo["image_size"]), combo["num_frames"]
        assert OFFICIAL_SIZES[combo["resolution"]][combo["aspect"]] == size
        assert [latent_frames(frames), *latent_size(size)] == combo["latent"]
        assert [frames, *compute_decoded_size(size)] == combo["decoded"]
        ratio = schedule_ratio(size, frames)
        assert ratio == pytest.approx(combo["ratio_fp32"], rel=1e-6)
        assert timesteps(2, ratio)[1] == pytest.approx(combo["t500_fp32"], rel=1e-6)
        if "schedule_30_fp32" in combo:
            assert timesteps(30, ratio) == pytest.approx(combo["schedule_30_fp32"], rel=1e-5)


def test_people_say_width_first():
    assert official_size("720p", "16:9") == PixelSize(height=720, width=1280)
    assert official_size("360p", "9:16") == PixelSize(height=640, width=360)
    assert nano_size("16:9") == PixelSize(height=64, width=112)
    assert flip_aspect("4:3") == "3:4"


@pytest.mark.parametrize("size", NANO_SIZES.values())
def test_nano_sizes_fill_whole_patches(size):
    assert size.height % 16 == size.width % 16 == 0


def test_an_image_is_one_latent_frame():
    assert latent_frames(1) == 1


@given(st.integers(1, 100))
def test_sixteen_frames_more_are_five_latent_frames_more(chunks):
    assert latent_frames(16 * chunks + 1) == 5 * chunks


@given(st.integers(-20, 500).filter(lambda frames: frames != 1 and (frames - 1) % 16))
def test_illegal_lengths_are_refused(frames):
    with pytest.raises(ValueError, match="16n"):
        latent_frames(frames)


@given(st.integers(1, 200), st.floats(0.05, 20))
def test_noise_levels_fall_from_the_top(steps, ratio):
    levels = timesteps(steps, ratio)
    assert len(levels) == steps
    assert levels[0] == pytest.approx(1000)
    assert all(above > below > 0 for above, below in pairwise(levels))
