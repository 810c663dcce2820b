"""The commands that ship with Rushes, the same on every platform."""

from __future__ import annotations

from commands.context import Command
from commands.handlers import (
    finish,
    generate,
    help,  # noqa: A004 - the name of the command
    history,
    presets,
    privacy,
    prompt,
    queue,
    quota,
    settings,
)
from commands.handlers.admin import operation, words
from commands.option_set import OptionSet


def built_in_commands(options: OptionSet) -> tuple[Command, ...]:
    """Return the built-in commands in the order in which help shows them.

    Args:
        options: Those of a render.
    """
    return (
        *generate.commands(options),
        *prompt.commands(options),
        *queue.commands(),
        *finish.commands(),
        *history.commands(),
        *settings.commands(),
        *presets.commands(),
        *quota.commands(),
        *privacy.commands(),
        *operation.commands(),
        *quota.admin_commands(),
        *words.admin_commands(),
        *settings.admin_commands(),
        *help.commands(),
    )
