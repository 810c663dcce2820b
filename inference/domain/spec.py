"""Render specification: what a model is asked for, fully resolved.

A `Spec` has no open questions: every default, cap and preset was applied before it was made
(`commands.resolve`). It is stored with the job and written into the finished file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

FILE_FPS = 24
"""Every clip is written at this rate; `Spec.fps` only says how fast things move in it."""

OVERLAP_FRAMES = 17
"""Frames that a pass shares with the one it continues: it begins with the end of that one."""


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


class Resolution(StrEnum):
    """Quality class; with the aspect it determines the pixel size."""

    P360 = "360p"
    P720 = "720p"


class Aspect(StrEnum):
    """Aspect ratio, width to height: 16:9 is landscape."""

    WIDE = "16:9"
    TALL = "9:16"
    CLASSIC = "4:3"
    PORTRAIT = "3:4"
    SQUARE = "1:1"


class Motion(StrEnum):
    """Amount of motion. `OFF` leaves the phrase out of the caption."""

    OFF = "off"
    VERY_LOW = "very low"
    LOW = "low"
    FAIR = "fair"
    HIGH = "high"
    VERY_HIGH = "very high"
    EXTREMELY_HIGH = "extremely high"


class Aesthetic(StrEnum):
    """Aesthetic level. `OFF` leaves the phrase out of the caption."""

    OFF = "off"
    TERRIBLE = "terrible"
    VERY_POOR = "very poor"
    POOR = "poor"
    FAIR = "fair"
    GOOD = "good"
    VERY_GOOD = "very good"
    EXCELLENT = "excellent"


class Camera(StrEnum):
    """Camera movement; `NONE` says nothing about it, `STATIC` asks for a fixed camera."""

    NONE = "none"
    PAN_RIGHT = "pan right"
    PAN_LEFT = "pan left"
    TILT_UP = "tilt up"
    TILT_DOWN = "tilt down"
    ZOOM_IN = "zoom in"
    ZOOM_OUT = "zoom out"
    STATIC = "static"


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
    motion: Motion
    aesthetic: Aesthetic
    camera: Camera
    refine: bool
    """Whether the prompt assistant may rewrite the prompt while preparing."""
    seed: int
    steps: int
    cfg: float
    """Guidance scale: how literally the prompt is taken. One out of range becomes the nearest."""
    fps: int
    """Conditioning only: lower looks faster. The file is always `FILE_FPS`."""
    loops: int
    """How many passes are joined; each continues the one before."""
    negative: str | None = field(default=None, metadata=UNWANTED)
    """What to avoid, where the model supports it."""
    image: str | None = field(default=None, metadata=REFERENCE)
    """Source of the reference image: a URL or path before preparing, an artifact name after."""
    last: str | None = field(default=None, metadata=REFERENCE)
    """The same for the image that the clip ends with; only together with `image`."""
    latents: str | None = field(default=None, metadata=REFERENCE)
    """What the clip goes on from: the id of the job that kept them before preparing, an artifact
    name after."""
    after_frames: int = 0
    """Frames of the clip it goes on from, which come first in the new one; 0 without."""
    original: str | None = None
    """The person's own words, where `prompt` is what the assistant made of them."""

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
        if self.image is not None:
            return Mode.IMAGE_TO_VIDEO
        return Mode.TEXT_TO_IMAGE if self.frames == 1 else Mode.TEXT_TO_VIDEO

    @property
    def total_frames(self) -> int:
        """Frames of the finished file: all passes, and the clip that is extended."""
        begun = self.after_frames or OVERLAP_FRAMES
        return 1 if self.frames == 1 else begun + self.loops * (self.frames - OVERLAP_FRAMES)

    @property
    def seconds(self) -> float:
        """Length of the finished file."""
        return self.total_frames / FILE_FPS

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a spec from `as_dict`, ignoring members that later versions may add.

        Raises:
            ValueError: A value is not in the vocabulary.
        """
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        for name, kind in _ENUMS.items():
            values[name] = kind(values[name])
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


_ENUMS: dict[str, type[StrEnum]] = {
    "resolution": Resolution,
    "aspect": Aspect,
    "motion": Motion,
    "aesthetic": Aesthetic,
    "camera": Camera,
}
