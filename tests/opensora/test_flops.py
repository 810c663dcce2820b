from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count  # noqa: E402

from benchmarks.opensora import flops  # noqa: E402
from benchmarks.opensora.flops import LatentShape  # noqa: E402
from inference.opensora.config import CoderConfig, TransformerConfig  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402
from inference.opensora.networks.transformer import STDiT3  # noqa: E402
from inference.opensora.networks.vae import Decoder  # noqa: E402

pytestmark = pytest.mark.model

SMALL = TransformerConfig(
    in_channels=4,
    hidden_size=96,
    depth=2,
    num_heads=4,
    caption_channels=32,
    model_max_length=20,
)


def of_convolution(x, weight, *_, out_shape=None, **__):
    return conv_flop_count(x, weight, out_shape)


def of_linear(x, weight, *_, out_shape=None, **__):
    return 2 * weight[1] * math.prod(out_shape)


ONEDNN = {
    torch.ops.aten.mkldnn_convolution: of_convolution,
    torch.ops.mkldnn._linear_pointwise: of_linear,
}
"""Operations that torch has no count for."""


def counted(work):
    with (
        FlopCounterMode(display=False, custom_mapping=ONEDNN) as counter,
        torch.inference_mode(),
        sdpa_kernel(SDPBackend.MATH),
    ):
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("shape", [(1, 8, 8), (5, 22, 40), (3, 17, 15)])
def test_the_transformer_takes_what_torch_counts(shape):
    frames, height, width = shape
    model = STDiT3(SMALL)
    text = torch.randn(7, 32)
    size = (1, 4, frames, height, width)
    rate, pixels = torch.tensor([24.0]), PixelSize(height=8 * height, width=8 * width)

    conditions = model.prepare(size, [text], fps=rate, size=pixels)
    prepared = counted(lambda: model.prepare(size, [text], fps=rate, size=pixels))
    denoised = counted(lambda: model.denoise(torch.randn(size), torch.tensor([500.0]), conditions))

    latents = LatentShape(frames=frames, height=height, width=width)
    assert flops.transformer_prepare(SMALL, 7) == pytest.approx(prepared, rel=0.01)
    assert flops.transformer_forward(SMALL, latents, 7) == pytest.approx(denoised, rel=0.01)


@pytest.mark.parametrize("frames", [1, 5])
def test_the_decoder_takes_what_torch_counts(frames):
    config = CoderConfig(
        latent_channels=4, base_channels=32, blocks_per_level=1, temporal_levels=frozenset({2, 3})
    )
    decoder = Decoder(config).eval()
    found = counted(lambda: decoder(torch.randn(1, 4, frames, 6, 5)))
    latents = LatentShape(frames=frames, height=6, width=5)
    assert flops.vae_decode(config, latents) == pytest.approx(found, rel=0.01)
