"""Each short cut can be turned off, and gives the same but for rounding."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from benchmarks.opensora import slow  # noqa: E402
from inference.opensora.config import CoderConfig, VaeConfig  # noqa: E402
from inference.opensora.geometry import PixelSize, timesteps  # noqa: E402
from inference.opensora.networks.attention import attend  # noqa: E402
from inference.opensora.networks.regions import window_by_window  # noqa: E402
from inference.opensora.networks.vae import VideoVae  # noqa: E402
from inference.opensora.presets import OFFICIAL_I2V, OFFICIAL_T2V  # noqa: E402
from inference.opensora.sampler import References, Sampler, branch_conditions  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402

pytestmark = pytest.mark.model

SHAPE = (1, 16, 5, 10, 22)
SIZE = PixelSize(80, 176)
STEPS = 14
"""The guidance is 1 at the odd ones from the tenth on."""


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    return vectors.random_transformer()


@torch.inference_mode()
def sampled(model, *, references=None, kind=Sampler):
    preset = OFFICIAL_T2V if references is None else OFFICIAL_I2V
    captions = [noise(4, 12, seed=3)]
    conditions = branch_conditions(model, SHAPE, captions, fps=24, size=SIZE, references=references)
    source = torch.Generator().manual_seed(1)
    return kind(model, conditions, preset, references=references).run(
        noise(*SHAPE), timesteps(STEPS), lambda: torch.randn(SHAPE, generator=source)
    )


def same(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("given", [False, True])
def test_idle_branches_change_nothing(model, given):
    references = References(latents=noise(*SHAPE, seed=5), frames=(0,)) if given else None
    same(
        sampled(model, references=references, kind=slow.EveryBranch),
        sampled(model, references=references),
    )


def test_preparing_once_is_enough(model):
    same(sampled(slow.PreparedEachTime(model)), sampled(model))


def test_real_windows_see_what_padded_ones_see(model):
    fast = sampled(model)
    slow.use_padded_windows(model, on=True)
    same(sampled(model), fast)
    parts = noise(3, 2 * 3 * 9 * 17, 2, 6)
    regions = window_by_window(3, 9, 17)
    torch.testing.assert_close(slow.attend_padded_windows(*parts, regions), attend(*parts, regions))


def test_the_layout_of_the_weights_changes_nothing():
    torch.manual_seed(1)
    small = {"latent_channels": 4, "base_channels": 32, "blocks_per_level": 1}
    config = VaeConfig(
        encoder=CoderConfig(**small, temporal_levels=frozenset({1, 2})),
        decoder=CoderConfig(**small, temporal_levels=frozenset({2, 3})),
        latent_mean=(0.0,) * 4,
        latent_std=(1.0,) * 4,
    )
    vae = VideoVae(config).eval().requires_grad_(requires_grad=False)
    latents = noise(1, 4, 5, 4, 6)
    expected = vae.decode(latents)
    slow.use_contiguous_weights(vae)
    same(vae.decode(latents), expected)
