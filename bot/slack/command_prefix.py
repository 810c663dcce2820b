"""The prefix of our slash commands, for workspaces where another app has the same names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bot.slack.outbound.blocks import MAX_TITLE
from commands.context import Command
from commands.text.card import Card
from commands.text.command_names import command_pattern
from inference.domain.errors import UserError
from inference.domain.untrusted_text import cut

RESERVED = frozenset(
    {
        "active", "afk", "apps", "archive", "away", "call", "canvas", "close", "collapse",
        "converse", "dm", "dnd", "expand", "feed", "feedback", "help", "huddle", "huddles",
        "invite", "invite_people", "join", "keys", "kick", "leave", "list", "lists", "me", "msg",
        "mute", "open", "part", "people", "poll", "pref", "prefs", "remind", "remove", "rename",
        "search", "shortcuts", "shrug", "star", "status", "talk", "topic", "trigger", "unarchive",
        "who", "workflow",
    }
)  # fmt: skip
"""Slack's own commands: an app cannot have them, or people would not reach it."""

MAX_COMMAND = 32
"""Characters of a command, with its slash."""


class CommandPrefix:
    """Names of our commands on Slack, in both directions."""

    def __init__(self, commands: Iterable[Command], prefix: str = "") -> None:
        """Index the commands; subcommands share the word in front of them.

        Args:
            commands: All that there are.
            prefix: What stands before every name, such as `acme-`.
        """
        self._prefix = prefix
        ours = dict.fromkeys(f"/{command.parent or command.name}" for command in commands)
        self._ours = {self.write_command(name): name for name in ours}
        self._mention = command_pattern(tuple(sorted(ours, key=len, reverse=True)))

    def write_command(self, name: str) -> str:
        """Return a command, such as `/image`, as people type it."""
        return f"/{self._prefix}{name.removeprefix('/')}"

    def names(self) -> dict[str, str]:
        """Return our names of commands by the names under which Slack knows them.

        Raises:
            UserError: `slack.reserved`.
        """
        for name in self._ours:
            if name.lstrip("/") in RESERVED or len(name) > MAX_COMMAND:
                raise UserError("slack.reserved", command=name)
        return self._ours

    def ours(self, line: str) -> str:
        """Return a typed line with our name for the command in front; other lines stay."""
        first = "".join(line.split(None, 1)[:1])
        return self._ours.get(first.casefold(), first) + line.lstrip()[len(first) :]

    def text(self, text: str) -> str:
        """Return a text of ours with its commands as people type them."""
        if not self._prefix:
            return text
        return self._mention.sub(
            lambda found: self.write_command(found["name"]) if found["name"] else found[0], text
        )

    def card(self, card: Card) -> Card:
        """Return a card with the commands that it names as people type them."""
        if not self._prefix:
            return card
        return replace(card.map_text(self.text), title=self.text(card.title))

    def view(self, view: dict[str, Any]) -> dict[str, Any]:
        """Return a modal with the commands that it names as people type them.

        A person's own text, which a field begins with, stays.
        """
        if not self._prefix:
            return view
        named: dict[str, Any] = self._rename_commands(view)
        title = named["title"]
        return {**named, "title": {**title, "text": cut(title["text"], MAX_TITLE)}}

    def _rename_commands(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._rename_commands(each) for each in part]
        if not isinstance(part, dict):
            return part
        if part.get("type") in {"plain_text", "mrkdwn"}:
            return {**part, "text": self.text(part["text"])}
        return {key: self._rename_commands(each) for key, each in part.items()}
