"""Options of the schema as parameters of Discord's commands, within what Discord takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import discord
from discord import AppCommandOptionType, app_commands

from bot.discord.inbound import autocomplete
from bot.discord.inbound.autocomplete import CHOICE_LENGTH, MAX_CHOICES
from bot.discord.inbound.command_gateway import CommandGateway
from bot.discord.outbound.markdown import cut
from commands.context import Command
from commands.option_set import limit_options
from commands.schema import Kind, Option, Value
from commands.text.messages import FALLBACK, languages
from commands.text.option_texts import discord_name, format_value, option_help

MAX_OPTIONS = 25
"""Of one command."""

MAX_CHARACTERS = 8000
"""Of names, descriptions and values of one command; of each, the longest language counts."""

DESCRIPTION_LENGTH = 100

_TYPES = {
    Kind.TEXT: AppCommandOptionType.string,
    Kind.CHOICE: AppCommandOptionType.string,
    Kind.INTEGER: AppCommandOptionType.integer,
    Kind.NUMBER: AppCommandOptionType.number,
    Kind.FLAG: AppCommandOptionType.boolean,
    Kind.IMAGE: AppCommandOptionType.attachment,
    Kind.MODEL: AppCommandOptionType.string,
}


class OptionTransformer(app_commands.Transformer[Any]):
    """An option as a parameter of a Discord command."""

    def __init__(self, option: Option) -> None:
        self._option = option

    @property
    def type(self) -> AppCommandOptionType:
        """Discord's type of the option."""
        return _TYPES[self._option.kind]

    @property
    def min_value(self) -> int | float | None:
        """Least number, or shortest text."""
        if self.type is AppCommandOptionType.string:
            return 1 if self._option.required and not self.choices else None
        return None if self._option.range is None else self._number(self._option.range.lowest)

    @property
    def max_value(self) -> int | float | None:
        """Greatest number, or longest text."""
        if self._option.range is None:
            return self._option.max_length
        return self._number(self._option.range.highest)

    @property
    def choices(self) -> list[app_commands.Choice[Any]] | None:
        """All legal values, if Discord can list them."""
        if not self._option.choices:
            return None
        return [
            app_commands.Choice(name=localise(partial(_choice, self._option, value)), value=value)
            for value in self._option.choices
        ]

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> Value:  # noqa: ARG002 - the library's signature
        """Return the value as commands take it: an image as the URL it is kept under."""
        return value.url if isinstance(value, discord.Attachment) else value

    def _number(self, bound: float) -> int | float:
        return int(bound) if self._option.kind is Kind.INTEGER else bound


class SuggestingTransformer(OptionTransformer):
    """An option with autocomplete."""

    def __init__(
        self, option: Option, source: autocomplete.Source, gateway: CommandGateway
    ) -> None:
        super().__init__(option)
        self._source = source
        self._gateway = gateway

    @property
    def choices(self) -> list[app_commands.Choice[Any]] | None:
        """None: Discord takes either these or proposals."""
        return None

    async def autocomplete(
        self, interaction: discord.Interaction[Any], value: str | float, /
    ) -> list[app_commands.Choice[Any]]:
        """Propose values."""
        return await self._gateway.suggest(interaction, self._option, self._source, str(value))


def parameters(command: Command, gateway: CommandGateway) -> dict[Option, inspect.Parameter]:
    """Return the options of a command as far as Discord takes them, as parameters of a callback.

    Where there are too many, the least used are left to `MORE`, which takes them as flags.
    """
    offered = [
        option
        for option in command.options
        if option.name not in command.fixed and gateway.installation.offers(option)
    ]
    return {
        option: inspect.Parameter(
            re.sub(r"\W", "_", option.name),
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if option.required else None,
            annotation=_transformer(option, gateway),
        )
        for option in fit_options(command, offered)
    }


def fit_options(command: Command, offered: Sequence[Option]) -> list[Option]:
    """Return the options that Discord takes, in their order, with `MORE` for the others."""
    for most in range(min(MAX_OPTIONS, len(offered)), 1, -1):
        found = limit_options(most, offered)
        if _characters(command, found) <= MAX_CHARACTERS:
            return found
    return list(offered[:1])


def localise(write: Callable[[str], str]) -> app_commands.locale_str:
    """Return a text that Discord shows in each person's language.

    Args:
        write: Returns it for a locale.
    """
    return app_commands.locale_str(write(FALLBACK), write=write)


def localise_name(option: Option) -> app_commands.locale_str:
    """Return the localised name of an option."""
    return localise(partial(discord_name, option))


def localise_description(option: Option) -> app_commands.locale_str:
    """Return the localised description of an option."""
    return localise(partial(_description, option))


def _characters(command: Command, options: Sequence[Option]) -> int:
    """Return the characters of an option that count towards Discord's limit."""
    own = [partial(discord_name, option) for option in options]
    own += [partial(_description, option) for option in options]
    shown = [
        partial(_choice, option, choice) for option in options for choice in _list_choices(option)
    ]
    values = sum(len(str(choice)) for option in options for choice in _list_choices(option))
    texts = sum(max(len(write(locale)) for locale in languages()) for write in (*own, *shown))
    return len(command.name) + DESCRIPTION_LENGTH + texts + values


def _list_choices(option: Option) -> tuple[str | int, ...]:
    """Return all choices where Discord can list them; they are proposed otherwise."""
    choices = option.choices
    few = len(choices) <= MAX_CHOICES
    return choices if few and all(len(str(each)) <= CHOICE_LENGTH for each in choices) else ()


def _transformer(option: Option, gateway: CommandGateway) -> OptionTransformer:
    if option.choices:
        if _list_choices(option) and gateway.installation.agrees_on(option):
            return OptionTransformer(option)
        return SuggestingTransformer(option, autocomplete.values_of(option), gateway)
    source = autocomplete.source(option)
    return (
        OptionTransformer(option)
        if source is None
        else SuggestingTransformer(option, source, gateway)
    )


def _description(option: Option, locale: str) -> str:
    return cut(option_help(option, locale), DESCRIPTION_LENGTH)


def _choice(option: Option, value: str | int, locale: str) -> str:
    return cut(format_value(option, value, locale), CHOICE_LENGTH)
