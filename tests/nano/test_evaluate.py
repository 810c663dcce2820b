"""The evaluation, held against engines that draw what they are asked for, or the contrary."""

from dataclasses import replace
from itertools import islice

import pytest

torch = pytest.importorskip("torch")

from benchmarks.training.evaluate import evaluate  # noqa: E402
from benchmarks.training.world.scenes import Move, render  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402

pytestmark = pytest.mark.model

_SIZE = PixelSize(64, 112)


class PerfectStudio:
    """Draws the scene itself."""

    def __init__(self, folder):
        self.folder = folder

    def shoot(self, scene, *, inputs=None, prompt=None):
        return render(scene, _SIZE, 49)

    def extend(self, scene):
        return render(scene, _SIZE, 81)

    def file(self, scene):
        path = self.folder / "clip"
        path.write_bytes(self.shoot(scene).tobytes())
        return path


class ContraryStudio(PerfectStudio):
    """Draws everything moving the wrong way."""

    def shoot(self, scene, *, inputs=None, prompt=None):
        wrong = {
            Move.LEFT: Move.RIGHT,
            Move.RIGHT: Move.LEFT,
            Move.UP: Move.DOWN,
            Move.DOWN: Move.UP,
        }
        return render(replace(scene, move=wrong.get(scene.move, scene.move)), _SIZE, 49)


def table(installation, folder, lines=None):
    measured = islice(evaluate(installation, scenes=6, folder=folder), lines)
    return {line.what.strip(): line for line in measured}


@pytest.mark.slow
def test_a_perfect_engine_gets_full_marks(tmp_path):
    lines = table(PerfectStudio(tmp_path), tmp_path)
    for what in (
        "colour",
        "place",
        "direction",
        "left or right",
        "up or down",
        "camera",
        "plain background",
        "no background named",
        "unknown words harmless",
        "as people type it: place",
    ):
        assert lines[what].value == f"{lines[what].count} (100 %)", what
    assert lines["direction"].count == 6
    assert lines["same seed, same bytes"].value == "1 (100 %)"
    assert float(lines["motion levels, Spearman"].value) == pytest.approx(1, abs=0.11)
    assert float(lines["saturation, excellent to terrible"].value.removesuffix(" x")) > 1.5
    assert float(lines["first frame, PSNR in dB"].value) > 22
    assert float(lines["last frame, PSNR in dB"].value) > 22


@pytest.mark.slow
def test_an_engine_that_moves_the_wrong_way_gets_none_for_direction(tmp_path):
    lines = table(ContraryStudio(tmp_path), tmp_path, lines=5)
    assert lines["direction"].value == "0 (0 %)"
    assert lines["colour"].value == "6 (100 %)"
