"""LTX-Video 0.9 (arXiv:2501.00103) and LTX-2 to 2.5 of Lightricks."""

from __future__ import annotations

from types import MappingProxyType

from inference.diffusers_pipelines.traits import (
    PLAIN_LEVELS,
    Channels,
    Family,
    Images,
    Layout,
    Lengths,
    Preset,
    Repository,
    Widths,
)

_VIDEO_CLASSES = ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline")
_LTX2_CLASSES = ("LTX2Pipeline", "LTX2ImageToVideoPipeline", "LTX2ConditionPipeline")

VIDEO = Family(
    name="ltx-video",
    text="LTXPipeline",
    transformer="LTXVideoTransformer3DModel",
    vae="AutoencoderKLLTXVideo",
    image="LTXImageToVideoPipeline",
    ends="LTXConditionPipeline",
    channels=MappingProxyType(dict.fromkeys(_VIDEO_CLASSES, Channels())),
    kinds=MappingProxyType({"text_encoder": ("T5",), "tokenizer": ("T5",)}),
    widths_of=MappingProxyType({"text_encoder": "caption_channels"}),
    ends_scheduler=MappingProxyType({"use_dynamic_shifting": False}),  # 0.9.0 and 0.9.1 have it
    shared=True,
    given=Images.CONDITIONS,
    layout=Layout.TOKENS_LAST,
    multiple=32,
    pixels_per_latent=32,
    frames_per_latent=8,
    lead_frames=9,  # two latent frames, which show the motion
    least_steps=2,  # with one step, the fixed last noise level leads to a division by zero
    # Without these, clips of 0.9.1 and later look worse than in the original.
    call=MappingProxyType({"decode_timestep": 0.05, "image_cond_noise_scale": 0.025}),
    caches=True,
    compiles=True,
    gguf=True,
    widths=Widths(hidden=4096, tokens_per_pixel=1 / 1024, decoder=8, batched=True),
)

LTX2 = Family(
    name="ltx2",
    text="LTX2Pipeline",
    transformer="LTX2VideoTransformer3DModel",
    vae="AutoencoderKLLTX2Video",
    image="LTX2ImageToVideoPipeline",
    ends="LTX2ConditionPipeline",
    needs=MappingProxyType(dict.fromkeys(_LTX2_CLASSES, ("connectors", "audio_vae", "vocoder"))),
    channels=MappingProxyType(dict.fromkeys(_LTX2_CLASSES, Channels())),
    kinds=MappingProxyType(
        {
            "text_encoder": ("Gemma",),
            "tokenizer": ("Gemma",),
            "connectors": ("LTX2",),
            "audio_vae": ("AutoencoderKLLTX2",),
            "vocoder": ("LTX2",),
        }
    ),
    shared=True,
    given=Images.CONDITIONS,
    layout=Layout.TOKENS,
    multiple=32,
    pixels_per_latent=32,
    frames_per_latent=8,
    lead_frames=9,  # two latent frames, which show the motion
    least_steps=2,  # with one step, the fixed last noise level leads to a division by zero
    sound=True,
    compiles=True,
    gguf=True,
    widths=Widths(hidden=4096, tokens_per_pixel=1 / 1024, decoder=8, batched=True),
)

PRESET = Preset(
    name="ltx",
    title="LTX-2.5",
    family=LTX2,
    repositories={
        "any": Repository(
            source="Lightricks/LTX-2.5-Diffusers", size_bytes=70_500_000_000, gated=True
        )
    },
    licence="LTX-2 Community License: free up to 10 M$ of yearly revenue; Gemma terms of use",
    fps=24,
    sizes={
        ("480p", "16:9"): (768, 448),
        ("480p", "9:16"): (448, 768),
        ("480p", "4:3"): (768, 512),
        ("480p", "3:4"): (512, 768),
        ("480p", "1:1"): (640, 640),
        ("720p", "16:9"): (1216, 704),
        ("720p", "9:16"): (704, 1216),
        ("720p", "1:1"): (960, 960),
    },
    lengths=Lengths(step=8, most=241, usual=121),
    steps=8,
    # DISTILLED_SIGMA_VALUES of diffusers.pipelines.ltx2.utils, which imports torch
    sigmas=(1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875),
    guidance=1.0,
    shift=1.0,  # the noise levels above, as they are
    scheduler=PLAIN_LEVELS,
    advice=(
        "It makes sound with the picture and was trained on long, filmic captions. Write 60 to 120"
        " words in English that describe one continuous shot: what is seen and happens, in order,"
        " the camera and the light, and what is heard: voices with their words in quotation marks,"
        " noises, music."
    ),
    parameters={
        "transformer": 18.99,
        "connectors": 3.17,
        "text_encoder": 12.14,
        "vae": 0.73,
        "audio_vae": 0.05,
        "vocoder": 0.13,
    },
    petaflops=0.23,
)
