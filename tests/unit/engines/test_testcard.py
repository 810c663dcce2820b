import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.domain.errors import Cancelled, EngineError
from inference.domain.spec import Aspect, Resolution, Size, Spec
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.registry import Models
from inference.engines.testcard_picture import Picture

SPEC = Spec(
    prompt="a red fox running through snow",
    model="testcard",
    resolution=Resolution.P360,
    aspect=Aspect.WIDE,
    frames=49,
    options={"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
    refine=False,
    seed=7,
    steps=10,
    cfg=7.0,
    loops=1,
)


def engine(**values):
    return Models({"testcard": {"step_seconds": 0, **values}}).create("testcard")


def frames(spec, **inputs):
    chunks = engine().render(spec, Inputs(**inputs), Monitor())
    return np.concatenate([chunk.frames for chunk in chunks])


def test_every_frame_differs_from_the_one_before():
    clip = frames(SPEC)

    assert all((before != after).any() for before, after in pairwise(clip))


@pytest.mark.parametrize(
    "other",
    [{"seed": 8}, {"prompt": "a blue fox"}],
    ids=["seed", "prompt"],
)
def test_what_was_asked_for_shows(other):
    assert (frames(SPEC)[0] != frames(replace(SPEC, **other))[0]).any()


def test_the_reference_image_shows(tmp_path):
    path = tmp_path / "reference.png"
    Image.new("RGB", (100, 40), (255, 105, 180)).save(path)

    first = frames(SPEC, image=path)[0]

    assert (first == (255, 105, 180)).all(axis=2).sum() > 1000


def test_an_unreadable_reference_image_fails_the_render(tmp_path):
    path = tmp_path / "reference.png"
    path.write_bytes(b"not a picture")

    with pytest.raises(EngineError, match=r"image\.unreadable"):
        frames(SPEC, image=path)


def test_loops_make_the_clip_longer():
    assert len(frames(replace(SPEC, loops=2))) == 49 + 32


def test_configured_steps_win_over_the_asked_ones():
    steps = []
    list(
        engine(steps=3).render(
            SPEC, Inputs(), Monitor(on_step=lambda *step: steps.append(step[:2]))
        )
    )

    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "values",
    [{"step_seconds": -1}, {"step_seconds": "slow"}, {"steps": 0}, {"steps": 1.5}, {"colour": 1}],
)
def test_a_configuration_that_makes_no_sense_is_refused(values):
    with pytest.raises(EngineError) as caught:
        engine(**values)
    assert caught.value.code == "model.bad_option"
    assert caught.value.params["option"] in values


def test_cancelling_ends_a_long_step_at_once():
    token = CancelToken()
    threading.Timer(0.1, token.cancel).start()
    slow = Models({"testcard": {"step_seconds": 3600}}).create("testcard")

    with pytest.raises(Cancelled):
        list(slow.render(SPEC, Inputs(), Monitor(cancel=token)))


@settings(max_examples=settings.default.max_examples // 2)
@given(
    prompt=st.text(max_size=300),
    size=st.sampled_from([Size(640, 360), Size(360, 640), Size(480, 480), Size(64, 36)]),
)
def test_any_text_can_be_drawn_at_any_size(prompt, size):
    picture = Picture.draw(prompt, size=size, seed=1, frames=49)

    assert picture.frame(48).shape == (size.height, size.width, 3)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "prompt", ["", "\ud800", "\0\n\r\t", "눈 속의 여우 🦊", "ثعلب أحمر", "x" * 2000, "word " * 400]
)
def test_hard_prompts_are_drawn(prompt):
    frames(replace(SPEC, prompt=prompt, frames=1))
