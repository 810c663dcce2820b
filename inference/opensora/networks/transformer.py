"""STDiT3, the denoising transformer of Open-Sora v1.3, with the official state-dict keys.

A sampling run evaluates the network dozens of times with the same caption, size and references. So
the forward pass has two parts: `STDiT3.prepare` computes once what does not depend on the noise
level, and `STDiT3.denoise` is one evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from inference.opensora.config import TransformerConfig
from inference.opensora.geometry import WINDOW, PixelSize
from inference.opensora.networks.attention import CrossAttention, Look, SelfAttention, TextContext
from inference.opensora.networks.embeddings import (
    CaptionEmbedding,
    Mlp,
    NumberEmbedding,
    PatchEmbedding,
    RotaryFrequencies,
    position_table,
)
from inference.opensora.networks.fused import add_gated, add_norm_modulate
from inference.opensora.networks.regions import Regions, frame_by_frame, window_by_window
from inference.opensora.networks.tokens import RopeTable, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFrames:
    """Frames of references, which attend to the empty caption; all others attend to the text."""

    given: Tensor
    """Indices of these frames."""
    free: Tensor
    """Indices of all others."""
    text: TextContext
    """The empty caption."""


class Grouping(NamedTuple):
    """Attention regions and rotary angles of a block."""

    regions: Regions
    rope: RopeTable


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Conditions:
    """Inputs of a batch that are the same at every step, embedded."""

    fps: Tensor
    """Embedded frame rate, [B, channels]."""
    positions: Tensor
    """Absolute positions of patches, [H', W', channels]."""
    frames: Grouping
    """Attention of spatial blocks."""
    windows: Grouping
    """Attention of temporal blocks."""
    text: TextContext
    references: Tensor | None = None
    """Embedded reference latents and their mask, [B, T, H', W', channels]."""
    given: GivenFrames | None = None

    def look(self, layer: int) -> Look:
        """Return the text that frames attend to in one cross-attention layer."""
        if self.given is None:
            return Look(self.text.layers[layer])
        empty = self.given.text.layers[layer]
        return Look(self.text.layers[layer], (self.given.given, self.given.free, empty))

    def part(self, rows: slice) -> Conditions:
        """Return the conditions of some samples of the batch."""
        given = self.given
        return replace(
            self,
            fps=self.fps[rows],
            text=self.text.part(rows),
            references=None if self.references is None else self.references[rows],
            given=None if given is None else replace(given, text=given.text.part(rows)),
        )


def _per_frame(embedded: Tensor) -> Tensor:
    """Reshape [..., B, C] to broadcast over [..., B, T, H', W', C]."""
    return embedded[..., None, None, None, :]


class Block(nn.Module):
    """Transformer block: self-attention, cross-attention and MLP, modulated by the noise level."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        channels = config.hidden_size
        self.scale_shift_table = nn.Parameter(torch.zeros(6, channels))
        self.attn = SelfAttention(channels, config.num_heads)
        self.cross_attn = CrossAttention(channels, config.num_heads)
        self.mlp = Mlp(channels, config.mlp_channels, channels)

    def forward(self, tokens: Tokens, modulation: Tensor, grouping: Grouping, look: Look) -> None:
        """Update the tokens.

        Args:
            tokens: [B, T, H', W', channels], with the pending update of the block before.
            modulation: Six rows of [B, T or 1, 1, 1, channels], added to the block's own table.
            grouping: Attention regions and rotary angles of this block.
            look: Text that frames attend to in this block.
        """
        modulation = _per_frame(self.scale_shift_table[:, None]) + modulation
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation
        regions, rope = grouping
        found = self.attn(add_norm_modulate(tokens, shift, scale, regions), rope, regions)
        add_gated(tokens, gate, found, regions)
        del found
        tokens.update = self.cross_attn(tokens.x, look)
        tokens.update = self.mlp(add_norm_modulate(tokens, mlp_shift, mlp_scale))
        tokens.gate = mlp_gate


class FinalLayer(nn.Module):
    """Last layer: norm, modulation and projection to the values of a patch."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(2, config.hidden_size))
        self.linear = nn.Linear(config.hidden_size, 4 * config.out_channels)

    def forward(
        self, tokens: Tokens, time: Tensor, initial: Tensor | None, active: Tensor | None
    ) -> Tensor:
        """Map tokens [B, T, H', W', C] to [B, T, H', W', 4 * out_channels].

        Frames outside `active` are normalised and modulated a second time, with the embedding of
        noise level 0. That looks like a bug of the original, but the weights were trained with it.
        """
        x = self._modulated(tokens, time)
        if active is not None and initial is not None:
            x = torch.where(active, x, self._modulated(Tokens(x), initial))
        out: Tensor = self.linear(x)
        return out

    def _modulated(self, tokens: Tokens, time: Tensor) -> Tensor:
        shift, scale = _per_frame(self.scale_shift_table[:, None] + time)
        return add_norm_modulate(tokens, shift, scale)


class STDiT3(nn.Module):
    """The denoising network: predicts velocity (and sigma) from noisy latents and conditions."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.hidden_size
        self.rope = RotaryFrequencies(config.head_channels)
        self.x_embedder = PatchEmbedding(config.in_channels, channels)
        self.x_embedder_cond = PatchEmbedding(config.in_channels, channels)
        self.x_embedder_cond_mask = PatchEmbedding(config.in_channels, channels)
        self.t_embedder = NumberEmbedding(channels)
        self.fps_embedder = NumberEmbedding(channels)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(channels, 6 * channels))
        self.y_embedder = CaptionEmbedding(
            config.caption_channels, channels, config.model_max_length
        )
        self.spatial_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.temporal_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, and of the computation."""
        return self.x_embedder.proj.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.x_embedder.proj.weight.device

    @property
    def null_caption(self) -> Tensor:
        """The learned empty caption, [tokens, caption_channels]."""
        return self.y_embedder.y_embedding

    def prepare(
        self,
        shape: Sequence[int],
        captions: Sequence[Tensor],
        *,
        fps: Tensor,
        size: PixelSize,
        cond: Tensor | None = None,
        cond_mask: Tensor | None = None,
        mask_index: Sequence[int] | None = None,
        empty_captions: Sequence[Tensor] | None = None,
    ) -> Conditions:
        """Compute the inputs that are the same at every step of a sampling run.

        Args:
            shape: Shape of the latents, [B, in_channels, T, H, W].
            captions: B encoded captions without padding, each [tokens, caption_channels].
            fps: Frames per second to condition on, [b] with b dividing B.
            size: Pixel size of the video.
            cond: Latents of the references, zero elsewhere, shaped like the noisy latents.
            cond_mask: One at the references of `cond`, zero elsewhere, shaped like it.
            mask_index: Frames given by references. None switches references off, which gives other
                results than an empty list.
            empty_captions: Captions for the reference frames, in place of `captions`.

        Raises:
            ValueError: `mask_index` names a frame that does not exist, or its inputs are missing.
        """
        batch, _, frames, height, width = shape
        rows, columns = math.ceil(height / 2), math.ceil(width / 2)
        scale = math.sqrt(size.height * size.width) / self.config.input_sq_size

        def places(count: int) -> Tensor:
            return torch.arange(count, device=self.device).float()

        rope = self.rope.table
        positions = position_table(rows, columns, self.config.hidden_size, scale, self.device)
        conditions = Conditions(
            fps=self.fps_embedder(fps.to(self.device).repeat(batch // len(fps))),
            positions=positions.to(self.dtype),
            frames=Grouping(
                frame_by_frame(rows, columns),
                rope(places(1), places(rows) / scale, places(columns) / scale),
            ),
            windows=Grouping(
                window_by_window(frames, rows, columns),
                rope(
                    places(frames),
                    places(min(rows, WINDOW)) / scale,
                    places(min(columns, WINDOW)) / scale,
                ),
            ),
            text=self._text_context(captions),
        )
        if mask_index is None:
            return conditions
        if cond is None or cond_mask is None:
            raise ValueError("mask_index needs cond and cond_mask")
        references = self.x_embedder_cond(cond.to(self.device, self.dtype))
        references = references + self.x_embedder_cond_mask(cond_mask.to(self.device, self.dtype))
        conditions = replace(conditions, references=references)
        if not mask_index:
            return conditions
        if empty_captions is None or not all(0 <= frame < frames for frame in mask_index):
            raise ValueError(f"mask_index {list(mask_index)}: no such frames or no empty captions")
        free = sorted(set(range(frames)) - set(mask_index))
        given = GivenFrames(
            given=torch.tensor(sorted(set(mask_index)), device=self.device),
            free=torch.tensor(free, dtype=torch.long, device=self.device),
            text=self._text_context(empty_captions),
        )
        return replace(conditions, given=given)

    def denoise(
        self, x: Tensor, timestep: Tensor, conditions: Conditions, active: Tensor | None = None
    ) -> Tensor:
        """Evaluate the network on noisy latents.

        Args:
            x: Latents, [B, in_channels, T, H, W].
            timestep: Noise level of each sample, 0..1000, [B].
            conditions: From `prepare`, for the same batch and shape.
            active: Frames that are noisy, [B, T] bool; the others are clean (noise level 0).

        Returns:
            fp32 [B, out_channels, T, H, W]; the first half of the channels is the velocity.
        """
        height, width = x.shape[-2:]
        tokens: Tensor = self.x_embedder(x.to(self.device, self.dtype))
        if conditions.references is not None:
            tokens = tokens + conditions.references
        tokens = tokens + conditions.positions

        timestep = timestep.to(self.device)
        time = self.t_embedder(timestep) + conditions.fps
        modulation = self._modulation(time)
        initial = None
        if active is not None:
            active = active.to(self.device)[:, :, None, None, None]
            initial = self.t_embedder(torch.zeros_like(timestep)) + conditions.fps
            modulation = torch.where(active, modulation, self._modulation(initial))

        stream = Tokens(tokens)
        for layer, block in enumerate(self._blocks()):
            grouping = conditions.windows if layer % 2 else conditions.frames
            block(stream, modulation, grouping, conditions.look(layer))
        values = self.final_layer(stream, time, initial, active)
        patches = torch.unflatten(values, -1, (2, 2, -1)).permute(0, 6, 1, 2, 4, 3, 5)
        latents = patches.flatten(-2).flatten(-3, -2)
        return latents[..., :height, :width].float()

    def _blocks(self) -> Iterator[Block]:
        """Yield all blocks in the order in which they run: spatial, temporal, spatial, ..."""
        for pair in zip(self.spatial_blocks, self.temporal_blocks, strict=True):
            yield from (cast("Block", block) for block in pair)

    def _modulation(self, time: Tensor) -> Tensor:
        """Return shift, scale and gate for both halves of a block: [6, B, 1, 1, 1, channels]."""
        rows = torch.unflatten(self.t_block(time), -1, (6, -1))
        return _per_frame(rows.movedim(1, 0))

    def _text_context(self, captions: Sequence[Tensor]) -> TextContext:
        padded = nn.utils.rnn.pad_sequence(list(captions), batch_first=True)
        tokens = self.y_embedder(padded.to(self.device, self.dtype))
        return TextContext.build(
            (block.cross_attn.keys_values(tokens) for block in self._blocks()),
            tuple(len(caption) for caption in captions),
        )
