"""Capabilities of models that run through diffusers, from a preset or a folder's configs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.families import PRESETS
from inference.domain.capabilities import (
    Capabilities,
    Cost,
    Lengths,
    ModelOption,
    Numbers,
    OptionKind,
)
from inference.domain.spec import Aspect, Mode, Resolution, Size

if TYPE_CHECKING:
    from inference.diffusers_pipelines.traits import Family, Preset
    from inference.diffusers_pipelines.weights.folder import Folder
    from inference.engines.diffusers_adapter.video_model import VideoModelEntry

_FLOPS = 0.4e15
"""Floating-point operations per second of a large GPU, for time estimates until it is measured."""
_LOAD_BYTES = 1.5e9
"""Bytes loaded per second, from disk to device."""
_PATH_FRAMES = {"hunyuan-1.5": 121, "cogvideox": 49, "mochi": 163, "ltx-video": 161}
"""Longest clips in frames, by family, for folders without a preset."""
_PATH_FPS = {"cogvideox": 8, "mochi": 30, "wan": 16, "wan-vace": 16}
_LATER_COG = (81, 16)
"""Longest clip in frames, and frame rate, of CogVideoX-1.5."""
_PATH_STEPS = {"mochi": 64, "ltx2": 30}
_DISTILLED_STEPS = {"kandinsky": 10}
"""Steps of distilled weights, by family, where they are not eight."""
_PATH_CFG = {
    "wan": 5.0,
    "wan-vace": 5.0,
    "cogvideox": 6.0,
    "hunyuan-1.5": 6.0,
    "mochi": 4.5,
    "ltx-video": 3.0,
    "ltx2": 3.0,
    "kandinsky": 5.0,
}
_DISTILLED = ("distill", "turbo", "lightning")

SOUND = ModelOption(
    name="sound", kind=OptionKind.CHOICE, default="on", choices=("on", "off"), worded=True
)
"""Option: whether the model's sound is kept."""
CACHE = ModelOption(
    name="cache",
    kind=OptionKind.CHOICE,
    default="off",
    choices=("off", "on"),
    worded=True,
    modes=frozenset(Mode) - {Mode.TEXT_TO_IMAGE},
    advanced=True,
)
"""Option: whether evaluations that change little are skipped. It changes clips, so recipes name
it."""

_SIDES = {
    Resolution.P360: 360 * 640,
    Resolution.P480: 480 * 832,
    Resolution.P540: 544 * 960,
    Resolution.P720: 704 * 1280,
}
"""Pixels of a frame, by resolution."""
_RATIOS = {
    Aspect.WIDE: 16 / 9,
    Aspect.TALL: 9 / 16,
    Aspect.CLASSIC: 4 / 3,
    Aspect.PORTRAIT: 3 / 4,
    Aspect.SQUARE: 1.0,
}


def capabilities_of(entry: VideoModelEntry) -> Capabilities:
    """Return the capabilities of a model, from its preset, its folder, or both."""
    preset, folder = entry.preset, entry.folder
    modes = _modes(entry)
    if preset is None:
        assert folder is not None  # noqa: S101 - `entry_of` makes no other
        return _from_folder(entry, folder, modes)
    steps = preset.steps
    guidance = preset.guidance
    fixed = preset.distilled
    sound = preset.family.sound if folder is None else folder.sound
    sizes = {
        (Resolution(resolution), Aspect(aspect)): Size(width, height)
        for (resolution, aspect), (width, height) in preset.sizes.items()
    }
    return Capabilities(
        name=entry.name,
        title=preset.title,
        sizes=sizes,
        lengths=Lengths.rule(
            offset=1,
            step=preset.lengths.step,
            shortest=max(5, preset.family.lead_frames + 1),
            longest=preset.lengths.most,
            image=Mode.TEXT_TO_IMAGE in modes,
        ),
        modes=modes,
        cost=_cost(preset, steps, 1 if guidance == 1 else 2),
        steps=Numbers.fixed(steps) if fixed else Numbers(lowest=1, highest=100, default=steps),
        cfg=Numbers.fixed(guidance) if fixed else Numbers(lowest=1, highest=15, default=guidance),
        options=_options(preset.family, sound=sound, fixed=fixed),
        defaults={"resolution": max(sizes, key=_order)[0], "frames": preset.lengths.usual},
        draft={"resolution": min(sizes, key=_order)[0]},
        file_fps=preset.fps,
        negative=preset.negative is not None and guidance > 1,
        last_image=_takes_last(entry),
        needs_last=_needs_last(entry),
        references=preset.family.references,
        extends=_extends(entry, modes),
        overlap_frames=preset.family.lead_frames,
        sound=sound,
        prompt_advice=preset.advice,
    )


def _options(family: Family, *, sound: bool, fixed: bool) -> tuple[ModelOption, ...]:
    """Return the options of a model; no cache with few fixed steps, where it would skip nothing."""
    caches = family.caches and not fixed
    return (*([SOUND] if sound else []), *([CACHE] if caches else []))


def _modes(entry: VideoModelEntry) -> frozenset[Mode]:
    family, folder = entry.family, entry.folder
    if folder is not None:
        text, image = folder.makes_from_text, folder.makes_from_image
    else:
        uses = entry.sources()
        text = bool({"text", "any"} & uses.keys())
        image = bool({"image", "any"} & uses.keys()) and family.image is not None
    modes = {Mode.IMAGE_TO_VIDEO} if image else set()
    if text:
        modes |= {Mode.TEXT_TO_VIDEO, *([Mode.TEXT_TO_IMAGE] if family.stills else [])}
    return frozenset(modes)


def _takes_last(entry: VideoModelEntry) -> bool:
    if entry.folder is not None:
        return entry.folder.takes_last
    # Of Wan, only models with separate weights for images take a last frame.
    family = entry.family
    return family.ends is not None and (family.shared or "image" in entry.sources())


def _extends(entry: VideoModelEntry, modes: frozenset[Mode]) -> bool:
    return Mode.IMAGE_TO_VIDEO in modes and not _needs_last(entry)


def _needs_last(entry: VideoModelEntry) -> bool:
    return entry.folder is not None and entry.folder.needs_last


def _order(key: tuple[Resolution, Aspect]) -> int:
    return list(Resolution).index(key[0])


def _cost(preset: Preset, steps: int, branches: int) -> Cost:
    pixels = max(width * height for width, height in preset.sizes.values()) / 1e6
    forward = preset.petaflops * 1e15 / _FLOPS
    weights = sum(preset.parameters.values()) * 2e9
    return Cost(
        load_seconds=weights / _LOAD_BYTES,
        fixed_seconds=10.0 + steps * 0.1,
        seconds_per_megapixel_frame_step=branches * forward / (pixels * preset.lengths.usual),
    )


def _from_folder(entry: VideoModelEntry, folder: Folder, modes: frozenset[Mode]) -> Capabilities:
    """Return the capabilities of a model without a preset, from its class and configs."""
    family = folder.family
    distilled = folder.distilled
    if distilled is None:
        distilled = any(word in str(folder.path).lower() for word in _DISTILLED)
    sizes = {
        (resolution, aspect): _size(pixels, ratio, folder.multiple)
        for resolution, pixels in _SIDES.items()
        for aspect, ratio in _RATIOS.items()
    }
    step = family.length_step
    most = _LATER_COG[0] if folder.later_cog else _PATH_FRAMES.get(family.name, 121)
    lengths = Lengths.rule(
        offset=1,
        step=step,
        shortest=family.lead_frames + 1,
        longest=most,
        image=Mode.TEXT_TO_IMAGE in modes,
    )
    guidance = 1.0 if distilled else _PATH_CFG.get(family.name, 4.0)
    return Capabilities(
        name=entry.name,
        title=entry.name,
        sizes=sizes,
        lengths=lengths,
        modes=modes,
        cost=Cost(
            load_seconds=folder.size_bytes / _LOAD_BYTES,
            fixed_seconds=10.0,
            seconds_per_megapixel_frame_step=0.05,
        ),
        steps=Numbers(
            lowest=family.least_steps,
            highest=100,
            default=(_DISTILLED_STEPS if distilled else _PATH_STEPS).get(
                family.name, 8 if distilled else 50
            ),
        ),
        cfg=Numbers(lowest=1, highest=15, default=guidance),
        options=_options(family, sound=folder.sound, fixed=distilled),
        defaults={"resolution": Resolution.P480, "frames": lengths.values[-1]},
        file_fps=_path_fps(folder),
        negative=True,
        last_image=folder.takes_last,
        needs_last=folder.needs_last,
        references=family.references,
        extends=_extends(entry, modes),
        overlap_frames=family.lead_frames,
        sound=folder.sound,
        prompt_advice=next((one.advice for one in PRESETS.values() if one.family is family), None),
    )


def _path_fps(folder: Folder) -> int:
    if folder.later_cog:
        return _LATER_COG[1]
    return 24 if folder.serves_all else _PATH_FPS.get(folder.family.name, 24)


def _size(pixels: int, ratio: float, multiple: int) -> Size:
    width = max(1, round(math.sqrt(pixels * ratio) / multiple)) * multiple
    height = max(1, round(math.sqrt(pixels / ratio) / multiple)) * multiple
    return Size(width, height)
