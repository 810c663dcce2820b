"""The renderer draws what a scene says, as the pixels show; so the ruler is right too."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.training import measure
from benchmarks.training.prompts import COUNT, held_out, typed
from benchmarks.training.world.backgrounds import COLOURS, PLACES
from benchmarks.training.world.scenes import (
    HIDING,
    MOTION_LEVELS,
    WIDE,
    Move,
    Scene,
    cover,
    is_held_out,
    render,
)
from benchmarks.training.world.shapes import OUTLINES
from benchmarks.training.world.silhouettes import SILHOUETTES
from inference.opensora.controls import Aesthetic, Camera, Motion
from inference.opensora.geometry import NANO_SIZES


def scene(**changes):
    values = {
        "thing": "ball",
        "colour": "red",
        "place": "snow",
        "move": Move.STILL,
        "motion": Motion.FAIR,
        "camera": Camera.NONE,
        "aesthetic": Aesthetic.EXCELLENT,
        "seed": 3,
    }
    return Scene(**values | changes)


@pytest.mark.parametrize(
    ("colour", "place"),
    [
        pytest.param(colour, list(PLACES)[index % len(PLACES)], id=colour)
        for index, colour in enumerate(COLOURS)
        if (colour, list(PLACES)[index % len(PLACES)]) not in HIDING
    ],
)
def test_the_thing_has_its_colour_before_its_place(colour, place):
    frames = render(scene(colour=colour, place=place), WIDE, 5)
    assert measure.colour_of_thing(frames, place) == colour


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_recognised(place):
    assert measure.place_of(render(scene(place=place, colour="pink"), WIDE, 5)) == place


@pytest.mark.parametrize("thing", OUTLINES)
def test_a_thing_is_recognised_by_its_outline(thing):
    frames = render(scene(thing=thing, move=Move.RIGHT), WIDE, 9, fps=4)
    assert measure.thing_of(frames, "red", "snow") == thing


@pytest.mark.parametrize(
    ("colour", "thing", "place"),
    [
        ("white", "square", "meadow"),
        ("white", "fish", "night"),
        ("brown", "moon", "city"),
        ("blue", "boat", "checkerboard"),
    ],
)
def test_an_outline_is_read_in_a_place_that_shares_its_colour(colour, thing, place):
    moving = scene(thing=thing, colour=colour, place=place, move=Move.UP)
    assert measure.thing_of(render(moving, WIDE, 17, fps=8), colour, place) == thing


@pytest.mark.parametrize("move", [Move.STILL, Move.LEFT, Move.RIGHT, Move.UP, Move.DOWN])
@pytest.mark.parametrize("place", ["snow", "night", "checkerboard"])
def test_a_thing_moves_where_it_is_told(move, place):
    frames = render(scene(move=move, place=place), WIDE, 17, fps=8)
    assert measure.direction_of(frames, "red") is move


@pytest.mark.parametrize("camera", [camera for camera in Camera if camera is not Camera.NONE])
@pytest.mark.parametrize("place", ["sunset", "sky", "sea"])
def test_the_camera_moves_as_it_is_told(camera, place):
    frames = render(scene(camera=camera, place=place, colour="black"), WIDE, 49)
    assert measure.camera_of(frames) is camera


def test_a_panning_camera_leaves_the_other_axis_and_the_size_alone():
    right, up, zoom = measure.camera_flow(render(scene(camera=Camera.PAN_RIGHT), WIDE, 49))
    assert right == pytest.approx(-0.28, abs=0.06)
    assert abs(up) < 0.02
    assert abs(zoom) < 0.04


def test_more_motion_strength_moves_more():
    ways = [
        measure.movement(render(scene(move=Move.RIGHT, motion=motion), WIDE, 49), "red")[0]
        for motion in MOTION_LEVELS
    ]
    assert ways == sorted(ways)
    assert ways[-1] > 3 * ways[0] > 0  # short ways come out too long


def test_a_lower_frame_rate_shows_more_of_the_way():
    moving = scene(move=Move.RIGHT, motion=Motion.VERY_HIGH)
    slow, fast = (measure.movement(render(moving, WIDE, 17, fps), "red")[0] for fps in (24, 8))
    assert fast > 1.8 * slow > 0


def test_a_clip_that_begins_later_goes_on_from_within_the_first():
    moving = scene(move=Move.RIGHT, camera=Camera.ZOOM_IN)
    first, later = (render(moving, WIDE, 49, begins=share).astype(int) for share in (0, 2 / 3))
    assert abs(first[32:] - later[:17]).max() <= 1


def test_the_cover_says_which_pixels_the_thing_hides():
    moving = scene(thing="boat", move=Move.LEFT)
    hidden = cover(moving, WIDE, 9, 8)
    assert hidden.shape == (9, *WIDE)
    difference = render(moving, WIDE, 9, 8).astype(int) - render(
        replace(moving, colour="blue"), WIDE, 9, 8
    )
    assert ((hidden > 0.02) == (abs(difference).sum(-1) > 3)).mean() > 0.999


def test_a_better_level_has_more_colour_and_contrast():
    levels = [level for level in Aesthetic if level is not Aesthetic.OFF]
    frames = [render(scene(aesthetic=level), WIDE, 1) for level in levels]
    colourful = [measure.saturation(frame) for frame in frames]
    assert colourful == sorted(colourful)
    contrast = [frame.std() for frame in frames]
    assert contrast == sorted(contrast)


@pytest.mark.parametrize("aspect", NANO_SIZES)
def test_the_whole_thing_is_in_the_picture_at_every_aspect(aspect):
    size = NANO_SIZES[aspect]
    for seed in range(4):
        frames = render(scene(move=Move.UP, seed=seed, colour="purple"), size, 49)
        assert frames.shape == (49, size.height, size.width, 3)
        assert measure.thing_of(frames, "purple", "snow") == "ball"


def test_the_same_scene_gives_the_same_pixels_and_another_seed_others():
    one, again = (render(scene(), WIDE, 3) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, render(replace(scene(), seed=4), WIDE, 3))


def test_about_one_pair_in_ten_is_held_out_and_none_of_a_kind_completely():
    held = {(c, t) for c in COLOURS for t in OUTLINES if is_held_out(c, t)}
    assert len(held) == pytest.approx(len(COLOURS) * len(OUTLINES) / 10, rel=0.2)
    assert {colour for colour, _ in held} == set(COLOURS)
    assert {thing for _, thing in held} == set(OUTLINES)


@pytest.mark.parametrize("thing", ["fox", "horse", "train"])
def test_what_looks_where_it_goes_is_turned_to_the_left(thing):
    right, left = (
        render(scene(thing=thing, move=move, place="plain white", motion=Motion.VERY_LOW), WIDE, 1)
        for move in (Move.RIGHT, Move.LEFT)
    )
    masks = [(abs(one[0].astype(int) - 255).sum(-1) > 60) for one in (right, left)]
    overlap = [
        (masks[0] & one).sum() / (masks[0] | one).sum() for one in (masks[1], masks[1][:, ::-1])
    ]
    assert overlap[0] < overlap[1]


def test_what_spins_comes_round_in_its_place():
    turning = scene(thing="square", move=Move.SPIN, place="plain white")
    corners = [cover(turning, WIDE, 25)[frame].max(1).sum() for frame in range(25)]
    assert max(corners) > 1.2 * min(corners)
    assert measure.direction_of(render(turning, WIDE, 49), "red") is Move.STILL


@pytest.mark.parametrize("thing", SILHOUETTES)
def test_a_silhouette_fills_its_frame_and_has_tones(thing):
    x, y = np.meshgrid(np.linspace(-1.5, 1.5, 151), np.linspace(1.5, -1.5, 151))
    inside = OUTLINES[thing](x, y) < 0
    reach = abs(np.stack((x, y)))[:, inside].max()
    assert 0.8 < reach < 1.3
    assert 0.12 < inside.mean() * 9 / 4 < 0.7
    assert len({part.tone for part in SILHOUETTES[thing]}) > 1


@pytest.mark.slow
def test_the_ruler_reads_drawn_answers_to_its_own_questions():
    right = dict.fromkeys(("colour", "thing", "place", "move"), 0)
    questions = [*held_out(COUNT), *typed()]
    for asked in (question.scene for question in questions):
        frames = render(asked, WIDE, 49)
        right["colour"] += measure.colour_of_thing(frames, asked.place) == asked.colour
        right["thing"] += measure.thing_of(frames, asked.colour, asked.place) == asked.thing
        right["place"] += measure.place_of(frames) == asked.place
        right["move"] += measure.direction_of(frames, asked.colour) is asked.move
    for aspect, count in right.items():
        assert count >= 0.99 * len(questions), aspect


@pytest.mark.parametrize("place", ["night", "city", "checkerboard"])
def test_the_colour_of_a_thing_is_read_in_a_place_that_is_a_little_darker(place):
    """A model's nights are never quite those of the drawn world."""
    shown = scene(thing="plane", colour="blue", place=place, move=Move.UP)
    frames = render(shown, WIDE, 49).astype(np.float32)
    covered = cover(shown, WIDE, 49)[..., None] > 0
    darker = np.where(covered, frames, frames * 0.7).astype(np.uint8)
    assert measure.colour_of_thing(darker, place) == "blue"
    assert measure.thing_of(darker, "blue", place) == "plane"


def test_questions_are_held_out_and_cover_every_thing_and_background():
    asked = [question.scene for question in held_out(COUNT)]
    assert all(is_held_out(one.colour, one.thing) for one in asked)
    assert {one.thing for one in asked} == set(OUTLINES)
    assert {one.place for one in asked} == set(PLACES)
    assert not {(one.colour, one.place) for one in asked} & HIDING
    assert len({one.seed for one in asked}) == len(asked) >= 100
