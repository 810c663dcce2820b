"""One call on its way through the API, and what every method needs of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.slack.blocks import message_problems
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import Channel, Installation, Json, walk
from tests.fakes.slack.records import SlackError
from tests.fakes.slack.world import World

JSON_ARGUMENTS = frozenset({"blocks", "view", "attachments", "metadata", "files"})
"""What forms carry as JSON."""


@dataclass(kw_only=True, frozen=True)
class Ask:
    """One call with a good token."""

    hub: Hub
    method: str
    args: Json
    installation: Installation

    @property
    def world(self) -> World:
        """What there is."""
        return self.hub.world

    def channel(self, *, member: bool = False, name: str = "channel") -> Channel:
        """Return the channel that is asked for.

        Raises:
            SlackError: It cannot be seen, or the bot has to be in it and is not.
        """
        channel = self.world.channel_for(self.installation, self.args.get(name))
        self.need_scope(f"{_FAMILIES[channel.kind]}:read", unless=not _reads(self.method))
        if member and self.installation.bot.id not in channel.members:
            raise SlackError("not_in_channel")
        if member and channel.archived:
            raise SlackError("is_archived")
        return channel

    def need_scope(self, scope: str | None, *, unless: bool = False) -> None:
        """Check what the token is granted.

        Raises:
            SlackError: It lacks the scope.
        """
        if scope and not unless and scope not in self.installation.scopes:
            provided = ",".join(sorted(self.installation.scopes))
            raise SlackError("missing_scope", needed=scope, provided=provided)

    def said(self) -> tuple[str, list[Json] | None]:
        """Return text and blocks of a message; blocks are None if they were left out.

        Raises:
            SlackError: Slack would not take them.
        """
        text = str(self.args.get("text") or "")
        blocks = self.args.get("blocks")
        problems = message_problems(text, blocks or [])
        self.refuse(problems, "invalid_blocks")
        if not all(map(self._shows_file, walk(blocks or []))):
            raise SlackError("invalid_blocks")
        if not text and not blocks:
            raise SlackError("no_text")
        return text, blocks

    def _shows_file(self, part: Json) -> bool:
        """Whether the channel has the file of a picture, and Slack has looked into it."""
        if "slack_file" not in part:
            return True
        file = self.world.files.get(part["slack_file"].get("id", ""))
        if file is None or file.deleted or not file.looked_into:
            return False
        return any(share.channel.id == self.args.get("channel") for share in file.shares)

    def refuse(self, problems: list[str], code: str) -> None:
        """Answer with an error if there are problems, and write them down.

        Raises:
            SlackError: There are.
        """
        for problem in problems:
            self.violate(problem)
        if problems:
            raise SlackError(code, response_metadata={"messages": problems})

    def violate(self, problem: str) -> None:
        """Write down what Slack does not allow."""
        self.world.violate(f"{self.method} ({self.installation.team.name}): {problem}")


Handler = Callable[[Ask], Awaitable[Json]]


@dataclass(kw_only=True, frozen=True)
class Method:
    """One method of the Web API."""

    name: str
    handler: Handler
    scope: str | None = None
    """What the token must be granted; that of a channel depends on its kind."""
    per_minute: int | None = None
    """Calls that one workspace may make; None where Slack counts otherwise."""


def decoded(args: Json) -> Json:
    """Read the arguments that are JSON inside a form.

    Raises:
        SlackError: One is not JSON.
    """
    read: Json = {}
    for name, value in args.items():
        if name in JSON_ARGUMENTS and isinstance(value, str):
            try:
                read[name] = json.loads(value)
            except ValueError as error:
                code = "invalid_blocks_format" if name == "blocks" else "invalid_arguments"
                raise SlackError(code) from error
        else:
            read[name] = value
    return read


def flag(value: Any) -> bool:
    """Read a boolean of a form or of JSON."""
    return str(value).lower() in {"true", "1"}


_FAMILIES = {"public": "channels", "private": "groups", "im": "im"}


def _reads(method: str) -> bool:
    return method in {"conversations.info", "conversations.members"}
