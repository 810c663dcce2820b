"""Fused work of the transformer against the operations that it stands for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from inference.opensora.networks.embeddings import RotaryFrequencies  # noqa: E402
from inference.opensora.networks.fp8 import FP8Linear  # noqa: E402
from inference.opensora.networks.fused import (  # noqa: E402
    NORM_EPSILON,
    add_gated,
    add_norm_modulate,
    linear_gelu,
    norm_rotate,
)
from inference.opensora.networks.regions import frame_by_frame, window_by_window  # noqa: E402
from inference.opensora.networks.tokens import Tokens  # noqa: E402

pytestmark = pytest.mark.model

TOLERANCE = {torch.float32: {}, torch.bfloat16: {"atol": 0.06, "rtol": 0.03}}

GRIDS = st.tuples(st.integers(1, 3), st.integers(1, 19), st.integers(1, 19))
"""Frames, rows and columns."""


def drawn(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(len(shape) + seed)
    return torch.randn(shape, generator=generator).to(dtype)


def inference(on):
    """Both ways: results in fresh memory for gradients, and written over what they replace."""
    return torch.inference_mode() if on else torch.enable_grad()


def in_order(x, regions):
    """Tokens [B, T, H, W, C] one by one, in the order that the definition of regions names."""
    rows = []
    _, frames, *_ = x.shape
    for region in regions:
        tall, high, wide = region.box
        for sample in x:
            for first in range(0, frames, tall):
                for top in range(region.top, region.top + region.height, high):
                    for left in range(region.left, region.left + region.width, wide):
                        box = sample[first : first + tall, top : top + high, left : left + wide]
                        rows.append(box.reshape(-1, x.shape[-1]))
    return torch.cat(rows)


def regions_of(kind, frames, rows, columns):
    return {
        "frames": frame_by_frame(rows, columns),
        "windows": window_by_window(frames, rows, columns),
    }[kind]


@given(grid=GRIDS, batch=st.integers(1, 2))
@settings(max_examples=30)
def test_regions_hold_every_token_once(grid, batch):
    numbers = torch.arange(batch * grid[0] * grid[1] * grid[2]).view(batch, *grid, 1)
    for kind in ("frames", "windows"):
        regions = regions_of(kind, *grid)
        found = torch.cat([region.boxes(numbers).flatten(0, -2) for region in regions])
        assert torch.equal(found, in_order(numbers, regions))
        assert torch.equal(found.flatten().sort().values, numbers.flatten())


@pytest.mark.parametrize("on", [True, False], ids=["inference", "training"])
@pytest.mark.parametrize("kind", ["frames", "windows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_heads_are_normed_and_rotated(dtype, kind, on):
    batch, frames, rows, columns, heads, width = 2, 3, 9, 10, 2, 12
    regions = regions_of(kind, frames, rows, columns)
    parts = drawn(3, batch, frames, rows, columns, heads * width, dtype=dtype)
    gains = drawn(2, width, dtype=dtype)
    times, down, across = torch.arange(3.0), torch.arange(9.0), torch.arange(10.0)
    if kind == "frames":
        times = torch.zeros(3)
        rope = RotaryFrequencies(width).table(times[:1], down, across)
    else:
        down, across = down % 8, across % 8
        rope = RotaryFrequencies(width).table(times, down[:8], across[:8])
    angles = RotaryFrequencies(width).table(times, down, across).turns.angle()
    cos, sin = (part.unsqueeze(-2) for part in (angles.cos(), angles.sin()))

    def expected(part, gain):
        split = part.float().unflatten(-1, (heads, width))
        normed = functional.rms_norm(split, (width,), gain.float(), NORM_EPSILON)
        even, odd = normed.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1)
        return in_order(turned.flatten(-3).to(dtype), regions)

    qkv = torch.stack([in_order(part, regions) for part in parts], 1)
    with inference(on):
        query, key, value = norm_rotate(
            qkv.unflatten(-1, (heads, width)).clone(), tuple(gains), rope, regions
        )
    torch.testing.assert_close(query.flatten(-2), expected(parts[0], gains[0]), **TOLERANCE[dtype])
    torch.testing.assert_close(key.flatten(-2), expected(parts[1], gains[1]), **TOLERANCE[dtype])
    assert torch.equal(value.flatten(-2), qkv[:, 2])


@pytest.mark.parametrize("on", [True, False], ids=["inference", "training"])
@pytest.mark.parametrize("kind", [None, "frames", "windows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gated", [True, False, None], ids=["gated", "plain", "nothing"])
def test_sum_norm_and_modulation(dtype, kind, on, gated):
    grid = (2, 3, 9, 10)
    x, update = drawn(2, *grid, 24, dtype=dtype)
    shift, scale, gate = drawn(3, 2, 3, 1, 1, 24, dtype=dtype)
    regions = kind and regions_of(kind, *grid[1:])
    tokens = Tokens(x.clone())
    expected = x
    if gated is not None:
        tokens.update = update
        tokens.gate = gate if gated else None
        expected = x + (gate * update if gated else update)
    with inference(on):
        found = add_norm_modulate(tokens, shift, scale, regions)
    normed = functional.layer_norm(expected, (24,), eps=NORM_EPSILON) * (1 + scale) + shift
    torch.testing.assert_close(tokens.x, expected, **TOLERANCE[dtype])
    assert tokens.update is None
    wanted = normed if regions is None else in_order(normed, regions)
    torch.testing.assert_close(found, wanted, **TOLERANCE[dtype])


@pytest.mark.parametrize("on", [True, False], ids=["inference", "training"])
@pytest.mark.parametrize("kind", ["frames", "windows"])
@pytest.mark.parametrize("frames", [1, 3], ids=["one gate", "gates by frame"])
def test_gated_sums_find_back_to_their_places(kind, on, frames):
    x, update = drawn(2, 2, 3, 9, 10, 8)
    gate = drawn(2, frames, 1, 1, 8)
    regions = regions_of(kind, 3, 9, 10)
    tokens = Tokens(x.clone())
    parts = [in_order(update, (region,)) for region in regions]
    with inference(on):
        add_gated(tokens, gate, parts, regions)
    torch.testing.assert_close(tokens.x, x + gate * update)


@pytest.mark.parametrize("on", [True, False], ids=["inference", "training"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_linear_layer_with_gelu(dtype, on):
    linear = FP8Linear(8, 16).to(dtype)
    x = drawn(2, 3, 4, 5, 8, dtype=dtype)
    expected = functional.gelu(linear(x), approximate="tanh")
    with inference(on):
        torch.testing.assert_close(linear_gelu(linear, x), expected, **TOLERANCE[dtype])
