"""Mixtures of weights are weighted means."""

import pytest

torch = pytest.importorskip("torch")

from pathlib import Path  # noqa: E402

from safetensors.torch import load_file, save_file  # noqa: E402

from benchmarks.training.mix import PARTS, mix  # noqa: E402

pytestmark = pytest.mark.model


def weights(folder: Path, value: float) -> Path:
    for part in PARTS:
        (folder / part).mkdir(parents=True)
        tensor = torch.full((2, 3), value, dtype=torch.float16)
        save_file({"a": tensor}, folder / part / "model.safetensors")
    (folder / "vocabulary.json").write_text("{}")
    return folder


def test_a_mixture_is_the_weighted_mean_in_the_same_shape(tmp_path):
    one, other = weights(tmp_path / "one", 1.0), weights(tmp_path / "other", 3.0)
    mix(tmp_path / "new", [(one, 0.75), (other, 0.25)])
    for part in PARTS:
        mean = load_file(tmp_path / "new" / part / "model.safetensors")["a"]
        assert mean.dtype is torch.float16
        assert (mean == 1.5).all()
    assert (tmp_path / "new" / "vocabulary.json").read_text() == "{}"


def test_shares_that_do_not_sum_to_one_are_refused(tmp_path):
    one = weights(tmp_path / "one", 1.0)
    with pytest.raises(ValueError, match="sum to 1"):
        mix(tmp_path / "new", [(one, 0.5), (one, 0.4)])
    assert not (tmp_path / "new").exists()
