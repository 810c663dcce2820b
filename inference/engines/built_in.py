"""Registry entries of built-in models: nano, official Open-Sora, test card, diffusers presets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import resources

from pydantic import BaseModel

from inference.diffusers_pipelines.families import PRESETS
from inference.domain.capabilities import Capabilities, Cost, Numbers
from inference.domain.spec import Mode, Resolution, Spec
from inference.domain.vocabulary import Vocabulary
from inference.engines import weights
from inference.engines.base import Footprint
from inference.engines.diffusers_adapter.registration import ENGINE as DIFFUSERS
from inference.engines.diffusers_adapter.registration import PATH_ENTRY, preset_entry
from inference.engines.entry import ModelEntry, import_when_called
from inference.engines.geometry import LENGTHS, SIZES
from inference.engines.memory_plan import saving_for as check_memory
from inference.engines.options import NanoTable, OpensoraTable, TestcardTable
from inference.opensora.controls import CONTROLS, Speed, make_speed_option
from inference.opensora.presets import NANO as NANO_PRESET
from inference.opensora.presets import OFFICIAL_I2V, OFFICIAL_T2V, SamplingPreset
from inference.opensora.step_plan import compute_evaluated_share

NANO_WORDS = Vocabulary.read(
    resources.files("inference").joinpath("weights", "nano", "vocabulary.json")
)

_FP8_SHARE = 0.85
"""Step time with FP8 as a share of that without: calculated, used until it is measured."""


def _work_share(spec: Spec, text: SamplingPreset, given: SamplingPreset) -> float:
    """Return the share of a render's step work that remains at its speed setting."""
    speed = spec.options.get("speed", Speed.EXACT)
    if speed == Speed.EXACT:
        return 1.0
    references = spec.image is not None or spec.latents is not None
    preset = replace(given if references else text, guidance=max(1.0, spec.cfg))
    share = compute_evaluated_share(preset, spec.steps, references=references)
    return share * _FP8_SHARE if speed == Speed.FAST else share


def _with_speed(entry: ModelEntry, table: BaseModel) -> ModelEntry:
    """Return the entry of an Open-Sora model with the configured default speed."""
    assert isinstance(table, NanoTable | OpensoraTable)  # noqa: S101 - `ModelEntry.options` names it
    known = entry.capabilities
    return replace(entry, capabilities=known.with_default("speed", table.speed))


NANO = ModelEntry(
    capabilities=Capabilities(
        name="nano",
        title="Open-Sora nano",
        sizes={key: size for key, size in SIZES.items() if key[0] is Resolution.P360},
        lengths=LENGTHS,
        modes=frozenset(Mode),
        options=(*CONTROLS, make_speed_option(Speed.EXACT, Speed.BALANCED)),
        work_share=partial(_work_share, text=NANO_PRESET, given=NANO_PRESET),
        # two CPU cores, 49 frames in 14 steps: 4 to 7 s of steps, 8 to 11 s of decoding
        cost=Cost(
            load_seconds=8.0,
            fixed_seconds=0.1,
            seconds_per_megapixel_frame_step=0.03,
            seconds_per_megapixel_frame=0.7,
            reference_factor=1.5,
        ),
        steps=Numbers(lowest=1, highest=200, default=14),
        cfg=Numbers(lowest=1, highest=20, default=4),
        defaults={
            "resolution": Resolution.P360,
            "frames": 49,
            "refine": False,  # nano's vocabulary is small, and most prompts use it already
        },
        negative=True,
        last_image=True,
        extends=True,
        draft={"steps": 6},
        prompt_advice=NANO_WORDS.advice(),
        vocabulary=NANO_WORDS,
        native_note="upscaled",
    ),
    factory=import_when_called("inference.engines.opensora_adapter.models:nano"),
    options=NanoTable,
    configure=_with_speed,
    random_prompt=NANO_WORDS.draw,
    needs_card=False,
)

OPENSORA_FOOTPRINT = Footprint(
    text_bytes=2 * weights.TEXT_ENCODER.parameters,
    transformer_bytes=2 * weights.I2V.parameters,
    transformer_sets=3,
    vae_bytes=2 * weights.VAE.parameters,
    hidden_size=1152,
    layers=56,
    base_channels=128,
    fused=True,
)
"""Footprint of the official checkpoints in bfloat16, on a GPU with Triton."""

_OPENSORA = Capabilities(
    name="opensora",
    title="Open-Sora v1.3",
    sizes=SIZES,
    lengths=LENGTHS,
    modes=frozenset(Mode),
    options=(*CONTROLS, make_speed_option(*Speed)),
    work_share=partial(_work_share, text=OFFICIAL_T2V, given=OFFICIAL_I2V),
    # the original on an H200: 360p with 49 and 97 frames takes 16 and 33 s, 720p 130 s
    cost=Cost(
        load_seconds=60.0,
        fixed_seconds=1.0,
        seconds_per_megapixel_frame_step=0.049,
        reference_factor=1.5,
    ),
    defaults={"resolution": Resolution.P720, "frames": 97},
    # 360p with 49 frames and half of the steps takes a sixteenth of 720p with 97
    draft={"resolution": Resolution.P360, "frames": 49, "steps": 15},
    negative=True,
    last_image=True,
    extends=True,
)

OPENSORA = ModelEntry(
    capabilities=_OPENSORA,
    factory=import_when_called("inference.engines.opensora_adapter.models:official"),
    check_memory=lambda spec, device: check_memory(spec, _OPENSORA, OPENSORA_FOOTPRINT, device),
    checkpoints=weights.OPENSORA,
    options=OpensoraTable,
    configure=_with_speed,
)


def _configure_testcard(entry: ModelEntry, table: BaseModel) -> ModelEntry:
    """Return the test card's entry with the configured lengths and frame rate."""
    assert isinstance(table, TestcardTable)  # noqa: S101 - `ModelEntry.options` names it
    known = entry.capabilities
    lengths = table.lengths or known.lengths
    frames = lengths.nearest(int(str(known.defaults["frames"])))
    return replace(
        entry,
        capabilities=replace(
            known,
            lengths=lengths,
            file_fps=table.file_fps or known.file_fps,
            defaults={**known.defaults, "frames": frames},
        ),
    )


TESTCARD = ModelEntry(
    capabilities=Capabilities(
        name="testcard",
        title="Test card",
        sizes=SIZES,
        lengths=LENGTHS,
        modes=frozenset(Mode),
        options=CONTROLS,
        cost=Cost(
            load_seconds=0.1,
            fixed_seconds=0.0,
            seconds_per_megapixel_frame_step=0.004,
            seconds_per_megapixel_frame=0.06,
        ),
        steps=Numbers(lowest=1, highest=200, default=10),
        defaults={"resolution": Resolution.P720, "frames": 97},
        draft={"resolution": Resolution.P360, "frames": 49},
        last_image=True,
        extends=True,
    ),
    factory=import_when_called("inference.engines.testcard:TestcardEngine"),
    options=TestcardTable,
    configure=_configure_testcard,
    needs_card=False,
    uses_torch=False,
)


ENTRIES = {
    entry.capabilities.name: entry
    for entry in (NANO, OPENSORA, TESTCARD, *map(preset_entry, PRESETS))
}
"""Built-in models by name, in the order of lists."""

ENGINES = {**ENTRIES, DIFFUSERS: PATH_ENTRY}
"""Values of `engine` in `[models.<name>]`. `diffusers` is not a model by itself."""
