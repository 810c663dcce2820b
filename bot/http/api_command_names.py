"""Converts the chat commands and flags named in a text to those of the API and of MCP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from commands.option_set import OptionSet
from commands.options import COUNT, IMAGE, MODEL
from commands.text.command_names import command_pattern

_FLAG = r"(?<![\w./-])--(?P<flag>[a-z][a-z-]*)"
_EXAMPLE = "/generate a red ball bouncing in the snow"


@dataclass(frozen=True, slots=True)
class ApiNames:
    """The names of commands and options in one protocol."""

    commands: Mapping[str, str]
    """By the command as it is typed; the longer ones first."""
    options: Mapping[str, str]
    """Of options that are not called by `within` and their name."""
    within: str
    """Before the names of all other options."""

    def say(self, text: str, known: OptionSet | None) -> str:
        """Return a text of the catalog with these names.

        Args:
            text: What is said to people in chats.
            known: All options; without them, flags stay as they are.
        """

        def said(found: re.Match[str]) -> str:
            if found["name"]:
                return self.commands[found["name"]]
            if not found["flag"] or known is None or found["flag"] not in known.typed:
                return found[0]
            name = known.typed[found["flag"]].name
            return self.options.get(name, f"{self.within}{name}")

        return command_pattern(tuple(self.commands), _FLAG).sub(said, text)


HTTP = ApiNames(
    commands={
        "/rushes help generate": "/openapi.json",
        "/rushes queue": "GET /v1/videos",
        "/rushes cancel": "DELETE /v1/videos/{id}",
        "/rushes show": "GET /v1/videos/{id}/content",
        _EXAMPLE: '{"prompt": "a red ball bouncing in the snow"}',
        "/generate": "POST /v1/videos",
        "/image": "POST /v1/images/generations",
        "/animate": "POST /v1/videos (input_reference)",
    },
    options={MODEL.name: "model", IMAGE.name: "input_reference", COUNT.name: "n"},
    within="rushes.",
)

MCP = ApiNames(
    commands={
        "/rushes help generate": "tools/list",
        "/rushes queue": "queue",
        "/rushes cancel": "cancel",
        "/rushes show": "result",
        _EXAMPLE: 'generate {"prompt": "a red ball bouncing in the snow"}',
        "/generate": "generate",
        "/image": "generate",
        "/animate": "generate (image)",
    },
    options={},
    within="",
)
