"""CogVideoX (arXiv:2408.06072), by path only."""

from __future__ import annotations

from types import MappingProxyType

from inference.diffusers_pipelines.traits import Channels, Family, Layout, Widths

FAMILY = Family(
    name="cogvideox",
    text="CogVideoXPipeline",
    transformer="CogVideoXTransformer3DModel",
    vae="AutoencoderKLCogVideoX",
    image="CogVideoXImageToVideoPipeline",
    channels=MappingProxyType(
        {"CogVideoXPipeline": Channels(), "CogVideoXImageToVideoPipeline": Channels(times=2)}
    ),
    kinds=MappingProxyType({"text_encoder": ("T5",), "tokenizer": ("T5",)}),
    widths_of=MappingProxyType({"text_encoder": "text_embed_dim"}),
    schedulers=("CogVideoX",),
    prediction="v_prediction",
    layout=Layout.FRAMES_FIRST,
    multiple=16,
    latents_at_once=2,  # a clip of 5 frames would decode to 8
    caches=True,
    widths=Widths(
        hidden=3072, tokens_per_pixel=1 / 256, decoder=128, frames_at_once=8, batched=True
    ),
)
