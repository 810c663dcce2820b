"""What a Slack workspace consists of, as far as an app can touch it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

APP_ID = "A0LB000000"
"""The one app that is played with."""

_ISOLATES = dict.fromkeys(map(ord, "\u2068\u2069"))
"""What keeps words of one direction together, which nobody sees."""

_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|<!(channel|here|everyone)(?:\|[^>]*)?>")


@dataclass(kw_only=True, eq=False)
class Team:
    """One workspace."""

    id: str
    name: str
    enterprise_id: str | None = None


@dataclass(kw_only=True, eq=False)
class User:
    """Somebody, or a bot, with the workspace they belong to."""

    id: str
    name: str
    team: Team
    locale: str = "en-US"
    is_bot: bool = False
    is_admin: bool = False
    """Of their workspace."""
    is_guest: bool = False
    """Invited to some channels of their workspace only."""


@dataclass(kw_only=True, eq=False)
class Installation:
    """The app in one workspace."""

    team: Team
    bot: User
    bot_id: str
    scopes: frozenset[str]
    token: str
    refresh_token: str | None = None
    expires_at: float | None = None
    """Unix seconds; rotated tokens only."""
    revoked: str | None = None
    """The error that its token is answered with, once it is no longer good."""


@dataclass(kw_only=True, eq=False)
class Channel:
    """A place to talk. A channel shared between companies is one object with several teams."""

    id: str
    name: str
    kind: Literal["public", "private", "im"]
    teams: list[Team]
    """The host first."""
    members: set[str] = field(default_factory=set)
    """User ids, bots among them."""
    messages: list[Message] = field(default_factory=list)
    archived: bool = False

    @property
    def shared(self) -> bool:
        """Whether people of several companies are in it (Slack Connect)."""
        return len(self.teams) > 1

    def find(self, ts: str) -> Message | None:
        """Return a message that is there and not deleted."""
        return next((m for m in self.messages if m.ts == ts and not m.deleted), None)

    def thread(self, parent: Message | str) -> list[Message]:
        """Return the replies under a message."""
        ts = parent if isinstance(parent, str) else parent.ts
        return [m for m in self.messages if m.thread_ts == ts and not m.deleted]


@dataclass(kw_only=True, frozen=True)
class State:
    """What a message said from one moment on."""

    at: float
    """Monotonic seconds."""
    text: str
    blocks: list[Json]
    metadata: Json | None = None


@dataclass(kw_only=True, eq=False)
class Message:
    """One message with everything that it ever said."""

    channel: Channel
    ts: str
    user: str
    team: Team
    """Whose token, or whose member, wrote it."""
    states: list[State]
    thread_ts: str | None = None
    bot_id: str | None = None
    files: list[File] = field(default_factory=list)
    shares: Message | None = None
    """The message that this one forwards."""
    only_for: str | None = None
    """The one person who sees it."""
    deleted: bool = False
    reactions: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self.states[-1].text

    @property
    def blocks(self) -> list[Json]:
        """The blocks as they are now."""
        return self.states[-1].blocks

    @property
    def metadata(self) -> Json | None:
        """The metadata as they are now."""
        return self.states[-1].metadata

    @property
    def words(self) -> str:
        """All that people can read in it now."""
        return "\n".join([self.text, *texts(self.blocks)]).translate(_ISOLATES)

    @property
    def buttons(self) -> list[Json]:
        """The buttons to press now."""
        return [element for element in elements(self.blocks) if element.get("type") == "button"]

    @property
    def pings(self) -> set[str]:
        """Whom it notified: what was said first, not what an edit added."""
        first = self.states[0]
        said = marked_up(first.blocks) if first.blocks else [first.text]
        return {user or f"!{group}" for text in said for user, group in _MENTION.findall(text)}


@dataclass(kw_only=True, frozen=True)
class Share:
    """One message that shows a file."""

    channel: Channel
    ts: str
    thread_ts: str | None


@dataclass(kw_only=True, eq=False)
class File:
    """A file from the first of the three upload calls on."""

    id: str
    name: str
    team: Team
    user: str
    length: int
    title: str = ""
    data: bytes | None = None
    completed: bool = False
    looked_into: bool = False
    """Slack knows what is in it, which it finds out after the completion."""
    mode: str = "hosted"
    """Or `external`, `gdoc`, `snippet`, `post`, `hidden_by_limit`, without bytes for apps."""
    external_type: str = ""
    access_denied: bool = False
    """Whether the app is not shown it, although it is told of it."""
    deleted: bool = False
    shares: list[Share] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class View:
    """A modal or a home tab."""

    id: str
    user: str
    team: Team
    """Whose installation opened it."""
    content: Json
    hash: str
    trigger_id: str = ""
    """The act that opened it."""
    root_id: str = ""
    states: list[Json] = field(default_factory=list)
    """Everything that it ever showed."""
    open: bool = True

    @property
    def words(self) -> str:
        """All that people can read in it."""
        return "\n".join(texts(self.content))


def walk(thing: Any) -> Iterator[Json]:
    """Yield every object inside blocks or a view, outermost first."""
    if isinstance(thing, dict):
        yield thing
        for value in thing.values():
            yield from walk(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from walk(value)


def elements(thing: Any) -> list[Json]:
    """Return everything that can be pressed or filled in."""
    return [found for found in walk(thing) if "action_id" in found]


def texts(thing: Any) -> list[str]:
    """Return every text that people can read, in order."""
    return [
        found[key]
        for found in walk(thing)
        for key in ("text", "alt_text", "initial_value", "url")
        if isinstance(found.get(key), str)
    ]


def marked_up(thing: Any) -> list[str]:
    """Return the texts in which markup works, mentions of rich text written as markup."""
    said = [found["text"] for found in walk(thing) if found.get("type") == "mrkdwn"]
    people = [f"<@{found['user_id']}>" for found in walk(thing) if found.get("type") == "user"]
    groups = [f"<!{found['range']}>" for found in walk(thing) if found.get("type") == "broadcast"]
    return [*said, *people, *groups]


def everything(thing: Any) -> str:
    """Write blocks or a view out, hidden fields too."""
    return json.dumps(thing, ensure_ascii=False)
