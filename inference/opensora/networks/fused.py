"""Fused operations of the transformer that are bound by memory bandwidth.

Each function is the definition in plain torch. On a GPU with Triton the functions of `kernels`
compute the same in one pass over memory; `switch` chooses. Where no gradient is needed, operations
work in place, because allocating new memory costs as much as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inference.opensora.networks import switch
from inference.opensora.networks.fp8 import FP8Linear
from inference.opensora.networks.regions import Regions, slices
from inference.opensora.networks.tokens import RopeTable, Tokens

NORM_EPSILON = 1e-6


def add_norm_modulate(
    tokens: Tokens, shift: Tensor, scale: Tensor, regions: Regions | None = None
) -> Tensor:
    """Apply the pending update of tokens and return `norm(tokens) * (1 + scale) + shift`.

    Args:
        tokens: Tokens; their update is applied.
        shift: [B, T or 1, 1, 1, channels].
        scale: Shaped like `shift`.
        regions: If given, the result is in their order, [B * T * H * W, channels]; otherwise it is
            shaped like the tokens.
    """
    if (kernels := switch.kernels(tokens.x)) is not None:
        out: Tensor = kernels.add_norm_modulate(tokens, shift, scale, regions, NORM_EPSILON)
        tokens.update = tokens.gate = None
        return out
    x = tokens.add()
    normed = functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
    if torch.is_grad_enabled():
        normed = torch.addcmul(shift, normed, 1 + scale)
    else:
        torch.addcmul(shift, normed, 1 + scale, out=normed)
    return normed if regions is None else _in_order(normed, regions)


def add_gated(tokens: Tokens, gate: Tensor, updates: Sequence[Tensor], regions: Regions) -> None:
    """Add `gate * update` to tokens, with updates in the order of regions.

    Args:
        tokens: Tokens without a pending update.
        gate: [B, T or 1, 1, 1, channels].
        updates: One for each region, [tokens of the region, channels].
        regions: Regions that cover all tokens.
    """
    x = tokens.x
    if (kernels := switch.kernels(x)) is not None:
        kernels.add_gated(x, gate, updates, regions)
        return
    in_place = not torch.is_grad_enabled()
    target = x if in_place else torch.empty_like(x)
    gates = gate.expand(*x.shape[:2], 1, 1, -1).expand_as(x)
    for region, update in zip(regions, updates, strict=True):
        boxes = region.boxes(target)
        if in_place:
            boxes.addcmul_(region.boxes(gates), update.view(boxes.shape))
        else:
            boxes.copy_(update.view(boxes.shape))
    if not in_place:
        tokens.x = torch.addcmul(x, gate, target)


def norm_rotate(
    qkv: Tensor, gains: tuple[Tensor, Tensor], rope: RopeTable, regions: Regions
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply RMS norm and rotary positions to queries and keys; returns queries, keys and values.

    Each head's channels are divided by their root mean square and multiplied by a gain; then
    neighbouring pairs of channels are rotated by the angles of the token's position in its box
    (RoPE, arXiv:2104.09864).

    Args:
        qkv: Queries, keys and values in the order of regions, [tokens, 3, heads, head_channels];
            changed in place where no gradient is needed.
        gains: Gains of queries and of keys, [head_channels] each.
        rope: Rotary angles.
        regions: Regions that cover all tokens.
    """
    query, key, value = qkv.unbind(1)
    if (kernels := switch.kernels(qkv)) is not None:
        kernels.norm_rotate(qkv, gains, rope, regions, NORM_EPSILON)
        return query, key, value
    query = _norm_rotated(query, gains[0], rope, regions)
    return query, _norm_rotated(key, gains[1], rope, regions), value


def linear_gelu(linear: FP8Linear, x: Tensor) -> Tensor:
    """Apply a linear layer and the tanh-approximated GELU, in one library call where possible."""
    if not torch.is_grad_enabled() and not linear.in_fp8:
        weight, bias = linear.weight, linear.bias
        if x.is_cuda:  # cuBLASLt's epilogue computes this approximation
            rows = x.flatten(0, -2)
            flat: Tensor = torch.ops.aten._addmm_activation(  # noqa: SLF001 - the only name it has
                bias, rows, weight.t(), use_gelu=True
            )
            return torch.unflatten(flat, 0, x.shape[:-1])
        if x.dtype is torch.float32 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            found: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - the only name it has
                x, weight, bias, "gelu", [], "tanh"
            )
            return found
    out = linear(x)
    if torch.is_grad_enabled():
        return functional.gelu(out, approximate="tanh")
    activated: Tensor = torch.ops.aten.gelu_(out, approximate="tanh")
    return activated


def _in_order(x: Tensor, regions: Regions) -> Tensor:
    """Reorder tokens [B, T, H, W, channels] by regions, to [tokens, channels]."""
    boxes = [region.boxes(x).flatten(0, -2) for region in regions]
    return boxes[0] if len(boxes) == 1 else torch.cat(boxes)


def _norm_rotated(part: Tensor, gain: Tensor, rope: RopeTable, regions: Regions) -> Tensor:
    wide = part.float()
    size = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    factor = (size.square() / part.shape[-1] + NORM_EPSILON).rsqrt()
    in_place = not torch.is_grad_enabled()
    wide = wide.mul_(factor).mul_(gain) if in_place else wide * factor * gain
    turned = []
    for region, rows in slices(regions, len(part)):
        boxes = torch.unflatten(wide[rows], 0, (-1, region.tokens))
        pairs = torch.unflatten(boxes, -1, (-1, 2))
        numbers, turns = torch.view_as_complex(pairs), rope.of_box(region.box)
        numbers = numbers.mul_(turns) if in_place else numbers * turns
        turned.append(torch.view_as_real(numbers).flatten(-2).flatten(0, 1))
    if not in_place:
        return torch.cat(turned).type_as(part)
    return part if wide.dtype is part.dtype else part.copy_(wide)
