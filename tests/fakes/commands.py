"""The commands that ship with Rushes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from commands.catalog import built_in_commands
from commands.context import Call, CommandSet
from tests.fakes.options import OPTIONS

COMMANDS = CommandSet(built_in_commands(OPTIONS))


def with_pictures(call: Call, folder: Path, *names: str) -> Call:
    """Return a call of somebody in a terminal whose folder has these pictures."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return replace(call, channel=replace(call.channel, local_folder=str(folder)))
