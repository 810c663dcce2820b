"""The memory planner against what small networks really hold at once."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from inference.domain.spec import Size  # noqa: E402
from inference.engines.base import Footprint  # noqa: E402
from inference.engines.memory import (  # noqa: E402
    TEXT_TOKENS,
    ClipShape,
    decoding_bytes,
    sampling_bytes,
)
from inference.opensora.config import CoderConfig, TransformerConfig, VaeConfig  # noqa: E402
from inference.opensora.geometry import PixelSize, latent_frames, latent_size  # noqa: E402
from inference.opensora.networks.transformer import STDiT3  # noqa: E402
from inference.opensora.networks.vae import VideoVae  # noqa: E402
from inference.opensora.presets import OFFICIAL_T2V  # noqa: E402
from inference.opensora.sampler import Sampler, branch_conditions  # noqa: E402
from tests.opensora.allocations import Allocations  # noqa: E402

pytestmark = pytest.mark.model

FOOTPRINT = Footprint(
    text_bytes=0,
    transformer_bytes=0,
    transformer_sets=1,
    vae_bytes=0,
    hidden_size=96,
    layers=2,
    base_channels=32,
    itemsize=4,
)


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize(
    ("channels", "size", "frames"),
    [(32, Size(width=48, height=32), 17), (64, Size(width=32, height=40), 17)],
)
def test_decoding_takes_what_was_predicted(sliced, channels, size, frames):
    config = CoderConfig(base_channels=channels, temporal_levels=frozenset({2, 3}))
    vae = VideoVae(VaeConfig(encoder=config, decoder=config)).eval().requires_grad_(False)
    vae.work_in_slices(frames=1 if sliced else None, rows=64)
    height, width = latent_size(PixelSize(size.height, size.width))
    latents = torch.randn(1, 16, latent_frames(frames), height, width)

    with torch.inference_mode(), Allocations() as allocations:
        for _ in vae.decode_chunks(latents):
            pass

    shape = ClipShape(size=size, frames=frames, references=False)
    footprint = replace(FOOTPRINT, base_channels=channels)
    predicted = decoding_bytes(footprint, shape, sliced=sliced)
    assert predicted == pytest.approx(allocations.peak_bytes, rel=0.15)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("hidden", "size", "frames"),
    [(96, Size(width=192, height=128), 17), (192, Size(width=96, height=64), 49)],
)
def test_sampling_takes_what_was_predicted(sequential, dtype, hidden, size, frames):
    config = TransformerConfig(hidden_size=hidden, num_heads=4, depth=1, caption_channels=16)
    network = STDiT3(config).to(dtype).eval().requires_grad_(False)
    pixels = PixelSize(size.height, size.width)
    shape = (1, 16, latent_frames(frames), *latent_size(pixels))

    with torch.inference_mode(), Allocations() as allocations:
        caption = torch.zeros(TEXT_TOKENS, 16)
        conditions = branch_conditions(network, shape, [caption], fps=24, size=pixels)
        sampler = Sampler(network, conditions, OFFICIAL_T2V, sequential=sequential)
        sampler.run(torch.randn(shape), [1000.0], lambda: torch.randn(shape))

    footprint = replace(FOOTPRINT, hidden_size=hidden, layers=2, itemsize=dtype.itemsize)
    clip = ClipShape(size=size, frames=frames, references=False)
    predicted = sampling_bytes(footprint, clip, sequential=sequential)
    assert predicted == pytest.approx(allocations.peak_bytes, rel=0.15)
