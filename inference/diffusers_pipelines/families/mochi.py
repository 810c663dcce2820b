"""Mochi of Genmo, by path only."""

from __future__ import annotations

from types import MappingProxyType

from inference.diffusers_pipelines.traits import Channels, Family, Widths

FAMILY = Family(
    name="mochi",
    text="MochiPipeline",
    transformer="MochiTransformer3DModel",
    vae="AutoencoderKLMochi",
    channels=MappingProxyType({"MochiPipeline": Channels()}),
    kinds=MappingProxyType({"text_encoder": ("T5",), "tokenizer": ("T5",)}),
    widths_of=MappingProxyType({"text_encoder": "text_embed_dim"}),
    inverts=True,
    multiple=16,
    frames_per_latent=6,
    stills=False,
    least_steps=2,
    caches=True,
    gguf=True,
    widths=Widths(hidden=3072, tokens_per_pixel=1 / 256, decoder=128, batched=True),
)
