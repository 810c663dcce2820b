"""Builds Discord's slash commands and context menus from the schema."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.discord.inbound.command_gateway import CommandGateway
from bot.discord.inbound.option_parameters import (
    localise,
    localise_description,
    localise_name,
    parameters,
)
from commands.context import Command
from commands.policy.operator_rules import DirectMessages
from commands.schema import Permission, Value
from commands.text.messages import FALLBACK, language, template, text
from inference.bug_report import log_bug

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
    """Return the command tree with all commands and context menus.

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
    """Command tree that answers outdated commands with a notice."""

    def __init__(self, client: discord.Client, gateway: CommandGateway) -> None:
        super().__init__(client, allowed_contexts=_CONTEXTS, allowed_installs=_INSTALLS)
        self._gateway = gateway

    async def on_error(
        self, interaction: discord.Interaction, error: app_commands.AppCommandError, /
    ) -> None:
        if not isinstance(error, _OUTDATED):
            log_bug(_log, "discord.bug", error, what=str(interaction.type.name))
        elif interaction.type is _COMMAND:
            await self._gateway.answer_outdated(interaction)


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


def _command(
    command: Command, gateway: CommandGateway, contexts: app_commands.AppCommandContext | None
) -> app_commands.Command[Any, ..., None]:
    made = parameters(command, gateway)
    names = {parameter.name: option.name for option, parameter in made.items()}

    async def callback(interaction: discord.Interaction, **given: Value | None) -> None:
        values = {names[name]: value for name, value in given.items() if value is not None}
        await gateway.command(interaction, command, values)

    # Discord.py reads a command's options from the signature of its callback.
    callback.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # see PEP 362
        [inspect.Parameter("interaction", inspect.Parameter.POSITIONAL_OR_KEYWORD), *made.values()]
    )
    if made:
        told = {parameter.name: localise_description(option) for option, parameter in made.items()}
        callback = app_commands.describe(**told)(callback)
        shown = {parameter.name: localise_name(option) for option, parameter in made.items()}
        callback = app_commands.rename(**shown)(callback)
    return app_commands.Command(
        allowed_contexts=contexts,
        name=_localise(f"discord.command.{command.name}", command.name),
        description=app_commands.locale_str(command.help(FALLBACK), write=command.help),
        callback=callback,
    )


def _group(command: Command) -> app_commands.Group:
    """Return the group that a command is in; those for admins are shown to admins."""
    admins = discord.Permissions(manage_guild=True)
    return app_commands.Group(
        name=_localise(f"discord.command.{command.parent}", command.parent),
        description=_localise(f"discord.group.{command.parent}", command.parent),
        default_permissions=None if command.permission is Permission.MEMBER else admins,
    )


def _menus(
    gateway: CommandGateway, contexts: app_commands.AppCommandContext | None
) -> Iterator[app_commands.ContextMenu]:
    callbacks = {"discord.menu.animate": gateway.animate, "discord.menu.settings": gateway.settings}
    for key, callback in callbacks.items():
        yield app_commands.ContextMenu(
            name=_localise(key), callback=callback, allowed_contexts=contexts
        )


def _localise(key: str, plain: str | None = None) -> app_commands.locale_str | str:
    """Return a text of the catalog; `plain` for a plugin's, which is not there."""
    if plain is not None and template(key) is None:
        return plain
    return localise(partial(text, key))
