"""Capabilities of a model, as data without torch: options, sizes, lengths, modes, estimates."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from inference.domain.spec import Aspect, Mode, OptionValue, Resolution, Size, Spec
from inference.domain.vocabulary import Vocabulary


class OptionKind(StrEnum):
    """Type of a model's own option."""

    TEXT = "text"
    CHOICE = "choice"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    IMAGE = "image"
    """A picture; only effects have these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOption:
    """An option that a model declares: typed as `--name`, shown in forms and help."""

    name: str
    kind: OptionKind
    default: OptionValue
    choices: tuple[str | int, ...] = ()
    worded: bool = False
    """Whether the choices are words that the catalog translates."""
    lowest: float | None = None
    highest: float | None = None
    """Legal numbers, both ends included."""
    max_length: int = 500
    """Characters of a text."""
    modes: frozenset[Mode] = frozenset(Mode)
    """Renders in which it has a meaning."""
    advanced: bool = False
    """Whether forms show it among the advanced options."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Locale -> one-line explanation, for options that the catalog does not know."""

    def __post_init__(self) -> None:
        """Check it: plugins and configs declare options too.

        Raises:
            TypeError: A member is of a wrong type.
            ValueError: No form could show it.
        """
        if not isinstance(self.kind, OptionKind):
            raise TypeError(f"{self.name}: its kind is no OptionKind")
        if not all(isinstance(choice, str | int) for choice in self.choices):
            raise ValueError(f"{self.name}: its choices are no texts or whole numbers")
        if self.kind is OptionKind.CHOICE and self.default not in self.choices:
            raise ValueError(f"{self.name}: {self.default!r} is not among its choices")
        if not is_modes(self.modes):
            raise ValueError(f"{self.name}: its modes are no frozenset of Mode")
        texts = self.texts
        if not isinstance(texts, Mapping) or not all(isinstance(t, str) for t in texts.values()):
            raise ValueError(f"{self.name}: its texts are no text for each language")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for bound in (self.lowest, self.highest):
            if bound is not None and not isinstance(bound, int | float):
                raise ValueError(f"{self.name}: {bound!r} is no number")
        if self.kind not in {OptionKind.INTEGER, OptionKind.NUMBER}:
            return
        if not isinstance(self.default, int | float):
            raise TypeError(f"{self.name}: its default {self.default!r} is no number")
        least = -math.inf if self.lowest is None else self.lowest
        most = math.inf if self.highest is None else self.highest
        if not least <= self.default <= most:
            raise ValueError(
                f"{self.name}: its default {self.default} is not from {least} to {most}"
            )

    def takes(self, value: object) -> bool:
        """Return whether a stored value is legal; pictures and texts are judged elsewhere."""
        match self.kind:
            case OptionKind.FLAG:
                return isinstance(value, bool)
            case OptionKind.CHOICE:
                return value in self.choices
            case OptionKind.INTEGER | OptionKind.NUMBER:
                kinds = int if self.kind is OptionKind.INTEGER else int | float
                if not isinstance(value, kinds) or isinstance(value, bool):
                    return False
                above = self.lowest is None or value >= self.lowest
                return above and (self.highest is None or value <= self.highest)
            case OptionKind.TEXT | OptionKind.IMAGE:
                return isinstance(value, str)


def is_modes(value: object) -> bool:
    """Return whether something is a set of modes."""
    return isinstance(value, frozenset) and all(isinstance(each, Mode) for each in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Legal numbers of an option that every model has, and the model's default."""

    lowest: float
    highest: float
    default: float

    def __post_init__(self) -> None:
        if not self.lowest <= self.default <= self.highest:
            raise ValueError(f"{self.default} is not from {self.lowest} to {self.highest}")

    @classmethod
    def fixed(cls, value: float) -> Self:
        """Return the range of a number that cannot be chosen."""
        return cls(lowest=value, highest=value, default=value)

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return self.lowest == self.highest

    def __contains__(self, value: float) -> bool:
        return self.lowest <= value <= self.highest

    def nearest(self, value: float) -> float:
        """Return the legal number closest to one."""
        return min(max(value, self.lowest), self.highest)


MOST_FRAMES = 100_000
"""Of one pass: more than an hour of film."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Legal frame counts of one pass, ascending; 1 is an image."""

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("no length is legal")
        if list(self.values) != sorted(set(self.values)) or self.values[0] < 1:
            raise ValueError("lengths are positive and ascend")
        if self.values[-1] > MOST_FRAMES:
            raise ValueError(f"no length is above {MOST_FRAMES} frames")

    @classmethod
    def rule(
        cls, *, offset: int, step: int, shortest: int, longest: int, image: bool = True
    ) -> Self:
        """Return `offset + step * n` between two bounds, and 1 where the model makes images.

        Raises:
            ValueError: The rule gives no length.
        """
        if step < 1:
            raise ValueError("the step of a length is at least 1")
        if longest > MOST_FRAMES:
            raise ValueError(f"no length is above {MOST_FRAMES} frames")
        first = offset + step * max(0, -(-(shortest - offset) // step))
        videos = [length for length in range(first, longest + 1, step) if length > 1]
        if not videos:
            raise ValueError("no length is legal")
        return cls((1, *videos) if image else tuple(videos))

    def __iter__(self) -> Iterator[int]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, frames: object) -> bool:
        return frames in self.values

    def neighbours(self, frames: int) -> tuple[int, ...]:
        """Return the nearest legal lengths below and above one, or the length if it is legal."""
        if frames in self.values:
            return (frames,)
        index = bisect_left(self.values, frames)
        return self.values[max(0, index - 1) : index + 1]

    def nearest(self, frames: int) -> int:
        """Return the closest legal length, the shorter one of two."""
        return min(self.neighbours(frames), key=lambda length: abs(length - frames))

    def choices(self, most: int) -> tuple[int, ...]:
        """Return lengths for a form that takes `most`, evenly spread, with both ends."""
        count = len(self.values)
        if count <= most:
            return self.values
        indices = (round(index * (count - 1) / (most - 1)) for index in range(most))
        return tuple(self.values[index] for index in indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Initial cost estimate, until finished jobs teach better (`jobs.estimates.cost_model`)."""

    load_seconds: float
    """Bringing the weights onto the device, once per swap."""
    fixed_seconds: float
    """Per job: text encoding, start-up of encoder and so on."""
    seconds_per_megapixel_frame_step: float
    """Multiplied by megapixels x frames x steps."""
    seconds_per_megapixel_frame: float = 0.0
    """After the steps, of the finished file: decoding, encoding and so on."""
    reference_factor: float = 1.0
    """How much longer a pass takes that keeps given frames."""


def _all_evaluations(_spec: Spec) -> float:
    return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Capabilities of a model, for validation and estimates without torch."""

    name: str
    """As typed: `--model NAME`."""
    title: str
    """As shown: "Open-Sora v1.3"."""
    sizes: Mapping[tuple[Resolution, Aspect], Size]
    """Pixel size of the finished file."""
    lengths: Lengths
    modes: frozenset[Mode]
    cost: Cost
    work_share: Callable[[Spec], float] = _all_evaluations
    """What is left of the work of a render's steps where its options leave some of it out, 0 to 1;
    estimates count it."""
    steps: Numbers = Numbers(lowest=1, highest=200, default=30)
    cfg: Numbers = Numbers(lowest=1, highest=20, default=7)
    """Guidance scale."""
    options: tuple[ModelOption, ...] = ()
    """The model's own options."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """The model's own values of neutral options by name, such as `resolution` and `frames`."""
    draft: Mapping[str, object] = field(default_factory=dict)
    """Values by option name that make its cheapest version; empty where it has none."""
    file_fps: int = 24
    """Frames per second of its files."""
    overlap_frames: int = 17
    """Frames that a pass shares with the one it continues."""
    negative: bool = False
    """Whether a negative prompt does anything."""
    last_image: bool = False
    """Whether a clip from an image can be made to end with a second one."""
    needs_last: bool = False
    """Whether it must: the model makes what lies between two images."""
    references: bool = False
    """Whether clips can be made after reference images, which need not be frames of them."""
    extends: bool = False
    """Whether it keeps what it needs to go on from its own clips."""
    sound: bool = False
    """Whether its clips have sound."""
    prompt_advice: str | None = None
    """What the prompt assistant is told, in English, where prompts must be of a special kind."""
    vocabulary: Vocabulary | None = None
    """The words that it understands, if they are few: cards say which of a prompt it does not."""
    native_note: str | None = None
    """Catalog code of a remark for cards, such as that small frames are upscaled."""

    @property
    def resolutions(self) -> tuple[Resolution, ...]:
        """Its resolutions, the smallest first."""
        return tuple(item for item in Resolution if any(item is key[0] for key in self.sizes))

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """Its aspect ratios."""
        return tuple(item for item in Aspect if any(item is key[1] for key in self.sizes))

    def fill_options(self, spec: Spec) -> Spec:
        """Return a spec with exactly the options that the model has in this version."""
        texts = {each.name for each in self.options if each.kind is OptionKind.TEXT}
        values = {
            each.name: spec.texts.get(each.name, spec.options.get(each.name, each.default))
            for each in self.options
        }
        return replace(
            spec,
            options={name: value for name, value in values.items() if name not in texts},
            texts={name: str(value) for name, value in values.items() if name in texts},
        )

    def with_default(self, name: str, value: OptionValue) -> Self:
        """Return the same with another default of one of the model's own options."""
        changed = (
            replace(option, default=value) if option.name == name else option
            for option in self.options
        )
        return replace(self, options=tuple(changed))

    def option(self, name: str) -> ModelOption | None:
        """Return the model's own option of a name, or None."""
        return next((option for option in self.options if option.name == name), None)
