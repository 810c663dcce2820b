"""What there is on a Discord: users, guilds, channels, messages, files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

DEFAULT_UPLOAD_BYTES = 10 * 2**20

TIER_UPLOAD_BYTES = (DEFAULT_UPLOAD_BYTES, DEFAULT_UPLOAD_BYTES, 50 * 2**20, 100 * 2**20)
"""By boost tier of the guild."""

EPHEMERAL = 1 << 6
LOADING = 1 << 7
HAS_THREAD = 1 << 5
SUPPRESS_NOTIFICATIONS = 1 << 12
COMPONENTS_V2 = 1 << 15


class ChannelKind(IntEnum):
    """Discord's channel types."""

    TEXT = 0
    DIRECT = 1
    VOICE = 2
    CATEGORY = 4
    ANNOUNCEMENT = 5
    ANNOUNCEMENT_THREAD = 10
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12
    STAGE = 13
    FORUM = 15
    MEDIA = 16


THREADS = frozenset(
    {ChannelKind.ANNOUNCEMENT_THREAD, ChannelKind.PUBLIC_THREAD, ChannelKind.PRIVATE_THREAD}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file on somebody's disk."""

    name: str
    data: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(slots=True, kw_only=True, eq=False)
class User:
    """An account."""

    id: int
    name: str
    bot: bool = False
    locale: str = "en-US"
    upload_bytes: int = DEFAULT_UPLOAD_BYTES
    """What their own subscription allows."""
    accepts_direct_messages: bool = True

    @property
    def mention(self) -> str:
        """How to name them in a message."""
        return f"<@{self.id}>"


@dataclass(slots=True, kw_only=True, eq=False)
class Role:
    """A named set of permissions."""

    id: int
    name: str
    permissions: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """A user in a guild."""

    user: User
    roles: list[Role]
    joined_at: float
    timed_out: bool = False
    """By a moderator: nothing can be written."""


@dataclass(slots=True, kw_only=True, eq=False)
class Attachment:
    """A file on a message, or handed in with a command."""

    id: int
    channel_id: int
    file: File
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a message looked like from some time on."""

    at: float
    """Unix seconds."""
    content: str
    embeds: list[dict[str, Any]]
    components: list[dict[str, Any]]
    files: tuple[File, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Message:
    """A message, also one that only one person can see, or that was deleted."""

    id: int
    channel: Channel
    author: User
    posted_at: float
    kind: int = 0
    content: str = ""
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    nonce: str | None = None
    reference: Message | None = None
    snapshots: list[Message] = field(default_factory=list)
    """What it forwards, as it was then."""
    stickers: list[dict[str, Any]] = field(default_factory=list)
    mentions: list[User] = field(default_factory=list)
    pings: frozenset[int] = frozenset()
    """Users who were notified when it was posted; edits notify nobody."""
    mentions_everyone: bool = False
    edited_at: float | None = None
    thread: Channel | None = None
    visible_to: User | None = None
    """The only person who sees it, if it is ephemeral."""
    asked_by: dict[str, Any] | None = None
    """Discord's `interaction_metadata`."""
    interaction_token: str | None = None
    deleted: bool = False
    states: list[State] = field(default_factory=list)
    """Oldest first, the one of now included."""

    @property
    def loading(self) -> bool:
        """Whether people see "thinking…" instead of a message."""
        return bool(self.flags & LOADING)

    @property
    def files(self) -> list[File]:
        """Return what is attached."""
        return [attachment.file for attachment in self.attachments]

    @property
    def text(self) -> str:
        """Return all that people can read on it: content, embeds, text of components."""
        parts = [self.content]
        for embed in self.embeds:
            parts += [embed.get(name, "") for name in ("title", "description")]
            for entry in embed.get("fields", []):
                parts += [entry["name"], entry["value"]]
            parts.append(embed.get("author", {}).get("name", ""))
            parts.append(embed.get("footer", {}).get("text", ""))
        parts += [component.get("content", "") for component in walk(self.components)]
        return "\n".join(part for part in parts if part)

    @property
    def buttons(self) -> list[dict[str, Any]]:
        """Return its buttons, as they were sent."""
        return [component for component in walk(self.components) if component["type"] == 2]

    def remember(self, at: float) -> None:
        """Add what it looks like now to its history."""
        self.states.append(
            State(
                at=at,
                content=self.content,
                embeds=self.embeds,
                components=self.components,
                files=tuple(self.files),
            )
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Channel:
    """A channel, thread or direct message."""

    id: int
    kind: ChannelKind
    name: str
    guild: Guild | None = None
    parent: Channel | None = None
    overwrites: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Role or user id -> allowed and denied bits."""
    nsfw: bool = False
    recipients: list[User] = field(default_factory=list)
    messages: dict[int, Message] = field(default_factory=dict)
    """All that was ever posted, in order."""
    owner_id: int | None = None
    archived: bool = False
    locked: bool = False
    auto_archive_minutes: int = 1440
    thread_members: set[int] = field(default_factory=set)
    created_at: float = 0.0
    deleted: bool = False

    @property
    def is_thread(self) -> bool:
        """Whether it hangs on another channel."""
        return self.kind in THREADS

    @property
    def is_private_thread(self) -> bool:
        """Whether only its members see it."""
        return self.kind is ChannelKind.PRIVATE_THREAD

    @property
    def mention(self) -> str:
        """How to name it in a message."""
        return f"<#{self.id}>"

    def deny(self, target: Role | User, *permissions: int) -> None:
        """Take permissions from a role or a user here."""
        allow, deny = self.overwrites.get(target.id, (0, 0))
        for permission in permissions:
            allow, deny = allow & ~permission, deny | permission
        self.overwrites[target.id] = (allow, deny)

    def visible(self) -> list[Message]:
        """Return the messages that are there for everybody."""
        return [m for m in self.messages.values() if not m.deleted and m.visible_to is None]


@dataclass(slots=True, kw_only=True, eq=False)
class Guild:
    """A server."""

    id: int
    name: str
    owner_id: int
    everyone: Role
    locale: str = "en-US"
    boost_tier: int = 0
    roles: list[Role] = field(default_factory=list)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    """Threads too."""
    max_active_threads: int = 1000
    lost: bool = False
    """In an outage of Discord's."""

    @property
    def active_threads(self) -> list[Channel]:
        """Return the threads that are not archived."""
        return [each for each in self.channels.values() if each.is_thread and not each.archived]

    @property
    def upload_bytes(self) -> int:
        """Largest file that a bot may post here."""
        return TIER_UPLOAD_BYTES[self.boost_tier]


def walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield components and all that is nested in them."""
    for component in components:
        yield component
        yield from walk(component.get("components", []))
        for name in ("component", "accessory"):
            if name in component:
                yield from walk([component[name]])
