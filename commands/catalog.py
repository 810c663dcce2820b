"""All commands, the same on every platform."""

from __future__ import annotations

from commands.handlers import (
    admin,
    generate,
    history,
    presets,
    privacy,
    prompt,
    queue,
    quota,
    settings_commands,
    words,
)
from commands.handlers.help import with_help

COMMANDS = with_help(
    (
        *generate.COMMANDS,
        *prompt.COMMANDS,
        *queue.COMMANDS,
        *history.COMMANDS,
        *settings_commands.COMMANDS,
        *presets.COMMANDS,
        *quota.COMMANDS,
        *privacy.COMMANDS,
        *admin.COMMANDS,
        *quota.ADMIN_COMMANDS,
        *words.ADMIN_COMMANDS,
        *settings_commands.ADMIN_COMMANDS,
    )
)
