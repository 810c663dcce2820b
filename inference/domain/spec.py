"""Render specification: what a model is asked for, fully resolved.

A `Spec` has no open questions: every default, cap and preset was applied before it was made
(`commands.specs.resolve`). It is stored with the job and written into the finished file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

from inference.domain.effect_use import EffectUse, OptionValue
from inference.domain.reference import Reference, read_reference

__all__ = ["SEEDS", "Aspect", "EffectUse", "Mode", "OptionValue", "Resolution", "Size", "Spec"]

LOWEST_CFG, HIGHEST_CFG = 1, 20
"""Of the guidance scale. Below 1 a model would draw the negative prompt instead of the prompt."""

REFERENCE = MappingProxyType({"reference": True})
"""Metadata of members whose text names a model, a file or a job; nobody reads it as words."""

UNWANTED = MappingProxyType({"unwanted": True})
"""Metadata of members whose text says what must not be seen."""


class Mode(StrEnum):
    """Kind of render, by its input and output."""

    TEXT_TO_VIDEO = "t2v"
    TEXT_TO_IMAGE = "t2i"
    IMAGE_TO_VIDEO = "i2v"


def mode_of(frames: int, *, has_image: bool) -> Mode:
    """Return what kind of render has so many frames."""
    if has_image:
        return Mode.IMAGE_TO_VIDEO
    return Mode.TEXT_TO_IMAGE if frames == 1 else Mode.TEXT_TO_VIDEO


class Resolution(StrEnum):
    """Quality class; with the aspect it determines the pixel size. The smallest comes first."""

    P360 = "360p"
    P480 = "480p"
    P540 = "540p"
    P720 = "720p"
    P1080 = "1080p"


class Aspect(StrEnum):
    """Aspect ratio, width to height: 16:9 is landscape."""

    WIDE = "16:9"
    TALL = "9:16"
    CLASSIC = "4:3"
    PORTRAIT = "3:4"
    SQUARE = "1:1"


SEEDS = 2**32
"""Seeds there are; after the last comes the first."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A fully resolved render."""

    prompt: str
    """What to show, in the person's words or refined ones."""
    model: str = field(metadata=REFERENCE)
    resolution: Resolution
    aspect: Aspect
    frames: int
    """Decoded frames of one pass; 1 is an image."""
    refine: bool
    """Whether the prompt assistant may rewrite the prompt while preparing."""
    seed: int
    steps: int
    cfg: float
    """Guidance scale: how literally the prompt is taken. One out of range becomes the nearest."""
    loops: int
    """How many passes are joined; each continues the one before."""
    negative: str | None = field(default=None, metadata=UNWANTED)
    """What to avoid, where the model supports it."""
    image: Reference | None = field(default=None, metadata=REFERENCE)
    """The image that a clip begins with."""
    last: Reference | None = field(default=None, metadata=REFERENCE)
    """The image that the clip ends with; only together with `image`."""
    latents: Reference | None = field(default=None, metadata=REFERENCE)
    """What was kept of the clip that this one goes on from."""
    after_frames: int = 0
    """Frames of the clip it goes on from, which come first in the new one; 0 without."""
    draft: bool = False
    """Whether it is its model's cheapest version, to be finished later."""
    original: str | None = None
    """The person's own words, where `prompt` is what the assistant made of them."""
    options: Mapping[str, OptionValue] = field(default_factory=dict, hash=False, metadata=REFERENCE)
    """The model's own options that are choices, numbers and switches, by name."""
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The model's own options that are free text, by name."""
    effects: tuple[EffectUse, ...] = field(default=(), metadata=REFERENCE)
    """What changes the finished frames before they are watermarked, in this order."""
    file_fps: int = 24
    """Frames per second of the finished file: the model's, so that a stored job knows its length
    when the model is gone."""
    overlap_frames: int = 17
    """Frames that a pass shares with the one it continues; the model's, for the same reason."""

    def __post_init__(self) -> None:
        # Stored jobs, presets and recipes may be older than the range.
        object.__setattr__(self, "cfg", legal_cfg(self.cfg))

    @property
    def wanted_words(self) -> tuple[str, ...]:
        """Every text that describes the result, without duplicates; the person's own first."""
        found = self._words(unwanted=False)
        return tuple(dict.fromkeys((self.own_words, *found))) if found else ()

    @property
    def unwanted_words(self) -> tuple[str, ...]:
        """Every negative text, without duplicates."""
        return self._words(unwanted=True)

    def _words(self, *, unwanted: bool) -> tuple[str, ...]:
        found = (
            text
            for member in fields(self)
            if not member.metadata.get("reference")
            and bool(member.metadata.get("unwanted")) is unwanted
            for text in _texts(getattr(self, member.name))
        )
        return tuple(dict.fromkeys(found))

    @property
    def own_words(self) -> str:
        """The prompt as the person wrote it."""
        return self.prompt if self.original is None else self.original

    @property
    def mode(self) -> Mode:
        """Derive what kind of render this is from the image and the length."""
        return mode_of(self.frames, has_image=self.image is not None)

    @property
    def total_frames(self) -> int:
        """Frames of the finished file: all passes, and the clip that is extended."""
        begun = self.after_frames or self.overlap_frames
        return 1 if self.frames == 1 else begun + self.loops * (self.frames - self.overlap_frames)

    @property
    def seconds(self) -> float:
        """Length of the finished file."""
        return self.total_frames / self.file_fps

    def value(self, name: str) -> Any:
        """Return the value of an option, common or the model's own; None where it is not set."""
        if name in self.options:
            return self.options[name]
        for effect in self.effects:
            if name in effect.values:
                return effect.values[name]
            if name in effect.pictures:
                return effect.pictures[name]
        return self.texts.get(name, getattr(self, name, None))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a spec from `as_dict`, ignoring members that later versions may add.

        Specs of version 0.1 have the options of Open-Sora beside the neutral ones.

        Raises:
            ValueError: A value is not in the vocabulary.
        """
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        values["resolution"] = Resolution(values["resolution"])
        values["aspect"] = Aspect(values["aspect"])
        for name in ("image", "last", "latents"):
            values[name] = read_reference(values.get(name))
        values["effects"] = tuple(map(EffectUse.from_dict, data.get("effects", ())))
        if old := {name: data[name] for name in _ONCE_NEUTRAL if name in data}:
            values["options"] = {**old, **values.get("options", {})}
        return cls(**values)


def legal_cfg(value: float) -> float:
    """Return the nearest legal guidance scale; the lowest for NaN."""
    if math.isnan(value):
        return float(LOWEST_CFG)
    return min(max(value, float(LOWEST_CFG)), float(HIGHEST_CFG))


def _texts(value: object) -> Iterator[str]:
    """Yield the free text in a value; choices are no free text."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str) and not isinstance(value, StrEnum) and value:
        yield value


_ONCE_NEUTRAL = ("motion", "aesthetic", "camera", "fps")
"""Options of Open-Sora that were members of the spec in version 0.1."""

BLANK = Spec(
    prompt="…",
    model="?",
    resolution=Resolution.P360,
    aspect=Aspect.WIDE,
    frames=1,
    refine=False,
    seed=0,
    steps=1,
    cfg=1.0,
    loops=1,
)
"""Where nothing is known of what was asked for, or nothing may be kept."""
