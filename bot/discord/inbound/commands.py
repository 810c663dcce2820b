"""The commands of the schema as Discord's: options, choices, proposals, context menus."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import discord
import structlog
from discord import AppCommandOptionType, app_commands

from bot.discord.inbound import autocomplete
from bot.discord.inbound.command_gateway import CommandGateway
from commands.command import Command
from commands.policy.operator_rules import DirectMessages
from commands.schema import Kind, Option, Permission, Value
from commands.text.messages import FALLBACK, language, text
from commands.text.summary import written
from inference.bug_report import log_bug

_TYPES = {
    Kind.TEXT: AppCommandOptionType.string,
    Kind.CHOICE: AppCommandOptionType.string,
    Kind.INTEGER: AppCommandOptionType.integer,
    Kind.NUMBER: AppCommandOptionType.number,
    Kind.FLAG: AppCommandOptionType.boolean,
    Kind.IMAGE: AppCommandOptionType.attachment,
    Kind.MODEL: AppCommandOptionType.string,
}

_CONTEXTS = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False)
_SERVERS_ONLY = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
_INSTALLS = app_commands.AppInstallationType(guild=True, user=False)

_OUTDATED = (app_commands.CommandNotFound, app_commands.CommandSignatureMismatch)
_COMMAND = discord.InteractionType.application_command

_log = structlog.get_logger(__name__)


def make_tree(
    client: discord.Client,
    gateway: CommandGateway,
    commands: Iterable[Command],
    *,
    direct_messages: DirectMessages = DirectMessages.OPEN,
) -> app_commands.CommandTree:
    """Return all commands and menus, ready to be synced and to be given.

    Those that make something are hidden in closed direct messages; what looks and forgets stays,
    where something may have been made before.
    """
    contexts = None if direct_messages is DirectMessages.OPEN else _SERVERS_ONLY
    tree = _Tree(client, gateway)
    groups: dict[str, app_commands.Group] = {}
    for command in commands:
        made = _command(command, gateway, None if command.parent else contexts)
        if command.parent is None:
            tree.add_command(made)
            continue
        if command.parent not in groups:
            groups[command.parent] = _group(command)
            tree.add_command(groups[command.parent])
        groups[command.parent].add_command(made)
    for menu in _menus(gateway, contexts):
        tree.add_command(menu)
    return tree


class _Tree(app_commands.CommandTree[discord.Client]):
    """Tells people whose Discord has commands of another version so."""

    def __init__(self, client: discord.Client, gateway: CommandGateway) -> None:
        super().__init__(client, allowed_contexts=_CONTEXTS, allowed_installs=_INSTALLS)
        self._gateway = gateway

    async def on_error(
        self,
        interaction: discord.Interaction,
        error: app_commands.AppCommandError,
        /,
    ) -> None:
        if not isinstance(error, _OUTDATED):
            log_bug(_log, "discord.bug", error, what=str(interaction.type.name))
        elif interaction.type is _COMMAND:
            await self._gateway.outdated(interaction)


class CatalogTranslator(app_commands.Translator):
    """Finds names and descriptions in the message catalog, in the languages that it has."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,  # noqa: ARG002 - the library's signature
    ) -> str | None:
        """Return the text, or None where Discord should show English."""
        found = language(locale.value)
        write: Callable[[str], str] | None = string.extras.get("write")
        return None if write is None or found == FALLBACK else write(found)


class OptionTransformer(app_commands.Transformer[Any]):
    """An option as a parameter of a Discord command."""

    def __init__(self, option: Option) -> None:
        self._option = option

    @property
    def type(self) -> AppCommandOptionType:
        """What Discord asks for."""
        return _TYPES[self._option.kind]

    @property
    def min_value(self) -> int | None:
        """Least number, or shortest text."""
        if self.type is AppCommandOptionType.string:
            return 1 if self._option.required and not self.choices else None
        return self._option.range.lowest if self._option.range else None

    @property
    def max_value(self) -> int | None:
        """Greatest number, or longest text."""
        return self._option.range.highest if self._option.range else self._option.max_length

    @property
    def choices(self) -> list[app_commands.Choice[Any]] | None:
        """All legal values, where they are few."""
        if not self._option.choices:
            return None
        return [
            app_commands.Choice(name=_shown(self._option, value), value=value)
            for value in self._option.choices
        ]

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> Value:  # noqa: ARG002 - the library's signature
        """Return the value as commands take it: an image as the URL it is kept under."""
        return value.url if isinstance(value, discord.Attachment) else value


class SuggestingTransformer(OptionTransformer):
    """An option for which values are proposed while somebody types."""

    def __init__(
        self, option: Option, source: autocomplete.Source, gateway: CommandGateway
    ) -> None:
        super().__init__(option)
        self._source = source
        self._gateway = gateway

    async def autocomplete(
        self, interaction: discord.Interaction[Any], value: str | float, /
    ) -> list[app_commands.Choice[Any]]:
        """Propose values."""
        return await self._gateway.suggest(interaction, self._source, str(value))


def _command(
    command: Command, gateway: CommandGateway, contexts: app_commands.AppCommandContext | None
) -> app_commands.Command[Any, ..., None]:
    options = [
        option
        for option in command.options
        if option.name not in command.fixed and gateway.offers(option)
    ]

    async def callback(interaction: discord.Interaction, **given: Value | None) -> None:
        values = {name: value for name, value in given.items() if value is not None}
        await gateway.command(interaction, command, values)

    # Discord.py reads a command's options from the signature of its callback.
    callback.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # see PEP 362
        [
            inspect.Parameter("interaction", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(_parameter(option, gateway) for option in options),
        ]
    )
    described = {option.name: _localised(option.help_key) for option in options}
    if described:
        callback = app_commands.describe(**described)(callback)
        names = {option.name: _localised(f"discord.option.{option.name}") for option in options}
        callback = app_commands.rename(**names)(callback)
    return app_commands.Command(
        allowed_contexts=contexts,
        name=_localised(f"discord.command.{command.name}"),
        description=_localised(command.help_key),
        callback=callback,
    )


def _parameter(option: Option, gateway: CommandGateway) -> inspect.Parameter:
    source = autocomplete.source(option)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.required else None,
        annotation=OptionTransformer(option)
        if source is None or option.choices
        else SuggestingTransformer(option, source, gateway),
    )


def _group(command: Command) -> app_commands.Group:
    """Return the group that a command is in; those for admins are shown to admins."""
    admins = discord.Permissions(manage_guild=True)
    return app_commands.Group(
        name=_localised(f"discord.command.{command.parent}"),
        description=_localised(f"discord.group.{command.parent}"),
        default_permissions=None if command.permission is Permission.MEMBER else admins,
    )


def _menus(
    gateway: CommandGateway, contexts: app_commands.AppCommandContext | None
) -> Iterator[app_commands.ContextMenu]:
    async def animate(interaction: discord.Interaction, message: discord.Message) -> None:
        await gateway.animate(interaction, message)

    async def settings(interaction: discord.Interaction, message: discord.Message) -> None:
        await gateway.settings(interaction, message)

    for key, callback in (("discord.menu.animate", animate), ("discord.menu.settings", settings)):
        yield app_commands.ContextMenu(
            name=_localised(key), callback=callback, allowed_contexts=contexts
        )


def _localised(key: str) -> app_commands.locale_str:
    return app_commands.locale_str(text(key, FALLBACK), write=partial(text, key))


def _shown(option: Option, value: str | int) -> app_commands.locale_str:
    return app_commands.locale_str(
        written(option, value, FALLBACK), write=partial(written, option, value)
    )
