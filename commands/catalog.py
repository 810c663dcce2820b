"""All commands, the same on every platform."""

from __future__ import annotations

from commands import (
    admin,
    generate,
    history,
    preferences,
    presets,
    privacy,
    prompt,
    queue,
    quota,
    safety,
)
from commands.help import with_help

COMMANDS = with_help(
    (
        *generate.COMMANDS,
        *prompt.COMMANDS,
        *queue.COMMANDS,
        *history.COMMANDS,
        *preferences.COMMANDS,
        *presets.COMMANDS,
        *quota.COMMANDS,
        *privacy.COMMANDS,
        *admin.COMMANDS,
        *quota.ADMIN_COMMANDS,
        *safety.ADMIN_COMMANDS,
        *preferences.ADMIN_COMMANDS,
    )
)
