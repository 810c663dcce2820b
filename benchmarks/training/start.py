"""Initialisation for short training: absolute time, larger caption embeddings, words in order.

Training can find all three, but not within a short budget.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.training.batches import Batch
from benchmarks.training.objective import velocity_loss
from inference.opensora.networks.regions import Regions
from inference.opensora.networks.tokens import RopeTable, Tokens
from inference.opensora.networks.transformer import Block, STDiT3
from inference.opensora.text import TextEncoder

_FREQUENCY = 2
"""Index of a rotary frequency (0.1 per latent frame) at which a clip is at most half a turn."""

_LOUDNESS = 0.7
"""Size of the time signal, relative to the tokens that it is added to."""

_RIDGE = 1e-2

_QUIET = 0.1
"""Factor of the queries of heads that look at neighbours."""

_ATTENTIVE = 8.0
"""Their bias for the neighbour: a share of above 0.9 of the attention in captions of 40 tokens."""


@torch.no_grad()
def install_clock(
    model: STDiT3, encoder: TextEncoder, batches: Iterable[Batch], *, head: int = 0
) -> None:
    """Set a head of the first temporal block to compute absolute time, in place.

    The network has absolute positions in space, but only relative ones in time (rotary angles), so
    in noise all frames look alike. Absolute time can be derived from both: every token attends to
    the upper half of *later* frames and to the lower half of *earlier* ones. The first frame then
    attends to upper halves only, the last to lower halves only, and others to a proportional mix.

    Args:
        model: The transformer; its first spatial block is not changed.
        encoder: Text encoder for the captions of the batches.
        batches: Noisy clips of several levels, to fit a map from tokens to their half.
        head: Index of the head, whose weights are replaced.
    """
    block = cast("Block", model.temporal_blocks[0])
    seen: list[tuple[Tensor, Regions]] = []
    gates: list[Tensor] = []
    sizes: list[Tensor] = []

    def watch(_: object, arguments: tuple[Tensor, RopeTable, Regions]) -> None:
        tokens, _rope, regions = arguments
        seen.append((tokens.float(), regions))

    def watch_block(_: object, arguments: tuple[Tokens, Tensor, *tuple[object, ...]]) -> None:
        tokens, modulation = arguments[:2]
        sizes.append(tokens.add().float().square().mean().sqrt())
        table = block.scale_shift_table[2]
        gates.append((table + modulation[2]).float().square().mean((0, 1, 2, 3)).sqrt())

    hooks = [
        block.attn.register_forward_pre_hook(watch),
        block.register_forward_pre_hook(watch_block),
    ]
    for batch in batches:
        velocity_loss(model, encoder, batch)
    for hook in hooks:
        hook.remove()

    weight, bias = _half(seen)
    attention = block.attn
    width = attention.qkv.weight.shape[1] // attention.heads
    query, key, value = (
        slice(part * width * attention.heads + head * width, None) for part in range(3)
    )
    rows = attention.qkv.weight
    offsets = attention.qkv.bias
    pair = 2 * _FREQUENCY
    for part in (query, key):
        rows[part][:width] = 0
        offsets[part][:width] = 0
    # after rotation, their product is the half times the sine of the time difference
    offsets[query][pair] = -1
    rows[key][pair + 1], offsets[key][pair + 1] = weight, bias
    rows[value][0], offsets[value][0] = weight, bias
    signs = torch.sign(torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(0)))
    loudness = _LOUDNESS * torch.stack(sizes).mean() / torch.stack(gates).mean()
    attention.proj.weight[:, head * width] = signs.to(rows) * loudness


@torch.no_grad()
def turn_up_captions(model: STDiT3, factor: float) -> None:
    """Scale caption embeddings up and the weights that read them down, in place.

    The network's output does not change. But the optimiser's steps have the same size for all
    weights, so with larger embeddings the weights of unused words are learned faster.

    Args:
        model: The transformer with cross-attention to captions.
        factor: Scale factor.
    """
    last = model.y_embedder.y_proj.fc2
    last.weight.mul_(factor)
    last.bias.mul_(factor)
    for block in (*model.spatial_blocks, *model.temporal_blocks):
        cast("Block", block).cross_attn.kv_linear.weight.div_(factor)


@torch.no_grad()
def watch_neighbours(encoder: TextEncoder) -> None:
    """Set heads of the first block to look at the words before and after, in place.

    Who a colour belongs to can only be told from the words beside it. T5 adds the relative position
    to unscaled products of queries and keys; where these grew large in training, positions no
    longer count, and captions become bags of words: "a yellow diamond on orange" and "an orange
    diamond on yellow" had the same embeddings. Small queries make the position decide.
    """
    attention: Any = encoder.model.get_submodule("encoder.block.0.layer.0.SelfAttention")
    bias = attention.relative_attention_bias.weight
    later = len(bias) // 2  # T5: buckets of later words come after those of earlier ones
    width = attention.q.weight.shape[0] // bias.shape[1]
    for head, bucket in enumerate((1, 2, later + 1, later + 2)):
        attention.q.weight[head * width : (head + 1) * width] *= _QUIET
        bias[bucket, head] = _ATTENTIVE


def _half(seen: list[tuple[Tensor, Regions]]) -> tuple[Tensor, Tensor]:
    """Fit a linear map from tokens [tokens, C] to 1 in the upper half and -1 in the lower."""
    product, answer = torch.zeros(()), torch.zeros(())
    for tokens, regions in seen:
        flat = functional.pad(tokens, (0, 1), value=1.0)
        wanted = _sides(regions, len(tokens)).to(tokens)
        product = product + flat.T @ flat / len(flat)
        answer = answer + flat.T @ wanted / len(flat)
    ridge = _RIDGE * torch.eye(len(answer)) * product.diagonal().mean()
    solution = torch.linalg.solve(product + ridge, answer)
    return solution[:-1], solution[-1]


def _sides(regions: Regions, tokens: int) -> Tensor:
    """Return for each token, in the order of regions, 1 in the upper half and -1 in the lower."""
    height = max(region.top + region.height for region in regions)
    width = max(region.left + region.width for region in regions)
    side = torch.sign(torch.arange(height) * -2.0 + height - 1)
    frames = tokens // (height * width)  # over all clips
    grid = side[None, None, :, None, None].expand(1, frames, height, width, 1)
    return torch.cat([region.boxes(grid).reshape(-1) for region in regions])
