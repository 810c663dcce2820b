"""HunyuanVideo-1.5, by path only: its licence leaves out the EU, the UK and South Korea."""

from __future__ import annotations

from inference.diffusers_engine.traits import Family, Widths

FAMILY = Family(
    name="hunyuan-1.5",
    text="HunyuanVideo15Pipeline",
    transformer="HunyuanVideo15Transformer3DModel",
    image="HunyuanVideo15ImageToVideoPipeline",
    multiple=16,
    pixels_per_latent=16,
    compiles=True,
    widths=Widths(hidden=2048, tokens_per_pixel=1 / 256, decoder=128),
)
