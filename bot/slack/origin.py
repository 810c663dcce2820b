"""The origin of a request: who asked, where, which workspace answers, and its idempotency key.

Slack sends events again when it misses our answer, and people press twice. A repetition is never
skipped for being one: the first may have been lost with the process. It has the same key, and
under that key the job is found (`Order.key`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.address import NAME, Address
from bot.slack.installations import WorkspaceInstallation

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Origin of a request: person, channel, and the installation that answers."""

    installation: WorkspaceInstallation
    """Who answers; jobs, settings and history are those of its tenant."""
    team: str
    """The workspace in which it answers; empty where only the organisation is known."""
    user: str
    user_name: str = ""
    """What the payload calls them, until their profile is known."""
    home: str | None = None
    """The workspace (or organisation) of the person; None where Slack does not say."""
    foreign: bool = False
    """Whether the payload alone says that they are of another company, or cannot rule it out."""
    channel: str = ""
    """Empty where it has none, as for a global shortcut."""
    channel_name: str = ""
    thread_ts: str | None = None
    key: str | None = None
    """Idempotency key; None where Slack leaves out what would make it one."""

    @property
    def enterprise(self) -> str | None:
        """The organisation, if its installation answers for the workspace."""
        return None if self.installation.team else self.installation.enterprise

    @property
    def in_dm(self) -> bool:
        """Whether it was said to the bot alone."""
        return self.channel.startswith("D")

    @property
    def address(self) -> Address:
        """Where the answer goes."""
        return Address(
            team=self.team,
            enterprise=self.enterprise,
            channel=self.channel,
            thread_ts=self.thread_ts,
            user=self.user,
        )

    def at(self, channel: str, thread_ts: str | None = None) -> Origin:
        """Return the same request in another channel."""
        return replace(self, channel=channel, channel_name="", thread_ts=thread_ts)


def of_command(body: Payload, installation: WorkspaceInstallation) -> Origin:
    """Read a slash command. They are offered to people of the installing side only."""
    return Origin(
        installation=installation,
        team=body.get("team_id") or "",
        user=body["user_id"],
        user_name=body.get("user_name") or "",
        home=body.get("team_id"),
        channel=body["channel_id"],
        channel_name=body.get("channel_name") or "",
        key=trigger_key(body, installation.workspace),
    )


def of_event(
    body: Payload, context: AsyncBoltContext, installation: WorkspaceInstallation
) -> Origin:
    """Read a message or a mention.

    In a channel shared between companies, slack-bolt knows the person's own workspace, or says
    that it cannot know it: then they count as foreign.
    """
    event = body["event"]
    home = context.actor_team_id
    shared = body.get("is_ext_shared_channel") is True
    return Origin(
        installation=installation,
        team=context.team_id or "",
        user=event["user"],
        home=home or event.get("user_team"),
        foreign=shared and _is_other(home, installation),
        channel=event["channel"],
        thread_ts=event.get("thread_ts"),
        key=message_key(event, event["channel"], installation.workspace),
    )


def of_interaction(
    body: Payload, context: AsyncBoltContext, installation: WorkspaceInstallation
) -> Origin:
    """Read a press, a shortcut or a submitted form."""
    user = body["user"]
    home = user.get("team_id")
    channel = body.get("channel") or {}
    message = body.get("message") or {}
    container = body.get("container") or {}
    key = view_key if body.get("type") == "view_submission" else trigger_key
    return Origin(
        installation=installation,
        team=context.team_id or "",
        user=user["id"],
        user_name=user.get("username") or user.get("name") or "",
        home=home,
        foreign=home is not None and _is_other(home, installation),
        channel=channel.get("id") or container.get("channel_id") or "",
        channel_name=channel.get("name") or "",
        thread_ts=message.get("thread_ts") or container.get("thread_ts"),
        key=key(body, installation.workspace),
    )


def message_key(message: Payload, channel: str, workspace: str) -> str | None:
    """Return the key of a message, the same however often it is edited or sent."""
    return _key("message", workspace, channel, message.get("ts"))


def trigger_key(body: Payload, workspace: str) -> str | None:
    """Return the key of a slash command, a press or a shortcut: each has a trigger."""
    return _key("trigger", workspace, body.get("trigger_id"))


def view_key(body: Payload, workspace: str) -> str | None:
    """Return the key of a submitted form: of this state of it, however often it is submitted."""
    view = body["view"]
    return _key("view", workspace, view.get("id"), view.get("hash") or "")


def _key(kind: str, workspace: str, *parts: str | None) -> str | None:
    if None in parts:
        return None
    digest = hashlib.sha256("\n".join(part or "" for part in parts).encode())
    return f"{NAME}:{kind}:{workspace}:{digest.hexdigest()[:32]}"


def answering_team(body: Payload) -> str | None:
    """Return the workspace whose bot posted the message that a person acted on.

    In a shared channel a person of either side may press its buttons; the payload's own team is
    then theirs, but the job is that of the workspace whose bot posted it.
    """
    message = body.get("message") or {}
    posted_by = (message.get("bot_profile") or {}).get("team_id")
    return posted_by or message.get("team") if message.get("bot_id") else None


def _is_other(home: str | None, installation: WorkspaceInstallation) -> bool:
    return home is None or home not in {installation.team, installation.enterprise}
