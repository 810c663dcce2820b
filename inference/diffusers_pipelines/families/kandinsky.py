"""Kandinsky 6: video and sound from one transformer; one pipeline class for text and images."""

from __future__ import annotations

from types import MappingProxyType

from inference.diffusers_pipelines.traits import Family, Layout, Lengths, Preset, Repository, Widths

FAMILY = Family(
    name="kandinsky",
    text="Kandinsky6TI2VAPipeline",
    transformer="Kandinsky6Transformer3DModel",
    vae="AutoencoderKLHunyuanVideo",
    image="Kandinsky6TI2VAPipeline",
    needs=MappingProxyType({"Kandinsky6TI2VAPipeline": ("text_encoder_2", "tokenizer_2")}),
    kinds=MappingProxyType(
        {
            "text_encoder": ("Qwen2_5_VLFor",),
            "tokenizer": ("Qwen2",),
            "text_encoder_2": ("CLIPText",),
            "tokenizer_2": ("CLIP",),
            "audio_vae": ("MMAudio",),
            "vocoder": ("MMAudio",),
        }
    ),
    widths_of=MappingProxyType({"text_encoder": "in_text_dim", "text_encoder_2": "in_text_dim2"}),
    schedulers=("FlowMatch", "Piflow"),
    distilled_scheduler="Piflow",
    shared=True,
    layout=Layout.CHANNELS_LAST,
    multiple=16,
    sound=True,
    compiles=True,
    widths=Widths(hidden=1792, tokens_per_pixel=1 / 256, decoder=128, frames_at_once=16),
)

PRESET = Preset(
    name="kandinsky",
    title="Kandinsky 6 Lite",
    family=FAMILY,
    repositories={
        "any": Repository(
            source="kandinskylab/Kandinsky-6.0-Lite-distill-5s-Diffusers",
            size_bytes=24_600_000_000,
        )
    },
    licence="MIT, second hand: check its page",
    fps=24,
    sizes={
        ("480p", "16:9"): (864, 480),
        ("480p", "9:16"): (480, 864),
        ("480p", "1:1"): (640, 640),
    },
    lengths=Lengths(step=4, most=121, usual=121),
    steps=10,
    guidance=1.0,
    shift=5.0,
    advice=(
        "It makes sound with the picture and was trained on long, filmic captions. Write 60 to 120"
        " words in English that describe one continuous shot: what is seen and happens, the camera"
        " and how it moves, the light. Put speech between <S> and <E>, other sounds between"
        " <AUDCAP> and <ENDAUDCAP>."
    ),
    parameters={
        "transformer": 3.18,
        "text_encoder": 8.29,
        "text_encoder_2": 0.12,
        "vae": 0.25,
        "audio_vae": 0.31,
        "vocoder": 0.12,
    },
    petaflops=0.2,
)
