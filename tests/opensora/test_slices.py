from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from inference.opensora.config import CoderConfig, VaeConfig  # noqa: E402
from inference.opensora.networks.slices import causal_attention  # noqa: E402
from inference.opensora.networks.vae import VideoVae  # noqa: E402

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(1)
    small = {"latent_channels": 4, "base_channels": 32, "blocks_per_level": 1}
    config = VaeConfig(
        encoder=CoderConfig(**small, temporal_levels=frozenset({1, 2})),
        decoder=CoderConfig(**small, temporal_levels=frozenset({2, 3})),
        latent_mean=(0.0,) * 4,
        latent_std=(1.0,) * 4,
    )
    return VideoVae(config).eval().requires_grad_(requires_grad=False)


@pytest.mark.cases(1)
@pytest.mark.parametrize(("frames", "rows"), [(1, None), (2, 7), (3, 1000), (50, 1), (None, 16)])
@pytest.mark.slow
def test_a_vae_that_works_in_slices_decodes_and_encodes_the_same(vae, frames, rows):
    latents = torch.randn(1, 4, 10, 6, 5)
    pixels = torch.rand(1, 3, 17, 48, 40) * 2 - 1
    vae.work_in_slices(frames=None, rows=None)
    decoded, encoded = vae.decode(latents), vae.encode(pixels)

    vae.work_in_slices(frames=frames, rows=rows)

    torch.testing.assert_close(vae.decode(latents), decoded, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(vae.encode(pixels), encoded, atol=2e-5, rtol=1e-4)


@pytest.fixture
def two_threads():
    """Compute on two threads: convolutions take scratch memory for each."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
def test_slices_need_less_memory(vae):
    latents = torch.randn(1, 4, 5, 8, 8)

    def peak():
        with torch.profiler.profile(profile_memory=True) as profile, torch.inference_mode():
            vae.decode(latents)
        live = highest = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                live += event.nbytes()
                highest = max(highest, live)
        return highest

    vae.work_in_slices(frames=None, rows=None)
    whole = peak()
    vae.work_in_slices(frames=1, rows=16)
    assert peak() < 0.75 * whole


@given(tokens=st.integers(1, 40), rows=st.integers(1, 50), seed=st.integers(0, 99))
def test_attention_by_rows_is_causal_attention(tokens, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, 2, 1, tokens, 8, generator=generator)
    torch.testing.assert_close(
        causal_attention(query, key, value, rows),
        functional.scaled_dot_product_attention(query, key, value, is_causal=True),
        atol=1e-5,
        rtol=1e-5,
    )
