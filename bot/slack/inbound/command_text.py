"""Converts text from Slack's markup to what people typed."""

from __future__ import annotations

import re

from bot.slack.inbound.emoji import to_unicode
from commands.catalog import COMMANDS

_MARKUP = re.compile(r"<(?P<sign>[@#!]?)(?P<target>[^<>|]*)(?:\|(?P<label>[^<>]*))?>")
_ABOUT_PEOPLE = {f"/{command.parent}" for command in COMMANDS if command.parent}
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))


def unescape(text: str) -> str:
    """Take back Slack's escaping of `&`, `<` and `>`; mentions and links stay as they are."""
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text)


def plain(text: str) -> str:
    """Return what somebody wrote where Slack knows no mentions and links: in a field of a form."""
    return unescape(to_unicode(text))


def prompt(text: str) -> str:
    """Return what somebody typed, with mentions and links as the words that people see.

    A prompt is shown again: nobody may be mentioned by it.
    """
    return plain(_MARKUP.sub(_shown, text))


def line(text: str) -> str:
    """Return a line with a command in front; where it has verbs, people stay the ids they are."""
    words = text.split(None, 1)
    return plain(text) if words and words[0].casefold() in _ABOUT_PEOPLE else prompt(text)


def without_mention(text: str, user: str) -> str:
    """Return a message without the mention of `user` that made it one for the bot."""
    return re.sub(rf"<@{re.escape(user)}(\|[^<>]*)?>", " ", text, count=1).strip()


def _shown(found: re.Match[str]) -> str:
    target, label = found["target"], found["label"]
    if found["sign"] in {"@", "#"}:
        return found["sign"] + (label or target).lstrip(found["sign"])
    if found["sign"] == "!":  # <!here>, <!subteam^S1|@film>, <!date^…|in words>
        return label or "@" + target.partition("^")[0]
    return label or target
