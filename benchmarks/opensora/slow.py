"""Unoptimised implementations, to measure the gain of each optimisation of the engine.

Results are the same but for rounding: `tests/opensora/test_short_cuts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.geometry import WINDOW
from inference.opensora.networks.attention import attend
from inference.opensora.networks.regions import Regions, slices
from inference.opensora.networks.transformer import Conditions, STDiT3
from inference.opensora.sampler import Sampler


class EveryBranch(Sampler):
    """Sampler that also evaluates branches with guidance 1 at a step."""

    def _evaluate(self, z: Tensor, level: float, branches: int) -> tuple[Tensor, ...]:
        every = 2 if self._references is None else 3
        return super()._evaluate(z, level, every)[:branches]


class PreparedEachTime:
    """Transformer that embeds captions, references and positions again in every evaluation."""

    def __init__(self, model: STDiT3) -> None:
        self._model = model
        self._asked: tuple[Sequence[int], Sequence[Tensor], dict[str, Any]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def prepare(self, shape: Sequence[int], captions: Sequence[Tensor], **how: Any) -> Conditions:
        """See `STDiT3.prepare`; keeps its arguments for `denoise`."""
        self._asked = (shape, captions, how)
        return self._model.prepare(shape, captions, **how)

    def denoise(
        self, x: Tensor, timestep: Tensor, conditions: Conditions, active: Tensor | None = None
    ) -> Tensor:
        """See `STDiT3.denoise`."""
        if self._asked is not None:
            shape, captions, how = self._asked
            self._model.prepare(shape, captions, **how)
        return self._model.denoise(x, timestep, conditions, active)


def attend_padded_windows(
    query: Tensor, key: Tensor, value: Tensor, regions: Regions
) -> list[Tensor]:
    """Compute window attention as the original does: windows of one size, with masked padding.

    Args:
        query: Queries in the order of regions, [tokens, heads, head_channels].
        key: Keys, shaped like the queries.
        value: Values, shaped like the queries.
        regions: Windows, as for `attention.attend`.
    """
    heads, channels = query.shape[1:]
    frames = regions[0].box[0]
    height = max(region.top + region.height for region in regions)
    width = max(region.left + region.width for region in regions)
    batch = len(query) // (frames * height * width)

    def as_grid(x: Tensor) -> Tensor:
        grid = x.new_empty(batch, frames, height, width, heads * channels)
        for region, rows in slices(regions, len(x)):
            boxes = region.boxes(grid)
            boxes.copy_(x[rows].view(boxes.shape))
        return grid.unflatten(-1, (heads, channels))

    query, key, value = (as_grid(part) for part in (query, key, value))
    down, right = -height % WINDOW, -width % WINDOW

    def windowed(x: Tensor) -> Tensor:
        padded = functional.pad(x, (0, 0, 0, 0, 0, right, 0, down))
        cut = padded.unflatten(3, (-1, WINDOW)).unflatten(2, (-1, WINDOW))
        # [B, T, rows, 8, columns, 8, heads, C] -> [B * rows * columns, heads, 8 * 8 * T, C]
        return cut.permute(0, 2, 4, 6, 3, 5, 1, 7).flatten(4, 6).flatten(0, 2)

    real = torch.ones(1, 1, height, width, 1, 1, device=query.device)
    kept = windowed(real.expand(batch, frames, -1, -1, 1, 1))[..., 0] > 0
    # No window is all padding, so every row of the mask has a key.
    found = functional.scaled_dot_product_attention(
        windowed(query), windowed(key), windowed(value), attn_mask=kept[:, :, None]
    )
    rows, columns = (height + down) // WINDOW, (width + right) // WINDOW
    grid = found.view(batch, rows, columns, heads, WINDOW, WINDOW, frames, channels)
    whole = grid.permute(0, 6, 1, 4, 2, 5, 3, 7).flatten(4, 5).flatten(2, 3)
    whole = whole[:, :, :height, :width].flatten(-2)
    return [region.boxes(whole).flatten(0, -2) for region in regions]


def use_padded_windows(model: STDiT3, *, on: bool) -> None:
    """Switch padded windows on or off for a transformer."""
    for block in model.temporal_blocks:
        block.attn.attend = attend_padded_windows if on else attend


def use_contiguous_weights(vae: nn.Module) -> None:
    """Make convolution weights contiguous, as in files, in place of channels-last."""
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(
                memory_format=torch.contiguous_format
            )
