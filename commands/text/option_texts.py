"""Names, explanations and values of options, from the catalog or from the plugin that has them."""

from __future__ import annotations

from collections.abc import Iterable

from commands.parsing.values import tidy
from commands.schema import Kind, Option
from commands.text.messages import FALLBACK, language, template, text
from inference.domain.capabilities import Capabilities
from inference.domain.effect_use import EffectUse
from inference.domain.untrusted_text import isolate

MAX_CHOICES = 20
"""Values that are listed."""

FIRST_CHOICES = 3


def option_name(option: Option, locale: str) -> str:
    """Return the name of an option in a sentence or a list."""
    return _known(f"label.{option.name}", locale) or option.name


def field_label(option: Option, locale: str) -> str:
    """Return the label of an option's field in a form."""
    name = option_name(option, locale)
    return name[:1].upper() + name[1:]


def effect_name(use: EffectUse, locale: str) -> str:
    """Return the name of an effect, and whether the model has its picture."""
    name = _known(f"label.{use.name}", locale) or str(use.name)
    return name if use.changes_frames else text("facts.reference", locale, name=name)


def discord_name(option: Option, locale: str) -> str:
    """Return the name of an option in Discord's commands."""
    return _known(f"discord.option.{option.name}", locale) or option.name


def option_help(option: Option, locale: str) -> str:
    """Explain an option in one line."""
    if option.texts:
        return option.texts.get(language(locale)) or option.texts.get(FALLBACK) or option.name
    return _known(option.help_key, locale) or option.name


def format_value(option: Option, value: object, locale: str) -> str:
    """Write the value of an option as people read it, which may not be as they type it."""
    if isinstance(value, bool):
        return text("value.yes" if value else "value.no", locale)
    if option.worded:
        key = f"choice.{option.name}.{str(value).replace(' ', '-')}"
        return _known(key, locale) or str(value)
    if option.kind is Kind.TEXT:
        return isolate(str(value))
    return text(option.unit, locale, count=value) if option.unit else str(value)


def describe_legal_values(
    option: Option, models: Iterable[Capabilities], locale: str
) -> str | None:
    """Describe the legal values of an option; None for texts. A long list is shortened."""
    choices = [str(choice) for choice in option.choices]
    if option.kind is Kind.MODEL:
        choices = [model.name for model in models]
    if len(choices) > MAX_CHOICES:
        choices = [*choices[:FIRST_CHOICES], "…", choices[-1]]
    if choices:
        return text("help.choices", locale, choices=choices)
    if option.range is None:
        return None
    low, high = tidy(option.range.lowest), tidy(option.range.highest)
    return text("help.range", locale, lowest=low, highest=high)


def length_text(frames: int, models: Iterable[Capabilities], locale: str) -> str:
    """Write a length in frames, and in seconds where they are the same for all models."""
    if frames == 1:
        return text("facts.image", locale)
    rates = {model.file_fps for model in models if frames in model.lengths}
    if len(rates) != 1:
        return text("unit.frames", locale, count=frames)
    return text("facts.length", locale, count=frames, seconds=f"{frames / rates.pop():.1f}")


def _known(key: str, locale: str) -> str | None:
    """Return a text of the catalog, or None: it knows no options of plugins."""
    return None if template(key) is None else text(key, locale)
