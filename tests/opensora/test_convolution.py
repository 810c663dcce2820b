"""Convolutions of the VAE: in pieces, in place and by other kernels they compute the same."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from inference.opensora.networks import convolution  # noqa: E402
from inference.opensora.networks.convolution import (  # noqa: E402
    convolve,
    pad_in_time,
    upsample,
)
from inference.opensora.networks.normalisation import (  # noqa: E402
    measure_statistics,
    norm_activate_pad,
    norm_skip,
)
from inference.opensora.networks.vae_blocks import CausalConv3d, group_norm  # noqa: E402

pytestmark = pytest.mark.model


def clip(channels=32, frames=9, height=6, width=5):
    generator = torch.Generator().manual_seed(3)
    made = torch.randn(1, channels, frames, height, width, generator=generator)
    return made.contiguous(memory_format=torch.channels_last_3d)


def defined(conv, x):
    """What a convolution is, by torch's own kernels and its own padding."""
    side = conv.kernel_size[0] // 2
    padded = functional.pad(x, (side, side, side, side))
    return functional.conv3d(padded, conv.weight, conv.bias, conv.stride)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (1, 1), (3, 2)])
def test_a_convolution_is_what_it_is_by_definition(kernel, stride):
    conv = CausalConv3d(32, 8, kernel, stride).conv
    x = clip()
    expected = defined(conv, x)
    with torch.inference_mode():
        torch.testing.assert_close(convolve(conv, x), expected)
    torch.testing.assert_close(convolve(conv, x), expected)


@pytest.mark.parametrize("frames", [1, 2, 4, 100])
def test_no_convolution_sees_more_elements_than_its_kernels_can_count(monkeypatch, frames):
    conv, x = CausalConv3d(32, 8).conv, clip()
    expected = defined(conv, x)
    limit = 32 * 8 * 7 * (frames + 2)
    seen = []

    def watched(conv, x):
        seen.append(x[0].numel())
        return conv(x)

    monkeypatch.setattr(convolution, "LARGEST", limit)
    monkeypatch.setattr(convolution, "_convolved", watched)
    with torch.inference_mode():
        torch.testing.assert_close(convolve(conv, x), expected)
    assert max(seen) <= limit
    assert len(seen) == -(-7 // frames)


@pytest.mark.parametrize("frames", [None, 2], ids=["whole", "in slices"])
def test_norm_activation_and_padding_in_one_go_are_the_three_one_after_the_other(frames):
    norm, x = group_norm(64), clip(channels=64)
    nn.init.normal_(norm.weight)
    before, skip = x.clone(), clip(channels=64).flip(2)
    with torch.no_grad():
        plain = norm(x)
    active = functional.silu(plain)
    padded = functional.pad(active, (0, 0, 0, 0, 2, 0))
    skipped = functional.silu(plain + skip) + skip
    for mode in (torch.inference_mode(), torch.enable_grad()):
        with mode:
            used = norm if frames is None else measure_statistics(norm, x, frames)
            torch.testing.assert_close(norm_activate_pad(x, used, 2), padded)
            torch.testing.assert_close(norm_activate_pad(x, used), active)
            torch.testing.assert_close(norm_activate_pad(x, used, activate=False), plain)
            torch.testing.assert_close(norm_skip(x, used, skip), skipped)
            torch.testing.assert_close(pad_in_time(x, 2)[:, :, 2:], x)
    torch.testing.assert_close(x, before)


@pytest.mark.parametrize("time", [1, 2])
def test_upsampling_repeats_neighbours(time):
    x = clip()
    expected = functional.interpolate(x, scale_factor=(float(time), 2.0, 2.0))
    torch.testing.assert_close(upsample(x, time=time), expected)
    assert upsample(x, time=time).is_contiguous(memory_format=torch.channels_last_3d)
