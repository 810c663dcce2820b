"""The memory planner against what small networks really hold at once."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from inference.domain.spec import Size  # noqa: E402
from inference.engines.base import Footprint  # noqa: E402
from inference.engines.memory_plan import (  # noqa: E402
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

    shape = ClipShape(size=size, frames=frames, total_frames=frames, references=False)
    footprint = replace(FOOTPRINT, base_channels=channels)
    predicted = decoding_bytes(footprint, shape, sliced=sliced)
    # a CPU norms channels-last, and has no copies of it in another layout
    assert allocations.peak_bytes < predicted < 1.6 * allocations.peak_bytes


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
    clip = ClipShape(size=size, frames=frames, total_frames=frames, references=False)
    predicted = sampling_bytes(footprint, clip, sequential=sequential)
    # too much is a clip that could have been larger, too little one that fails
    assert allocations.peak_bytes < predicted < 1.6 * allocations.peak_bytes


@pytest.mark.parametrize("sequential", [False, True])
def test_velocities_that_skipped_steps_are_guessed_from_are_planned_for(sequential):
    config = TransformerConfig(hidden_size=24, num_heads=2, depth=1, caption_channels=8)
    network = STDiT3(config).eval().requires_grad_(False)
    size, frames = Size(width=192, height=128), 17
    pixels = PixelSize(size.height, size.width)
    shape = (1, 16, latent_frames(frames), *latent_size(pixels))
    held, planned = [], []
    for skips in (False, True):
        with torch.inference_mode(), Allocations() as allocations:
            conditions = branch_conditions(network, shape, [torch.zeros(4, 8)], fps=24, size=pixels)
            sampler = Sampler(network, conditions, OFFICIAL_T2V, sequential=sequential, skips=skips)
            levels = [1000.0 - 60 * step for step in range(16)]  # the last ones oscillate
            sampler.run(torch.randn(shape), levels, lambda: torch.randn(shape))
        clip = ClipShape(
            size=size, frames=frames, total_frames=frames, references=False, skips=skips
        )
        held.append(allocations.peak_bytes)
        planned.append(sampling_bytes(FOOTPRINT, clip, sequential=sequential))
    assert 0 < held[1] - held[0] <= planned[1] - planned[0]
