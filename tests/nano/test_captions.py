"""Captions say what is in the scene, in many ways, and in the product's own form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.training.world.backgrounds import COLOURS, UNNAMED
from benchmarks.training.world.captions import brief, contradicted, describe, draw_scene, plain
from benchmarks.training.world.scenes import HIDING, Move, is_held_out
from benchmarks.training.world.words import MOVES, ODD_ENDINGS, UNDIRECTED, USUAL_COLOURS, WHERE
from inference.opensora.controls import Aesthetic, Camera, Motion

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, **changes):
    return replace(draw_scene(np.random.default_rng(seed)), **changes)


@given(seeds)
def test_a_caption_names_the_colour_and_ends_in_the_products_suffix(seed):
    scene = drawn(seed, motion=Motion.HIGH, camera=Camera.PAN_LEFT, aesthetic=Aesthetic.POOR)
    caption = describe(scene, np.random.default_rng(seed))
    usual = USUAL_COLOURS.get(scene.thing) == scene.colour
    assert usual or scene.colour in caption.prompt.split()
    assert caption.suffix == (
        " The aesthetic score is poor. The motion strength is high. camera motion: pan left."
    )


def test_a_caption_without_a_colour_is_of_the_usual_one():
    scene = drawn(1, thing="fox", colour="orange", place=UNNAMED)
    said = [describe(scene, np.random.default_rng(each)).prompt for each in range(40)]
    assert 5 < sum("orange" not in prompt for prompt in said) < 35


@pytest.mark.parametrize("seed", range(20))
def test_a_place_that_nobody_names_is_not_named(seed):
    prompt = describe(drawn(seed, place=UNNAMED), np.random.default_rng(seed)).prompt
    words = {word for ways in WHERE.values() for way in ways for word in way.split()[1:]}
    odd = {word for ending in ODD_ENDINGS for word in ending.split()}
    assert not set(prompt.split()) & (words - odd - set(COLOURS) - {"a", "an", "the", "of"})


@given(seeds)
def test_an_image_is_described_without_motion(seed):
    scene = drawn(seed, move=Move.LEFT, aesthetic=Aesthetic.OFF, camera=Camera.TILT_UP)
    caption = describe(scene, np.random.default_rng(seed), image=True)
    assert "left" not in caption.prompt
    assert caption.suffix == ""


@given(seeds)
def test_opposite_scenes_differ_in_nothing_but_the_way(seed):
    left = drawn(seed, move=Move.LEFT)
    right = contradicted(left, "move")
    words = [describe(scene, np.random.default_rng(seed)).prompt for scene in (left, right)]
    silent = [way for way in UNDIRECTED[Move.RIGHT] if way in words[1]]
    assert words[0].replace("left", "right") == words[1] or (silent and "right" not in words[1])


def test_captions_of_a_moving_thing_say_which_way_it_goes():
    scene = drawn(1, move=Move.LEFT)
    random = np.random.default_rng(0)
    assert all("left" in describe(scene, random).prompt for _ in range(300))
    assert all("left" in brief(scene, random).prompt for _ in range(300))


def test_a_caption_that_names_no_move_is_that_of_a_still_thing():
    scene = drawn(1, move=Move.STILL)
    random = np.random.default_rng(0)
    for caption in (describe, brief):
        told = [caption(scene, random).prompt for _ in range(300)]
        still = [any(words in one for words in MOVES[Move.STILL]) for one in told]
        assert 0.2 < np.mean(still) < 0.8


def test_a_scene_is_said_in_many_ways():
    scene, random = drawn(1), np.random.default_rng(0)
    assert len({describe(scene, random).prompt for _ in range(100)}) > 60


def test_the_plain_caption_says_it_all():
    scene = drawn(1, thing="fish", colour="orange", place="sea", move=Move.UP)
    assert plain(scene).prompt == "an orange fish moving up on the sea"


@pytest.mark.parametrize(
    ("attribute", "value", "other"),
    [
        ("move", Move.UP, Move.DOWN),
        ("camera", Camera.ZOOM_OUT, Camera.ZOOM_IN),
    ],
)
def test_a_contradiction_is_the_opposite(attribute, value, other):
    scene = drawn(1, **{attribute: value})
    assert contradicted(scene, attribute) == replace(scene, **{attribute: other})
    assert contradicted(contradicted(scene, attribute), attribute) == scene


@pytest.mark.parametrize("attribute", ["thing", "colour", "place"])
def test_a_contradiction_without_opposite_is_another(attribute):
    scene = drawn(1)
    assert getattr(contradicted(scene, attribute), attribute) != getattr(scene, attribute)


def test_what_has_no_opposite_is_not_contradicted():
    scene = drawn(1, move=Move.CIRCLE, camera=Camera.STATIC)
    assert contradicted(scene, "move") is None
    assert contradicted(scene, "camera") is None


@given(seeds, st.booleans())
def test_held_out_pairs_and_hidden_colours_stay_out(seed, held_out):
    scene = draw_scene(np.random.default_rng(seed), held_out=held_out)
    assert is_held_out(scene.colour, scene.thing) == held_out
    assert (scene.colour, scene.place) not in HIDING
