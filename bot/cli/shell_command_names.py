"""Converts the chat commands named in a text to commands of the shell."""

from __future__ import annotations

import re

from commands.text.command_names import command_pattern

_SUBMIT = "rushes submit"
_SAME = {
    "/rushes help generate": f"{_SUBMIT} --help",
    "/generate": _SUBMIT,
    **{f"/rushes {name}": f"rushes {name}" for name in ("queue", "cancel", "show", "finish")},
}
"""What both have; all else is for `rushes chat`, and stays as it is typed there."""


def in_shell(text: str, verb: str = _SUBMIT) -> str:
    """Return a text of ours with its commands as they are typed in a shell.

    Args:
        text: The text.
        verb: Command that was typed to make a clip, if one was.
    """

    def same(found: re.Match[str]) -> str:
        return _SAME[found["name"]].replace(_SUBMIT, verb) if found["name"] else found[0]

    return command_pattern(tuple(_SAME)).sub(same, text)
