"""HunyuanVideo-1.5, by path only: its licence excludes the EU, the UK and South Korea."""

from __future__ import annotations

from types import MappingProxyType

from inference.diffusers_pipelines.traits import Channels, Family, Widths

_PARTS = ("text_encoder_2", "tokenizer_2", "guider")

FAMILY = Family(
    name="hunyuan-1.5",
    text="HunyuanVideo15Pipeline",
    transformer="HunyuanVideo15Transformer3DModel",
    vae="AutoencoderKLHunyuanVideo15",
    image="HunyuanVideo15ImageToVideoPipeline",
    needs=MappingProxyType(
        {
            "HunyuanVideo15Pipeline": _PARTS,
            "HunyuanVideo15ImageToVideoPipeline": (*_PARTS, "image_encoder", "feature_extractor"),
        }
    ),
    channels=MappingProxyType(
        dict.fromkeys(
            ("HunyuanVideo15Pipeline", "HunyuanVideo15ImageToVideoPipeline"),
            Channels(times=2, plus=1),
        )
    ),
    kinds=MappingProxyType(
        {
            "text_encoder": ("Qwen2",),
            "tokenizer": ("Qwen2",),
            "text_encoder_2": ("T5",),
            "tokenizer_2": ("ByT5",),
            "image_encoder": ("Siglip",),
        }
    ),
    widths_of=MappingProxyType(
        {
            "text_encoder": "text_embed_dim",
            "text_encoder_2": "text_embed_2_dim",
            "image_encoder": "image_embed_dim",
        }
    ),
    multiple=16,
    pixels_per_latent=16,
    compiles=True,
    widths=Widths(hidden=2048, tokens_per_pixel=1 / 256, decoder=128),
)
