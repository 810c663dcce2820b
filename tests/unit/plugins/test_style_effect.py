"""The effect of the style plugin: what it does with pictures and clips of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from bot.testing import apply_effect
from commands.parsing import synonyms
from tests.fakes.installs import STYLE

pytestmark = pytest.mark.deep


@pytest.fixture(autouse=True)
def package(monkeypatch):
    monkeypatch.syspath_prepend(STYLE)
    monkeypatch.syspath_prepend(STYLE / "benchmarks")


def clip(frames=9, height=48, width=64):
    """A bright sky over dark ground, with something red that moves."""
    y = np.linspace(230, 40, height)[:, None, None]
    made = np.repeat(np.repeat(y, width, 1), 3, 2) * np.array([0.8, 0.9, 1.0])
    made = np.repeat(made[None], frames, 0).astype(np.uint8)
    for number in range(frames):
        made[number, 20:30, 2 * number : 2 * number + 10] = (220, 40, 30)
    return made


def styled(frames, picture, strength=100):
    from rushes_style.effect import STYLE

    return apply_effect(
        STYLE, frames, pictures={"style": picture}, values={"style-strength": strength}
    )


def plain(*colour, height=8, width=8):
    return np.full((height, width, 3), colour, np.uint8)


def test_the_words_of_who_lacks_the_plugin_name_its_options_and_its_folder():
    from rushes_style.effect import STYLE as EFFECT

    assert set(synonyms.BUNDLED_OPTIONS) == {option.name for option in EFFECT.options}
    folders = {*synonyms.BUNDLED_OPTIONS.values(), *synonyms.BUNDLED_COMMANDS.values()}
    assert [str(STYLE).endswith(folder) for folder in folders] == [True]


def test_a_clip_comes_near_the_palette_of_a_picture_and_keeps_its_drawing():
    from measures import distance, ssim
    from pictures import style_pictures
    from rushes_style.colour import to_lab

    frames = clip()
    for name in ("sunset",):
        picture = style_pictures()[name]
        made = styled(frames, picture)
        look = to_lab(picture.reshape(-1, 3)[::7])
        before, after = (distance(to_lab(f.reshape(-1, 3)), look) for f in (frames, made))
        assert after < 0.5 * before, name
        assert ssim(to_lab(frames[0])[..., 0], to_lab(made[0])[..., 0]) > 0.85, name


def test_strength_goes_from_nothing_to_everything():
    frames, picture = clip(), plain(250, 150, 60)
    assert np.array_equal(styled(frames, picture, 0), frames)
    changes = [
        np.abs(styled(frames, picture, strength).astype(int) - frames).mean()
        for strength in (25, 50, 100)
    ]
    assert changes == sorted(changes)
    assert changes[0] > 1


def test_all_frames_of_a_scene_get_one_look():
    frames = np.repeat(clip(1), 20, 0)
    made = styled(frames, plain(40, 90, 40))
    assert np.array_equal(made, np.repeat(made[:1], 20, 0))


def test_noise_is_not_brought_out():
    noise = np.random.default_rng(1).integers(0, 3, (20, 48, 64, 3), np.uint8)
    made = styled(np.repeat(clip(1), 20, 0) + noise, plain(250, 150, 60))
    assert np.array_equal(made, np.repeat(made[:1], 20, 0))


def test_what_changes_slowly_is_followed():
    frames = np.repeat(clip(1), 24, 0) + np.arange(24, dtype=np.uint8)[:, None, None, None]
    picture = plain(60, 160, 90)
    made, last = styled(frames, picture).astype(int), frames.copy()
    last[8:] = frames[-1]  # the same look, with nothing to wait for
    assert np.abs(made[-1] - styled(last, picture)[-1]).max() <= 8
    assert np.abs(made[-1] - made[0]).mean() > 4


def test_the_lightness_of_colours_between_the_nodes_of_the_table_is_that_of_the_curve():
    from pictures import style_pictures
    from rushes_style.colour import to_lab
    from rushes_style.lightness import LEVELS, Motion, lightness_curve
    from rushes_style.look import Look, Picture

    frames, picture = clip(8), Picture.read(style_pictures()["paint"])
    lightness = to_lab(frames)[..., 0]
    few = Motion.of(lightness[:, ::4, ::4])
    curve = lightness_curve(lightness[0], few, picture.pixels[:, 0])
    made = frames.copy()
    Look.make(picture, frames).apply(made)
    off = to_lab(made)[..., 0] - np.interp(lightness, LEVELS, curve)
    assert np.abs(off).mean() < 0.4


@pytest.mark.slow
def test_a_fade_from_black_ends_in_the_look_without_a_jump():
    light = np.clip(np.arange(48) / 24, 0, 1)[:, None, None, None]
    frames = (np.repeat(clip(1), 48, 0) * light).astype(np.uint8)
    picture = plain(60, 160, 90)
    made = styled(frames, picture)
    straight = styled(frames[-8:], picture)
    assert np.abs(made[-1].astype(int) - straight[-1]).mean() < 2
    means = made.astype(float).mean((1, 2, 3))
    assert np.abs(np.diff(means)).max() < 4 * np.abs(np.diff(frames.mean((1, 2, 3)))).max()


PICTURES = {
    "1x1": plain(200, 30, 60, height=1, width=1),
    "one colour": plain(30, 200, 60),
    "black": plain(0, 0, 0),
    "white": plain(255, 255, 255),
    "grey": np.random.default_rng(1).integers(0, 256, (20, 30, 1), np.uint8).repeat(3, 2),
    "grey without channels": np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8),
    "one column": np.random.default_rng(2).integers(0, 256, (500, 1, 3), np.uint8),
    "all transparent": np.zeros((5, 5, 4), np.uint8),
    "noise": np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8),
}


CLIPS = {
    "clip": clip(9, 24, 32),
    "pixel": clip(1, 1, 1),
    "white": np.full((3, 8, 9, 3), 255, np.uint8),
    "black": np.zeros((8, 8, 8, 3), np.uint8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("frames", CLIPS)
def test_every_picture_and_every_clip_gives_frames(name, frames):
    made = styled(CLIPS[frames], PICTURES[name])
    assert made.shape == CLIPS[frames].shape
    assert made.dtype == np.uint8


def test_what_is_transparent_does_not_count():
    from rushes_style.look import Picture

    picture = np.zeros((10, 10, 4), np.uint8)
    picture[:2] = (200, 100, 50, 255)
    seen = Picture.read(picture).pixels
    assert len(seen) == 20
    assert np.ptp(seen, 0).max() == 0


def test_a_huge_picture_is_looked_at_here_and_there():
    from rushes_style.look import Picture

    assert len(Picture.read(np.zeros((3000, 4000, 3), np.uint8)).pixels) <= 12_000


@pytest.mark.parametrize(
    "picture", [np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8), np.zeros(3, np.uint8)]
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match="not a picture"):
        styled(clip(1), picture)


def test_grey_pictures_make_grey_clips():
    made = styled(clip(), PICTURES["grey"]).astype(int)
    assert np.abs(made - made.mean(-1, keepdims=True)).max() <= 3


def test_colours_are_refined_until_the_palette_is_that_of_the_picture():
    from pictures import style_pictures
    from rushes_style.colour import to_lab
    from rushes_style.refinement import Refinement, is_far
    from rushes_style.transport import Palette, Transport

    random = np.random.default_rng(1)
    clip = np.array([[55, -25, 20]]) + random.normal(size=(3000, 3)) * [18, 6, 6]
    clip = clip.astype(np.float32)
    picture = to_lab(style_pictures()["sunset"].reshape(-1, 3)[::29])
    source = Palette.of(clip)
    transport = Transport.between(source, Palette.of(picture - np.float32([0, 30, 30])))
    refined = Refinement.of(transport, source, Palette.of(picture))

    def moved(by):
        return np.concatenate([clip[:, :1], by(clip)[:, 1:]], 1)

    assert is_far(moved(transport), clip, picture)
    assert not is_far(moved(refined), clip, picture)
    assert np.array_equal(refined(clip)[:, 0], clip[:, 0])
