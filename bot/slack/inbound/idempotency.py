"""Names for what Slack sends, so that the same thing sent twice makes one job.

Slack sends events again when it misses our answer, and people press twice. A repetition is never
skipped for being one: the first may have been lost with the process. It carries the same name, and
whoever keeps that name with a job (`Order.key`) finds the job there.
"""

from __future__ import annotations

import hashlib

from bot.slack.address import NAME
from bot.slack.origin import Payload


def of_message(message: Payload, channel: str, workspace: str) -> str | None:
    """Name a message, however often it is edited or told of."""
    return _key("message", workspace, channel, message.get("ts"))


def of_trigger(body: Payload, workspace: str) -> str | None:
    """Name a slash command, a press or a shortcut: each has a trigger of its own."""
    return _key("trigger", workspace, body.get("trigger_id"))


def of_view(body: Payload, workspace: str) -> str | None:
    """Name a handed-in form: this state of this form, however often its button is pressed."""
    view = body["view"]
    return _key("view", workspace, view.get("id"), view.get("hash") or "")


def _key(kind: str, workspace: str, *parts: str | None) -> str | None:
    """Return the key, or None where Slack left out what would make it one."""
    if None in parts:
        return None
    digest = hashlib.sha256("\n".join(part or "" for part in parts).encode())
    return f"{NAME}:{kind}:{workspace}:{digest.hexdigest()[:32]}"
