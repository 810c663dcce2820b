"""Winograd's convolution over time computes what the plain one does, and takes its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from inference.opensora.networks import convolution, winograd  # noqa: E402
from inference.opensora.networks.convolution import convolve  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402 - needs torch

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN"
    ),
]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def convolution_of(channels, out_channels, *, bias=True, stride=1):
    conv = nn.Conv3d(channels, out_channels, 3, stride, padding=(0, 1, 1), bias=bias)
    conv.weight.data = drawn(*conv.weight.shape) / (27 * channels) ** 0.5
    return conv.requires_grad_(requires_grad=False)


@given(
    channels=st.sampled_from([16, 24, 48]),
    out_channels=st.sampled_from([1, 3, 5, 16, 40]),
    shape=st.tuples(st.integers(3, 15), st.integers(1, 9), st.integers(1, 9)),
    batch=st.integers(1, 2),
    bias=st.booleans(),
)
def test_it_is_the_plain_convolution_but_for_rounding(channels, out_channels, shape, batch, bias):
    frames, height, width = shape
    conv = convolution_of(channels, out_channels, bias=bias)
    x = drawn(batch, channels, frames + 2, height, width, seed=1)
    x = x.contiguous(memory_format=torch.channels_last_3d)[:, :, 2:]  # as slices of a clip come
    before = x.clone()
    expected = functional.conv3d(
        x.double(),
        conv.weight.double(),
        conv.bias.double() if bias else None,
        padding=conv.padding,
    )

    winograd.prepare(conv)
    with torch.inference_mode():
        found = convolve(conv, x)

    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    if out_channels >= 16:  # fewer are pixels: nothing convolves them again
        assert found.movedim(1, -1).is_contiguous()
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("frames", "dtype", "gradient", "stride"),
    [
        (5, torch.float32, False, 1),
        (9, torch.bfloat16, False, 1),
        (9, torch.float32, True, 1),
        (9, torch.float32, False, 2),
    ],
    ids=["too short", "other type", "gradients", "stride"],
)
def test_elsewhere_the_plain_convolution_runs(monkeypatch, frames, dtype, gradient, stride):
    conv = convolution_of(16, 16, stride=stride).to(dtype)
    winograd.prepare(conv)
    monkeypatch.setattr(winograd, "convolve_groups", None)  # calling it would fail

    with torch.set_grad_enabled(gradient):
        convolve(conv, drawn(1, 16, frames, 4, 4).to(dtype))


def test_mixed_kernels_are_no_part_of_the_weights():
    conv = convolution_of(16, 16)
    before = set(conv.state_dict())
    winograd.prepare(conv)
    assert set(conv.state_dict()) == before
    winograd.prepare(few := convolution_of(16, 3))
    assert not hasattr(few, "mixed")


def test_nano_decodes_by_onednn_alone_and_mostly_in_fours(monkeypatch):
    from inference.opensora.pipeline import OpenSoraPipeline

    vae = OpenSoraPipeline.load_nano(vectors.NANO).vae
    in_fours = []
    together = winograd.convolve_groups

    def watched(conv, mixed, x):
        in_fours.append(conv)
        return together(conv, mixed, x)

    monkeypatch.setattr(winograd, "convolve_groups", watched)
    with torch.profiler.profile() as profile, torch.inference_mode():
        vae.decode(drawn(1, 16, 5, 4, 6))

    causal = [conv for conv in vae.decoder.modules() if isinstance(conv, nn.Conv3d)]
    cubic = [conv for conv in causal if conv.kernel_size == (3, 3, 3)]
    assert {id(conv) for conv in in_fours} == {id(conv) for conv in cubic} - {
        id(vae.decoder.conv_out)
    }
    names = {event.key for event in profile.key_averages()}
    assert "aten::mkldnn_convolution" in names
    assert not {name for name in names if "slow_conv" in name or "thnn_conv" in name}


def test_slices_of_a_large_clip_are_convolved_in_fours_too(monkeypatch):
    conv, x = convolution_of(16, 16), drawn(1, 16, 17, 6, 5)
    winograd.prepare(conv)
    with torch.inference_mode():
        expected = convolve(conv, x)
        monkeypatch.setattr(convolution, "LARGEST", 16 * 8 * 7 * 8)
        torch.testing.assert_close(convolve(conv, x), expected, rtol=0, atol=1e-4)
