"""All commands, the same on every platform."""

from __future__ import annotations

from commands import admin, generate, queue
from commands.help import with_help

COMMANDS = with_help((*generate.COMMANDS, *queue.COMMANDS, *admin.COMMANDS))
