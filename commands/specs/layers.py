"""Layers of settings, and how each option is picked from them.

Built-in < model < config < guild < channel < user < typed. A value that was requested in this call
must be possible, otherwise the call is refused; a default that the chosen model does not support
is skipped for the next weaker one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from commands.installation import Installation, effect_options
from commands.option_set import own_option
from commands.options import CFG, FRAME_COUNT, MODEL, STEPS
from commands.parsing.values import accept, label
from commands.refusal import Refusal
from commands.schema import Kind, Option, Value
from commands.specs.model_checks import (
    check_length,
    check_listed,
    check_mode,
    check_modes,
    check_number,
    check_own,
    find_nearest,
)
from inference.domain.capabilities import Capabilities, Numbers
from inference.domain.effect_use import EffectUse
from inference.domain.errors import UserError
from inference.domain.job import DRAFT as FROM_DRAFT
from inference.domain.reference import Attached, Reference
from inference.domain.spec import Mode
from inference.effects.base import EffectEntry

BUILT_IN = "built-in"
FROM_MODEL = "model"
CONFIG = "config"
GUILD = "guild"
CHANNEL = "channel"
USER = "user"
COMMAND = "command"
CAPPED = "cap"
FROM_PRESET = "preset"

USUAL_SECONDS = 4
"""About the length of a clip where neither a person nor the model says one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Explicitly set values from one source."""

    name: str
    values: Mapping[str, Value]
    asked: bool = False
    """Set in this very call: an impossible value is an error instead of being passed over."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """Images taken from another job, by option."""


class Choice:
    """Picks one option after the other from the layers and notes where each came from."""

    def __init__(
        self, layers: Sequence[Layer], model: Capabilities, installation: Installation
    ) -> None:
        self.model = model
        self.installation = installation
        by_name = installation.options.by_name
        own: dict[str, Any] = {
            STEPS.name: int(model.steps.default),
            CFG.name: model.cfg.default,
            **model.defaults,
        }
        values = {name: accept(by_name[name], value) for name, value in own.items()}
        values |= {option.name: option.default for option in model.options}
        self._layers = (Layer(name=FROM_MODEL, values=values), *layers)
        self.idle: dict[str, Value] = {}
        """Options of effects that are off -> the value that they would have."""
        self.origins: dict[str, str] = {
            MODEL.name: next(
                layer.name
                for layer in reversed(layers)
                if str(layer.values.get(MODEL.name, "")).casefold() == model.name.casefold()
            )
        }

    def add_draft(self) -> None:
        """Insert the layer of a draft above defaults and below the options of this call."""
        by_name = self.installation.options.by_name
        own: dict[str, Any] = dict(self.model.draft)
        values = {name: accept(by_name[name], value) for name, value in own.items()}
        drafted = Layer(name=FROM_DRAFT, values=values)
        preferred = [layer for layer in self._layers if not layer.asked]
        asked = [layer for layer in self._layers if layer.asked]
        self._layers = (*preferred, drafted, *asked)

    def pick(
        self, option: Option, check: Callable[[Value], Value] = lambda value: value
    ) -> Value | None:
        """Return the strongest value that passes, or the built-in one.

        Args:
            option: What is picked.
            check: Returns a value as it is taken, or raises why it cannot be.

        Raises:
            UserError: What `check` raises of an asked value.
        """
        for layer in reversed(self._layers):
            value = layer.values.get(option.name)
            if value is None:
                continue
            try:
                value = check(value)
            except UserError:
                if layer.asked:
                    raise
                continue
            self.origins[option.name] = layer.name
            return value
        if option.default is not None:
            self.origins[option.name] = BUILT_IN
        return option.default

    def pick_reference(
        self, option: Option, check: Callable[[], None] = lambda: None
    ) -> Reference | None:
        """Return the strongest image.

        Args:
            option: What is picked.
            check: Raises why there can be none.

        Raises:
            UserError: What `check` raises, if the image was asked for.
        """
        for layer in reversed(self._layers):
            typed = layer.values.get(option.name)
            found = layer.references.get(option.name) or (typed and Attached(str(typed)))
            if not found:
                continue
            try:
                check()
            except UserError:
                if layer.asked:
                    raise
                continue
            self.origins[option.name] = layer.name
            return found
        return None

    def pick_listed(self, option: Option, legal: Sequence[Any]) -> Any:
        """Return the strongest value among `legal`, or the one nearest to the built-in value.

        Raises:
            Refusal: `model.cannot`: an asked value is not among them.
        """
        value = self.pick(option, partial(check_listed, option, legal, self.model))
        if value in legal:
            return value
        self.origins[option.name] = FROM_MODEL
        return find_nearest(option, value, legal)

    def pick_number(self, option: Option, numbers: Numbers) -> Value:
        """Return the strongest number that the model takes; its own default is one.

        Raises:
            Refusal: `model.fixed` or `model.out_of_range`.
        """
        value = self.pick(option, partial(check_number, option, numbers, self.model))
        return numbers.default if value is None else value

    def pick_own(self, option: Option, mode: Mode) -> Value:
        """Return the strongest value of a model's own option that is legal.

        Raises:
            UserError: `value.*`: an asked value is not among the model's. `option.video_only`.
        """
        value = self.pick(option, partial(check_own, option, mode))
        if value is None:
            raise AssertionError(f"{option.name} has a default, which is legal")
        return value

    def pick_effect(self, entry: EffectEntry, mode: Mode) -> EffectUse | None:
        """Return an effect with its values, if the option of its name switches it on.

        Raises:
            UserError: `value.*`, `option.video_only` or `effect.off`.
        """
        own = {option.name: own_option(option) for option in effect_options(entry)}
        values: dict[str, Value] = {}
        pictures: dict[str, Reference] = {}
        for option in own.values():
            if option.kind is not Kind.IMAGE:
                values[option.name] = self.pick_own(option, mode)
            elif (
                given := self.pick_reference(option, partial(check_mode, option, mode))
            ) is not None:
                pictures[option.name] = given
        switch = own[entry.name]
        if entry.name in pictures or values.get(entry.name, switch.default) != switch.default:
            weight = None
            if entry.reference_strength is not None and self.model.references:
                weight = float(values[entry.reference_strength]) / 100
            return EffectUse(
                name=entry.name,
                package=entry.package,
                version=entry.version,
                seconds_per_megapixel_frame=(
                    entry.seconds_per_megapixel_frame if weight is None else 0.0
                ),
                values=values,
                pictures=pictures,
                reference_weight=weight,
            )
        asked = {name for layer in self._layers if layer.asked for name in layer.values}
        for name, option in own.items():
            if name in asked and values.get(name, option.default) != option.default:
                raise Refusal(
                    "effect.off", {name: None}, option=label(option), switch=label(switch)
                )
            self.origins.pop(name, None)
        self.idle |= values
        return None

    def pick_frames(self, *, has_image: bool) -> int:
        """Return the strongest length, or about the usual one.

        Raises:
            Refusal: `model.*` or `image.one_frame`.
        """
        lengths = check_modes(self.model, self.installation, has_image=has_image)
        check = partial(check_length, self.model, self.installation, lengths, has_image=has_image)
        value = self.pick(FRAME_COUNT, check)
        if value is not None:
            return int(value)
        self.origins[FRAME_COUNT.name] = FROM_MODEL
        return lengths.nearest(round(USUAL_SECONDS * self.model.file_fps))
