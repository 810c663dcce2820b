"""The options that people may set here: those of every model, and those of the installed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from commands.options import (
    ASPECT,
    CFG,
    DRAFT,
    FRAME_COUNT,
    IMAGE,
    LAST,
    LOOPS,
    MAX_PROMPT,
    MORE,
    NEGATIVE,
    NEUTRAL_OPTIONS,
    RESOLUTION,
    STEPS,
)
from commands.schema import NAME, Group, Kind, Option, Range, Value
from inference.domain.capabilities import Capabilities, ModelOption, Numbers, OptionKind
from inference.domain.spec import Mode

NO = "no-"
"""In front of a flag that switches something off."""

UNBOUNDED = 2**53 - 1
"""Largest whole number that chats and JSON keep exactly: the bound of a range without one."""

LONGEST_TEXT = 3000
"""Characters that every chat takes in one option."""

_NEUTRAL = frozenset(option.name for option in NEUTRAL_OPTIONS)

_TAKEN = {word for option in (*NEUTRAL_OPTIONS, MORE) for word in (option.name, option.short)}


class OptionSet:
    """Options of a render, made once from the installed models.

    What is typed is read with everything there could be: whether the chosen model can do it is
    judged with the request, which can then name what works. Forms show what there is.
    """

    def __init__(
        self,
        models: Iterable[Capabilities],
        *more: Option,
        shown: Iterable[Capabilities] | None = None,
        others: Iterable[Capabilities] = (),
    ) -> None:
        """Collect them.

        Args:
            models: The installed ones; without any, all that is neutral is there.
            more: Further options, such as those of effects.
            shown: Those of the models that forms and help are about; all without it.
            others: Models that are not installed: their options are known by name only.
        """
        installed = tuple(models)
        offered = installed if shown is None else tuple(shown)
        unheard = {own.name for own in _own_options(installed)}
        unheard -= {own.name for own in _own_options(offered)}
        own = [*_own_options(installed), *more]
        place = NEUTRAL_OPTIONS.index(FRAME_COUNT) + 1
        known = (*NEUTRAL_OPTIONS[:place], *own, *NEUTRAL_OPTIONS[place:])
        flagged = [option for option in known if option.flag is not None]
        self.by_name: Mapping[str, Option] = MappingProxyType(
            {option.name: option for option in known}
        )
        self.by_flag: Mapping[str, Option] = MappingProxyType(
            {
                **{str(option.flag): option for option in flagged},
                **{option.short: option for option in flagged if option.short is not None},
            }
        )
        """By flag, and by what is short for it."""
        self.pictures = frozenset(option.name for option in known if option.kind is Kind.IMAGE)
        """The names of those that are files, which come beside the words of a request."""
        self.switched_off: Mapping[str, Option] = MappingProxyType(
            {NO + flag: option for flag, option in self.by_flag.items() if option.kind is Kind.FLAG}
        )
        """By what switches them off: `no-refine`."""
        self.typed: Mapping[str, Option] = MappingProxyType({**self.by_flag, **self.switched_off})
        """By everything that may follow `--`."""
        self.shown: Mapping[str, Option] = MappingProxyType(
            {
                option.name: _narrow(option, offered)
                for option in known
                if option.name not in unheard and _is_offered(option, offered)
            }
        )
        """Options that forms and help show, in their order: those that some model supports."""

        self.elsewhere: frozenset[str] = frozenset(
            str(option.flag) for option in _own_options(tuple(others)) if option.flag is not None
        )
        """The flags of models that are not installed."""
        only = offered[0] if len(offered) == 1 else None
        self.title: str | None = None if only is None else only.title
        """The title of the model, if there is only one."""
        self.fixed: Mapping[str, Value] = MappingProxyType(
            {}
            if only is None
            else {
                name: numbers(only).default
                for name, numbers in _NUMBERS.items()
                if numbers(only).is_fixed
            }
        )
        """The numbers that this model always uses, by option."""

    @property
    def order(self) -> tuple[Option, ...]:
        """The options that forms and help show."""
        return tuple(self.shown.values())


def own_option(own: ModelOption) -> Option:
    """Return a model's own option as one of the schema, within what every chat takes."""
    bounds = None
    if own.lowest is not None or own.highest is not None:
        bounds = Range(
            lowest=-UNBOUNDED if own.lowest is None else max(own.lowest, -UNBOUNDED),
            highest=UNBOUNDED if own.highest is None else min(own.highest, UNBOUNDED),
        )
    return Option(
        name=own.name,
        kind=Kind(own.kind.value),
        flag=own.name,
        group=Group.ADVANCED if own.advanced else Group.BASIC,
        choices=tuple(dict.fromkeys(each for each in own.choices if str(each).strip())),
        worded=own.worded,
        default=None if own.kind is OptionKind.IMAGE else own.default,
        range=bounds,
        max_length=_LONGEST.get(own.kind, lambda _own: None)(own),
        modes=own.modes,
        read_by_model=own.kind.value == Kind.TEXT,
        texts=own.texts,
    )


_LONGEST: Mapping[OptionKind, Callable[[ModelOption], int]] = {
    OptionKind.TEXT: lambda own: min(own.max_length, LONGEST_TEXT),
    OptionKind.IMAGE: lambda _own: MAX_PROMPT,
}


def _own_options(models: Sequence[Capabilities]) -> list[Option]:
    """Return the models' own options, those of one name as one.

    A name that a neutral option has, or that no chat takes, is left out (`find_misnamed_option`).
    """
    by_name: dict[str, list[Option]] = {}
    for model in models:
        for own in model.options:
            if can_be_typed(own.name) and own.kind is not OptionKind.IMAGE:
                by_name.setdefault(own.name, []).append(own_option(own))
    return [_union(options) for options in by_name.values()]


def find_misnamed_option(model: Capabilities) -> str | None:
    """Return the name of a model's own option that is taken or malformed, or None."""
    return next((own.name for own in model.options if not can_be_typed(own.name)), None)


def can_be_typed(name: str) -> bool:
    """Whether an option of a model or a plugin may have this name."""
    return name not in _TAKEN and not name.startswith(NO) and bool(NAME.fullmatch(name))


def _union(options: Sequence[Option]) -> Option:
    """Merge options of one name into one that accepts every value of each."""
    first = options[0]
    if all(option == first for option in options):
        return first
    common: Option = replace(
        first,
        group=min((option.group for option in options), key=list(Group).index),
        default=first.default if all(o.default == first.default for o in options) else None,
        modes=frozenset().union(*(option.modes for option in options)),
        texts=next((option.texts for option in options if option.texts), {}),
    )
    if any(option.kind is not first.kind for option in options):
        # Each model reads the text as its own kind of value.
        length = max(option.max_length or 0 for option in options) or None
        return replace(
            common, kind=Kind.TEXT, choices=(), worded=False, range=None, max_length=length
        )
    choices = tuple(dict.fromkeys(choice for option in options for choice in option.choices))
    ranges = [option.range for option in options]
    return replace(
        common,
        choices=choices if all(option.choices for option in options) else (),
        worded=any(option.worded for option in options),
        range=_span([bounds for bounds in ranges if bounds]) if all(ranges) else None,
        max_length=max(option.max_length or 0 for option in options) or None,
    )


_CHOOSABLE: Mapping[str, Callable[[Capabilities], bool]] = {
    IMAGE.name: lambda model: Mode.IMAGE_TO_VIDEO in model.modes,
    NEGATIVE.name: lambda model: model.negative,
    DRAFT.name: lambda model: bool(model.draft),
    LAST.name: lambda model: model.last_image,
    LOOPS.name: lambda model: model.extends,
    STEPS.name: lambda model: not model.steps.is_fixed,
    CFG.name: lambda model: not model.cfg.is_fixed,
}
"""Whether a model leaves something to choose, by neutral option; with all others it does."""

_LISTS: Mapping[str, Callable[[Capabilities], Iterable[str | int]]] = {
    RESOLUTION.name: lambda model: model.resolutions,
    ASPECT.name: lambda model: model.aspects,
    FRAME_COUNT.name: lambda model: model.lengths,
}

_NUMBERS: Mapping[str, Callable[[Capabilities], Numbers]] = {
    STEPS.name: lambda model: model.steps,
    CFG.name: lambda model: model.cfg,
}


def _is_offered(option: Option, models: Sequence[Capabilities]) -> bool:
    """Whether any of the models has a choice for an option; always where there are no models."""
    choosable = _CHOOSABLE.get(option.name)
    return not models or choosable is None or any(map(choosable, models))


def _narrow(option: Option, models: Sequence[Capabilities]) -> Option:
    """Return an option with its values limited to those that the models support."""
    if models and (listed := _LISTS.get(option.name)) is not None:
        able = {value for model in models for value in listed(model)}
        order = list(option.choices) or sorted(able)
        return replace(option, choices=tuple(value for value in order if value in able))
    if models and (numbers := _NUMBERS.get(option.name)) is not None:
        return replace(option, range=_span([_bounds(numbers(model)) for model in models]))
    return option


def _bounds(numbers: Numbers) -> Range:
    return Range(lowest=numbers.lowest, highest=numbers.highest)


def _span(ranges: Sequence[Range]) -> Range:
    return Range(
        lowest=min(bounds.lowest for bounds in ranges),
        highest=max(bounds.highest for bounds in ranges),
    )


def limit_options(most: int, options: Sequence[Option]) -> list[Option]:
    """Return the most used options, in their order, with `MORE` for the rest.

    That takes them as flags.
    """
    if len(options) <= most:
        return list(options)
    kept = sorted(options, key=_rarity)[: most - 1]
    return [*(option for option in options if option in kept), MORE]


def _rarity(option: Option) -> tuple[bool, bool, bool]:
    """Sort key: required options first, then basic ones, then those of every model."""
    return (not option.required, option.group is Group.ADVANCED, option.name not in _NEUTRAL)


def find_default(option: Option, model: Capabilities) -> Value | None:
    """Return a model's default value of an option, or None if it has no fixed one."""
    values: dict[str, Any] = {
        STEPS.name: int(model.steps.default),
        CFG.name: model.cfg.default,
        **{own.name: own.default for own in model.options},
        **model.defaults,
    }
    found: Value | None = values.get(option.name, option.default)
    return found
