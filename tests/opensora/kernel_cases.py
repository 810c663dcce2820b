"""Every Triton kernel beside its definition, in Triton's interpreter: `test_kernels` runs this.

Odd widths and sides leave masked edges on every tile; bf16 results are compared with fp32 ones of
the same inputs.
"""

import torch
from torch import nn

from inference.opensora.networks import fused, kernels, normalisation
from inference.opensora.networks.embeddings import RotaryFrequencies
from inference.opensora.networks.fused import NORM_EPSILON
from inference.opensora.networks.kernels import clips
from inference.opensora.networks.regions import frame_by_frame, window_by_window
from inference.opensora.networks.tokens import Tokens

ROUNDING = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.bfloat16: {"rtol": 2**-6, "atol": 2**-5},
}
GENERATOR = torch.Generator().manual_seed(0)


def drawn(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=GENERATOR).to(dtype)


def close(found, expected):
    torch.testing.assert_close(found.float(), expected, **ROUNDING[found.dtype])


def groupings(frames, rows, columns):
    return frame_by_frame(rows, columns), window_by_window(frames, rows, columns)


def tokens_of(grid, channels, dtype):
    """Return tokens, an update, and three modulations: per frame, or per clip in a batch of one."""
    batch, frames = grid[:2]
    x, update = drawn(2, *grid, channels, dtype=dtype)
    steps = frames if batch > 1 else 1
    return x, update, drawn(3, batch, steps, 1, 1, channels, dtype=dtype)


def norms(grid, channels, dtype):
    x, update, (shift, scale, gate) = tokens_of(grid, channels, dtype)
    frames, windows = groupings(*grid[1:])
    for regions, added, by in (
        (frames, None, None),
        (None, update, None),
        (windows, update, gate),
    ):
        tokens = Tokens(x.clone(), added, by)
        wide = (None if one is None else one.float() for one in (added, by))
        exact = Tokens(x.float().clone(), *wide)
        found = kernels.add_norm_modulate(tokens, shift, scale, regions, NORM_EPSILON)
        expected = fused.add_norm_modulate(exact, shift.float(), scale.float(), regions)
        close(found, expected)
        close(tokens.x, exact.x)


def gates(grid, channels, dtype):
    x, update, (_, _, gate) = tokens_of(grid, channels, dtype)
    for regions in groupings(*grid[1:]):
        parts = [region.boxes(update).flatten(0, -2).contiguous() for region in regions]
        exact = Tokens(x.float().clone())
        found = x.clone()
        kernels.add_gated(found, gate, parts, regions)
        fused.add_gated(exact, gate.float(), [part.float() for part in parts], regions)
        close(found, exact.x)


def rotations(grid, heads, width, dtype):
    batch, frames, rows, columns = grid
    frequencies = RotaryFrequencies(width)
    places = [torch.arange(float(side)) for side in (frames, rows, columns)]
    for regions, sides in zip(
        groupings(*grid[1:]), ((1, rows, columns), (frames, 8, 8)), strict=True
    ):
        rope = frequencies.table(*(place[:side] for place, side in zip(places, sides, strict=True)))
        qkv = drawn(batch * frames * rows * columns, 3, heads, width, dtype=dtype)
        gains = tuple(drawn(2, width, dtype=dtype))
        exact = qkv.float().clone()
        wide = (gains[0].float(), gains[1].float())
        expected = torch.stack(fused.norm_rotate(exact, wide, rope, regions), 1)
        kernels.norm_rotate(qkv, gains, rope, regions, NORM_EPSILON)
        close(qkv, expected)


def group_norms(shape, groups, dtype, parts):
    clips._PARTS = parts
    x, skip = (3 + drawn(2, *shape)).to(dtype)
    x, skip = (one.contiguous(memory_format=torch.channels_last_3d) for one in (x, skip))
    norm = nn.GroupNorm(groups, shape[1], eps=1e-6)
    nn.init.normal_(norm.weight, generator=GENERATOR)
    nn.init.normal_(norm.bias, generator=GENERATOR)
    counts, means, spreads = kernels.statistics(x)
    assert int(counts.sum()) == x[0].numel() // shape[1]
    exact = normalisation.measure_statistics(norm, x.float())
    found = normalisation.merge_statistics(norm, counts, means, spreads)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    for past in (0, 2):
        for activate in (True, False):
            close(
                kernels.scale_and_shift(x, *exact, past=past, activate=activate),
                normalisation.norm_activate_pad(x.float(), exact, past, activate=activate),
            )
    close(
        kernels.scale_and_shift(x, *exact, activate=True, skip=skip),
        normalisation.norm_skip(x.float(), exact, skip.float()),
    )
    part = x[:1, :, 1:]  # a slice, as large pictures are worked on
    first = normalisation.Measured(*(one[:1] for one in exact))
    close(
        kernels.scale_and_shift(part, *first, past=1, activate=True),
        normalisation.norm_activate_pad(part.float(), first, 1),
    )


@torch.inference_mode()
def main():
    for dtype in (torch.float32, torch.bfloat16):
        for grid, channels in (((2, 2, 9, 3), 24), ((1, 2, 3, 9), 37)):
            norms(grid, channels, dtype)
            gates(grid, channels, dtype)
        for grid, heads, width in (((2, 2, 9, 3), 3, 6), ((1, 2, 3, 9), 2, 72)):
            rotations(grid, heads, width, dtype)
        group_norms((1, 32, 3, 5, 7), 32, dtype, parts=1)
        group_norms((2, 96, 3, 9, 13), 32, dtype, parts=5)


if __name__ == "__main__":
    main()
