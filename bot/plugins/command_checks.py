"""Checks of the commands that a plugin declares: every chat must be able to register them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from commands.context import Command, Visibility
from commands.schema import NAME, Option, Permission
from commands.text.messages import languages, template
from inference.plugins.problem import PluginError

LONGEST = 100
"""Characters of an explanation: Discord takes no more."""


def check_commands(commands: Iterable[Command]) -> list[Command]:
    """Return the commands of a plugin.

    Raises:
        PluginError: One is no command, or has something that chats do not take.
    """
    found = list(commands)
    for command in found:
        if not isinstance(command, Command):
            raise PluginError(f"{type(command).__name__} is not a Command")
        for word in (command.name, command.name if command.parent is None else command.parent):
            if not isinstance(word, str) or not NAME.fullmatch(word):
                raise PluginError(f"{word!r} cannot be the name of a command")
        _check_members(command)
        _check_explanation(command)
    return found


def _check_members(command: Command) -> None:
    if not callable(command.handler):
        raise PluginError(f"{command.typed}: its handler is no function")
    options = command.options
    if not isinstance(options, tuple) or not all(isinstance(one, Option) for one in options):
        raise PluginError(f"{command.typed}: its options are not a tuple of Option")
    if len({option.name for option in options}) < len(options):
        raise PluginError(f"{command.typed}: two of its options have one name")
    if not isinstance(command.permission, Permission):
        raise PluginError(f"{command.typed}: its permission is no Permission")
    if not isinstance(command.visibility, Visibility):
        raise PluginError(f"{command.typed}: its visibility is no Visibility")


def _check_explanation(command: Command) -> None:
    texts = command.texts
    if not isinstance(texts, Mapping) or not all(isinstance(one, str) for one in texts.values()):
        raise PluginError(f"{command.typed}: its explanation is no text for each language")
    if not texts and template(command.help_key) is None:
        raise PluginError(f"{command.typed} has no explanation: no text {command.help_key}")
    for locale in languages():
        told = command.help(locale)
        if not told.strip() or len(told) > LONGEST:
            raise PluginError(
                f"{command.typed}: its explanation in {locale} has {len(told)} characters,"
                f" and chats take from 1 to {LONGEST}"
            )
