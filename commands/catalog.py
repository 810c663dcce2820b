"""All commands, the same on every platform."""

from __future__ import annotations

from commands import admin, generate, privacy, queue
from commands.help import with_help

COMMANDS = with_help((*generate.COMMANDS, *queue.COMMANDS, *privacy.COMMANDS, *admin.COMMANDS))
