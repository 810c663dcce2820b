"""Who said something, where, and who answers: the same from every kind of payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.address import Address
from bot.slack.installations import Installation

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One thing that somebody said or pressed."""

    installation: Installation
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
            dm=self.in_dm,
        )

    def at(self, channel: str, thread_ts: str | None = None) -> Origin:
        """Return the same person in another place."""
        return replace(self, channel=channel, channel_name="", thread_ts=thread_ts)


def of_command(body: Payload, installation: Installation) -> Origin:
    """Read a slash command. They are offered to people of the installing side only."""
    return Origin(
        installation=installation,
        team=body.get("team_id") or "",
        user=body["user_id"],
        user_name=body.get("user_name") or "",
        home=body.get("team_id"),
        channel=body["channel_id"],
        channel_name=body.get("channel_name") or "",
    )


def of_event(body: Payload, context: AsyncBoltContext, installation: Installation) -> Origin:
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
    )


def of_interaction(body: Payload, context: AsyncBoltContext, installation: Installation) -> Origin:
    """Read a press, a shortcut or a submitted form."""
    user = body["user"]
    home = user.get("team_id")
    channel = body.get("channel") or {}
    message = body.get("message") or {}
    container = body.get("container") or {}
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
    )


def answering_team(body: Payload) -> str | None:
    """Return the workspace whose bot posted the message that somebody acted on.

    In a shared channel a person of either side may press its buttons; the payload's own team is
    then theirs, but the job is that of the workspace whose bot posted it.
    """
    message = body.get("message") or {}
    posted_by = (message.get("bot_profile") or {}).get("team_id")
    return posted_by or message.get("team") if message.get("bot_id") else None


def _is_other(home: str | None, installation: Installation) -> bool:
    return home is None or home not in {installation.team, installation.enterprise}
