"""Reads messages and edits from events, and keeps the newest content of each message."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from weakref import WeakValueDictionary

from bot.slack.origin import Payload

MAX_REMEMBERED = 10_000
"""Messages whose newest text is known."""

_WRITTEN = frozenset({None, "file_share", "thread_broadcast"})
"""Subtypes of messages that people wrote; all others are about something else."""

_EDITED = "message_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    """A message as it is now."""

    message: Mapping[str, Any]
    """As Slack writes it, with `user`, `channel`, `text` and `ts`."""
    edited_at: str = ""
    """When it was edited, as Slack writes it; empty if never."""

    @property
    def text(self) -> str:
        """What it says, as markup."""
        return str(self.message.get("text") or "")

    @property
    def files(self) -> frozenset[str]:
        """The ids of what is attached to it."""
        return frozenset(_files(self.message))

    @classmethod
    def read(cls, event: Payload) -> Self | None:
        """Read an event; None if no person wrote or edited a message.

        Slack sends an edit as `app_mention` with `edited`, or as `message_changed`. The latter also
        comes for links that were unfurled and for changes by apps, without an edit by the writer.
        """
        message: dict[str, Any] = dict(event)
        changed = event.get("subtype") == _EDITED
        if changed:
            message = {**(event.get("message") or {}), "channel": event.get("channel")}
        edited = message.get("edited") or {}
        by_writer = edited.get("user") in {None, message.get("user")}
        if not message.get("user") or message.get("bot_id") or not message.get("ts"):
            return None
        if message.get("subtype") not in _WRITTEN or not by_writer or (changed and not edited):
            return None
        before = event.get("previous_message") or {}
        if changed and _content(before) == _content(message):
            return None
        return cls(message=message, edited_at=str(edited.get("ts") or ""))


class _Seen(NamedTuple):
    """The newest known content of a message."""

    edited_at: str
    digest: bytes
    files: frozenset[str]


_NOTHING = _Seen("", b"", frozenset())


class LatestEdits:
    """The newest content of messages: Slack sends edits more than once and in any order."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Seen] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, key: str) -> asyncio.Lock:
        """Return the lock of a message: its edits are answered one after the other."""
        return self._locks.setdefault(key, asyncio.Lock())

    def is_new(self, key: str, written: UserMessage) -> bool:
        """Whether a message has new content; note it then.

        An unedited message always has, unless an edit overtook it: Slack sends it again
        if the answer was lost with the process.
        """
        known = self._known.get(key, _NOTHING)
        digest = hashlib.sha256(_content(written.message).encode()).digest()
        if known.edited_at > written.edited_at or (written.edited_at and digest == known.digest):
            return False
        self._known[key] = _Seen(written.edited_at, digest, written.files)
        self._known.move_to_end(key)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return True

    def files(self, key: str) -> frozenset[str] | None:
        """Return the ids of the files that a message had, or None if it is not known."""
        known = self._known.get(key)
        return None if known is None else known.files

    def forget(self, key: str) -> None:
        """Forget a message that could not be answered: repeated, it counts as new."""
        self._known.pop(key, None)


def _content(message: Mapping[str, Any]) -> str:
    """Return the parts of a message that an edit can change: its text and its files."""
    return "\0".join([str(message.get("text") or ""), *_files(message)])


def _files(message: Mapping[str, Any]) -> list[str]:
    return [str(file.get("id")) for file in message.get("files") or ()]
