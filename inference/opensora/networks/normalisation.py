"""GroupNorm of the VAE, fused with activation, padding and sums. Tensors are [B, C, T, H, W].

Each function is the definition in plain torch. On a GPU with Triton the functions of `kernels`
compute the same in one pass for the statistics and one for everything else; `switch` chooses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.networks import switch
from inference.opensora.networks.slices import spans


class Measured(NamedTuple):
    """A GroupNorm with the statistics of a whole clip, to be applied to slices of it."""

    gain: Tensor
    """fp32 [B, C]."""
    shift: Tensor

    def __call__(self, part: Tensor) -> Tensor:
        """Normalise some frames."""
        gain, shift = (value[..., None, None, None] for value in self)
        return torch.addcmul(shift, part.float(), gain).to(part.dtype)


Norm = nn.GroupNorm | Measured


def norm_activate_pad(x: Tensor, norm: Norm, past: int = 0, *, activate: bool = True) -> Tensor:
    """Normalise a clip, apply SiLU, and prepend `past` zero frames."""
    if (kernels := switch.kernels(x)) is not None:
        found: Tensor = kernels.scale_and_shift(
            x, *_measured(norm, x), past=past, activate=activate
        )
        return found
    normed = norm(x)
    if torch.is_grad_enabled():
        normed = functional.silu(normed) if activate else normed
        return functional.pad(normed, (0, 0, 0, 0, past, 0))
    if not past:
        return functional.silu(normed, inplace=True) if activate else normed
    padded, room = with_past(normed, past)
    if activate:
        torch.ops.aten.silu.out(normed, out=room)
    else:
        room.copy_(normed)
    return padded


def norm_skip(x: Tensor, norm: Norm, skip: Tensor) -> Tensor:
    """Return `silu(norm(x) + skip) + skip`."""
    if (kernels := switch.kernels(x)) is not None:
        found: Tensor = kernels.scale_and_shift(x, *_measured(norm, x), activate=True, skip=skip)
        return found
    normed = norm(x)
    if torch.is_grad_enabled():
        return functional.silu(normed + skip) + skip
    return functional.silu(normed.add_(skip), inplace=True).add_(skip)


def with_past(x: Tensor, past: int) -> tuple[Tensor, Tensor]:
    """Allocate a clip like x behind `past` zero frames; returns all frames, and those after."""
    batch, channels, frames, height, width = x.shape
    padded = torch.empty(
        (batch, channels, frames + past, height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last_3d,
    )
    padded[:, :, :past] = 0
    return padded, padded[:, :, past:]


def measure_statistics(norm: nn.GroupNorm, x: Tensor, frames: int | None = None) -> Measured:
    """Compute the statistics of a clip for a norm, in fp32.

    In two passes, means and then deviations from them: one pass would lose precision by
    cancellation.

    Args:
        norm: The norm, with its groups, gain and shift.
        x: The clip.
        frames: Number of frames converted to fp32 at a time; None is all.
    """
    if (kernels := switch.kernels(x)) is not None:
        return merge_statistics(norm, *kernels.statistics(x))
    parts = [
        x[:, :, start:stop].reshape(len(x), norm.num_groups, -1)
        for start, stop in spans(x.shape[2], frames or x.shape[2])
    ]
    count = x[0].numel() // norm.num_groups
    mean = torch.stack([part.float().sum(-1) for part in parts]).sum(0) / count
    away = [(part.float() - mean[..., None]).square().sum(-1) for part in parts]
    return _scale(norm, mean, torch.stack(away).sum(0) / count)


def merge_statistics(
    norm: nn.GroupNorm, counts: Tensor, means: Tensor, spreads: Tensor
) -> Measured:
    """Merge the statistics of parts of a clip, as returned by `kernels.statistics`."""
    means, spreads = (torch.unflatten(part, -1, (norm.num_groups, -1)) for part in (means, spreads))
    rows = counts[:, None, None].expand_as(means)
    total = rows.sum((1, 3))
    mean = (means * rows).sum((1, 3)) / total
    apart = means - mean[:, None, :, None]
    return _scale(norm, mean, (spreads + apart.square() * rows).sum((1, 3)) / total)


def _scale(norm: nn.GroupNorm, mean: Tensor, variance: Tensor) -> Measured:
    width = norm.num_channels // norm.num_groups
    gain = torch.rsqrt(variance + norm.eps).repeat_interleave(width, 1) * norm.weight.float()
    return Measured(gain, norm.bias.float() - mean.repeat_interleave(width, 1) * gain)


def _measured(norm: Norm, x: Tensor) -> Measured:
    return norm if isinstance(norm, Measured) else measure_statistics(norm, x)
