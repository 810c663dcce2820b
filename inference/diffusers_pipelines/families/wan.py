"""Wan 2.1 and 2.2 (arXiv:2503.20314).

Settings that checkpoints do not hold are from Wan's repositories, https://github.com/Wan-Video:
flow shift and guidance per model, the negative prompt, the VAE in fp32.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from inference.diffusers_pipelines.traits import (
    PLAIN_LEVELS,
    Channels,
    Family,
    Few,
    Lengths,
    Lora,
    Preset,
    Repository,
    Widths,
)

FAMILY = Family(
    name="wan",
    text="WanPipeline",
    transformer="WanTransformer3DModel",
    vae="AutoencoderKLWan",
    image="WanImageToVideoPipeline",
    ends="WanImageToVideoPipeline",
    channels=MappingProxyType(
        {
            "WanPipeline": Channels(),
            "WanImageToVideoPipeline": Channels(times=2, plus=4),  # noise, picture and mask
        }
    ),
    kinds=MappingProxyType(
        {"text_encoder": ("UMT5",), "tokenizer": ("T5",), "image_encoder": ("CLIPVision",)}
    ),
    widths_of=MappingProxyType({"text_encoder": "text_dim", "image_encoder": "image_dim"}),
    shared_if="expand_timesteps",  # TI2V-5B, one checkpoint for text and images
    multiple=16,
    streams=True,
    fp32_vae=True,
    caches=True,
    compiles=True,
    gguf=True,
    widths=Widths(hidden=5120, tokens_per_pixel=1 / 256, decoder=96, frames_at_once=4),
)

VACE = replace(
    FAMILY,
    name="wan-vace",
    text="WanVACEPipeline",
    transformer="WanVACETransformer3DModel",
    image=None,
    ends=None,
    channels=MappingProxyType({"WanVACEPipeline": Channels()}),
    shared_if=None,
    caches=False,
    gguf=False,
    references=True,
)
"""VACE (arXiv:2503.07598), for reference images only; its frames and masks are not used."""

_NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，"
    "低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，"
    "毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
_ADVICE = (
    "It was trained on long, filmic captions. Write 60 to 120 words in English or Chinese that"
    " describe one continuous shot: who or what is seen, what happens from first to last, where,"
    " the camera and how it moves, the light and the colours. No cuts, no lists."
)
_480P = {
    ("480p", "16:9"): (832, 480),
    ("480p", "9:16"): (480, 832),
    ("480p", "1:1"): (624, 624),
    ("480p", "4:3"): (720, 544),
    ("480p", "3:4"): (544, 720),
}
_LICENCE = "Apache-2.0"
_TEXT_ENCODER, _VAE_21 = 5.7, 0.127

WAN = Preset(
    name="wan",
    title="Wan 2.2 5B",
    family=FAMILY,
    repositories={
        "any": Repository(source="Wan-AI/Wan2.2-TI2V-5B-Diffusers", size_bytes=34_000_000_000)
    },
    licence=_LICENCE,
    fps=24,
    sizes={
        ("480p", "16:9"): (832, 480),
        ("480p", "9:16"): (480, 832),
        ("480p", "1:1"): (640, 640),
        ("720p", "16:9"): (1280, 704),
        ("720p", "9:16"): (704, 1280),
        ("720p", "1:1"): (960, 960),
        ("720p", "4:3"): (1088, 832),
        ("720p", "3:4"): (832, 1088),
    },
    lengths=Lengths(step=4, most=121, usual=121),
    steps=50,
    guidance=5.0,
    negative=_NEGATIVE,
    shift=5.0,
    scheduler=PLAIN_LEVELS,
    advice=_ADVICE,
    parameters={"transformer": 5.0, "text_encoder": _TEXT_ENCODER, "vae": 0.7},
    widths=Widths(hidden=3072, tokens_per_pixel=1 / 1024, decoder=96, frames_at_once=4),
    petaflops=0.55,
)

_LIGHTNING = "lightx2v/Wan2.2-Lightning"
_T2V, _I2V = "Wan-AI/Wan2.2-T2V-A14B-Diffusers", "Wan-AI/Wan2.2-I2V-A14B-Diffusers"


def _pair(folder: str) -> tuple[Lora, Lora]:
    """Return the LoRAs of both transformers, for high and low noise."""
    return (
        Lora(
            source=_LIGHTNING,
            file=f"{folder}/high_noise_model.safetensors",
            transformer="transformer",
        ),
        Lora(
            source=_LIGHTNING,
            file=f"{folder}/low_noise_model.safetensors",
            transformer="transformer_2",
        ),
    )


WAN_14B = Preset(
    name="wan-14b",
    title="Wan 2.2 14B",
    family=FAMILY,
    repositories={
        "text": Repository(source=_T2V, size_bytes=126_000_000_000),
        "image": Repository(source=_I2V, size_bytes=126_000_000_000),
    },
    licence=_LICENCE,
    fps=16,
    sizes={
        **_480P,
        ("720p", "16:9"): (1280, 720),
        ("720p", "9:16"): (720, 1280),
        ("720p", "1:1"): (960, 960),
        ("720p", "4:3"): (1104, 832),
        ("720p", "3:4"): (832, 1104),
    },
    lengths=Lengths(step=4, most=81, usual=81),
    steps=40,
    guidance=4.0,
    guidance_low=3.0,
    guidance_image=3.5,
    negative=_NEGATIVE,
    shift=12.0,
    shift_image=5.0,
    scheduler=PLAIN_LEVELS,
    few=Few(
        loras={
            _T2V: _pair("Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1"),
            _I2V: _pair("Wan2.2-I2V-A14B-4steps-lora-rank64-Seko-V1"),
        },
        steps=4,
        guidance=1.0,
        shift=5.0,
        # The timesteps of their training (1000, 937.5, 833.3, 625), in Euler steps.
        scheduler=MappingProxyType({"solver_order": 1, "disable_corrector": [0, 1, 2, 3]}),
    ),
    advice=_ADVICE,
    parameters={
        "transformer": 14.3,
        "transformer_2": 14.3,
        "text_encoder": _TEXT_ENCODER,
        "vae": _VAE_21,
    },
    petaflops=6.8,
)

WAN_SMALL = Preset(
    name="wan-small",
    title="Wan 2.1 1.3B",
    family=FAMILY,
    repositories={
        "text": Repository(source="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", size_bytes=29_000_000_000)
    },
    licence=_LICENCE,
    fps=16,
    sizes=_480P,
    lengths=Lengths(step=4, most=81, usual=81),
    steps=50,
    guidance=6.0,
    negative=_NEGATIVE,
    shift=8.0,
    scheduler=PLAIN_LEVELS,
    advice=_ADVICE,
    parameters={"transformer": 1.42, "text_encoder": _TEXT_ENCODER, "vae": _VAE_21},
    widths=Widths(hidden=1536, tokens_per_pixel=1 / 256, decoder=96, frames_at_once=4),
    petaflops=0.19,
)

WAN_VACE = replace(
    WAN_SMALL,
    name="wan-vace",
    title="Wan 2.1 VACE 1.3B",
    family=VACE,
    repositories={
        "text": Repository(source="Wan-AI/Wan2.1-VACE-1.3B-diffusers", size_bytes=19_100_000_000)
    },
    guidance=5.0,
    shift=16.0,
    parameters={"transformer": 2.15, "text_encoder": _TEXT_ENCODER, "vae": _VAE_21},
    petaflops=0.28,
)
