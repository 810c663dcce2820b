"""Configuration of the transformer and the VAE, as read from a checkpoint's `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from inference.opensora.geometry import CHUNK_FRAMES

GRAPHS_TOKENS = 16_384
"""Most tokens, over all branches, of an evaluation that is replayed as a CUDA graph. With more the
GPU computes for longer than the host needs to launch kernels, and a graph saves nothing."""

GRAPHS_BYTES = 1_000_000_000
"""Memory limit of all CUDA graphs with their inputs."""

FP8_ROWS = 16_384
"""Rows per product in FP8, which bounds the memory of quantised rows."""

LATENT_MEAN = (
    -0.19016949832439423,
    -0.04480062797665596,
    0.020789705216884613,
    0.01865335740149021,
    -0.011585569009184837,
    0.0010865575168281794,
    0.08378933370113373,
    0.08902134001255035,
    0.00940945465117693,
    0.08086848258972168,
    -0.07251627743244171,
    0.05052144080400467,
    -0.0209724809974432,
    -0.1223079189658165,
    -0.003862356534227729,
    -0.023072388023138046,
)
"""Mean of each latent channel of the official VAE; part of the model, absent from its files."""

LATENT_STD = (
    0.9490776062011719,
    0.9594117999076843,
    0.9444302916526794,
    0.9103284478187561,
    0.959351658821106,
    0.8430351614952087,
    0.8888124823570251,
    0.9291136860847473,
    0.972594141960144,
    0.8917953968048096,
    0.8630853891372681,
    0.8279891610145569,
    0.9114300012588501,
    0.7922844886779785,
    0.8991407155990601,
    0.9473513960838318,
)
"""Standard deviation of each latent channel of the official VAE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """Configuration of an STDiT3 transformer; the defaults are the official XL/2.

    Three keys of the JSON are not read: `qk_norm`, `use_spatial_rope` and `kernel_size` are always
    on, true and 8 (windows of 8 x 8 over all frames), as the official code of v1.3 forces them.
    Their defaults in the JSON would give the attention of v1.2.
    """

    in_channels: int = 16
    hidden_size: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    pred_sigma: bool = True
    caption_channels: int = 4096
    model_max_length: int = 300
    input_sq_size: int = 512

    def __post_init__(self) -> None:
        """Check that position tables can be built for the widths.

        Raises:
            ValueError: Names the numbers that do not fit together.
        """
        if self.hidden_size % (4 * self.num_heads) or self.head_channels % 6:
            raise ValueError(
                f"hidden_size {self.hidden_size} with {self.num_heads} heads: the width must be "
                "a multiple of 4 and the head width a multiple of 6"
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a `config.json`: absent and null keys take the defaults, unknown ones are ignored.

        Raises:
            ValueError: The file describes a variant that this code does not implement.
        """
        if tuple(data.get("patch_size") or (1, 2, 2)) != (1, 2, 2):
            raise ValueError(f"patch_size {data['patch_size']} is not supported, only [1, 2, 2]")
        for name in ("skip_temporal", "skip_y_embedder"):
            if data.get(name):
                raise ValueError(f"{name} is not supported")
        names = {field.name for field in fields(cls)}
        return cls(**{key: data[key] for key in names & data.keys() if data[key] is not None})

    @property
    def head_channels(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def mlp_channels(self) -> int:
        """Width inside the feed-forward layers."""
        return int(self.hidden_size * self.mlp_ratio)

    @property
    def out_channels(self) -> int:
        """Channels per latent pixel: velocity, then (unused) sigma."""
        return self.in_channels * (2 if self.pred_sigma else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoderConfig:
    """Configuration of the VAE's encoder or decoder; levels count from pixels (0) to latents."""

    pixel_channels: int = 3
    latent_channels: int = 16
    base_channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks_per_level: int = 2
    temporal_levels: frozenset[int]
    """Levels that also halve or double the frames; the others resample in space only."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Width of each level."""
        return tuple(self.base_channels * factor for factor in self.multipliers)

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any], pixels: str, levels: str, default: Any) -> Self:
        standard = cls(temporal_levels=frozenset())
        return cls(
            pixel_channels=data.get(pixels, standard.pixel_channels),
            latent_channels=data.get("z_channels", standard.latent_channels),
            base_channels=data.get("ch", standard.base_channels),
            multipliers=tuple(data.get("ch_mult", standard.multipliers)),
            blocks_per_level=data.get("num_res_blocks", standard.blocks_per_level),
            temporal_levels=frozenset(data.get(levels, default)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeConfig:
    """Configuration of the v1.3 VAE, and the statistics of its latents."""

    encoder: CoderConfig
    decoder: CoderConfig
    latent_mean: tuple[float, ...] = LATENT_MEAN
    latent_std: tuple[float, ...] = LATENT_STD
    border_fade: int = 0
    """Frames at each side of a chunk border over which the jump there is blended; 0 in the official
    model."""

    def __post_init__(self) -> None:
        """Check that the VAE compresses 8x in space and 4x in time.

        Raises:
            ValueError: Names what does not fit.
        """
        for coder in (self.encoder, self.decoder):
            if len(coder.multipliers) != 4 or len(coder.temporal_levels) != 2:  # noqa: PLR2004 - 2^3 in space, 2^2 in time
                raise ValueError(f"only four levels, two of them temporal, are supported: {coder}")
        if not len(self.latent_mean) == len(self.latent_std) == self.decoder.latent_channels:
            raise ValueError("normalization needs one mean and one std per latent channel")
        if not 0 <= self.border_fade < CHUNK_FRAMES // 2:
            raise ValueError(f"border_fade {self.border_fade}: a chunk has {CHUNK_FRAMES} frames")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a `config.json`.

        Two optional keys are additions to the original's: `normalization`, as
        `{"mean": [...], "std": [...]}` per latent channel, and `border_fade`.

        Raises:
            ValueError: The file describes a variant that this code does not implement.
        """
        encoder, decoder = data.get("encoder", {}), data.get("decoder", {})
        if not encoder.get("double_z", True):
            raise ValueError("an encoder without variances (double_z false) is not supported")
        statistics = data.get("normalization")
        if not isinstance(statistics, Mapping):  # absent, or the word "video": the official ones
            statistics = {"mean": LATENT_MEAN, "std": LATENT_STD}
        return cls(
            encoder=CoderConfig._from_dict(encoder, "in_channels", "down_sampling_layer", (1, 2)),  # noqa: SLF001 - same module
            decoder=CoderConfig._from_dict(decoder, "out_ch", "temporal_up_layers", (2, 3)),  # noqa: SLF001 - same module
            latent_mean=tuple(statistics["mean"]),
            latent_std=tuple(statistics["std"]),
            border_fade=data.get("border_fade", 0),
        )
