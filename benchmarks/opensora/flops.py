"""FLOP counts of the networks by shape. No torch.

As in `torch.utils.flop_counter`, a multiply-add counts as two. Only matrix products and
convolutions are counted; everything else is below one percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from inference.opensora.config import CoderConfig, TransformerConfig
from inference.opensora.geometry import CHUNK_LATENTS, WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentShape:
    """Shape of a clip's latents: frames, rows and columns."""

    frames: int
    height: int
    width: int


def transformer_forward(config: TransformerConfig, shape: LatentShape, text_tokens: int) -> int:
    """Return the FLOPs of one evaluation of one sample, without `transformer_prepare`."""
    rows, columns = ceil(shape.height / 2), ceil(shape.width / 2)
    places = rows * columns
    tokens, width = shape.frames * places, config.hidden_size
    linear = tokens * width * (4 * width + 2 * width + 2 * config.mlp_channels)
    to_text = 2 * tokens * text_tokens * width
    in_frames = 2 * shape.frames * places * places * width
    in_windows = 2 * width * sum((shape.frames * size) ** 2 for size in _windows(rows, columns))
    layers = config.depth * (2 * (linear + to_text) + in_frames + in_windows)
    patches = tokens * width * 4 * (config.in_channels + config.out_channels)
    time = (256 + width) * width + 6 * width * width
    return 2 * (layers + patches + time)


def transformer_prepare(config: TransformerConfig, text_tokens: int) -> int:
    """Return the FLOPs per caption of its embedding and all its keys and values."""
    width = config.hidden_size
    embedding = text_tokens * (config.caption_channels + width) * width
    keys_values = 2 * config.depth * text_tokens * width * 2 * width
    rate = (256 + width) * width
    return 2 * (embedding + keys_values + rate)


def vae_decode(config: CoderConfig, shape: LatentShape) -> int:
    """Return the FLOPs of decoding a clip in chunks."""
    starts = range(0, shape.frames, CHUNK_LATENTS)
    return sum(
        _decode_chunk(
            config,
            LatentShape(
                frames=min(CHUNK_LATENTS, shape.frames - start),
                height=shape.height,
                width=shape.width,
            ),
        )
        for start in starts
    )


def t5_encode(tokens: int, *, width: int = 4096, inner: int = 10240, layers: int = 24) -> int:
    """Return the FLOPs of T5 v1.1 XXL's encoder for a caption."""
    linear = tokens * width * (4 * width + 3 * inner)
    return 2 * layers * (linear + 2 * tokens * tokens * width)


def _decode_chunk(config: CoderConfig, shape: LatentShape) -> int:
    widths = config.channels
    frames, area = shape.frames, shape.height * shape.width
    top = widths[-1]
    total = _conv(frames * area, config.latent_channels, top)
    tokens = frames * area
    total += 4 * _conv(tokens, top, top) + 4 * _conv(tokens, top, top, kernel=1)
    total += 2 * tokens * tokens * top
    before = top
    for level in reversed(range(len(widths))):
        width = widths[level]
        for channels, out in pairwise([before] + [width] * (config.blocks_per_level + 1)):
            total += _conv(frames * area, channels, out) + _conv(frames * area, out, out)
            if channels != out:
                total += _conv(frames * area, channels, out, kernel=1)
        if level in config.temporal_levels:
            frames, area = 2 * frames, 4 * area
            total += 2 * _conv(frames * area, width, width)
        elif level:
            area *= 4
            total += _conv(frames * area, width, width, kernel=3, dimensions=2)
        before = width
    kept = frames - 3
    total += _conv(kept * area, widths[0], config.pixel_channels)
    return 2 * total


def _conv(places: int, channels: int, out: int, *, kernel: int = 3, dimensions: int = 3) -> int:
    multiplications: int = places * channels * out * kernel**dimensions
    return multiplications


def _windows(rows: int, columns: int) -> list[int]:
    """Return the number of patches of each temporal window; those at the border are smaller."""

    def sides(length: int) -> list[int]:
        return [min(WINDOW, length - start) for start in range(0, length, WINDOW)]

    return [height * width for height in sides(rows) for width in sides(columns)]
