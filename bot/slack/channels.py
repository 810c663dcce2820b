"""Whether the bot may post where it is asked: found out before anything is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from bot.slack.clients import Clients, problem
from bot.slack.errors import WIRE_ERRORS
from bot.slack.origin import Origin
from bot.slack.people import People
from inference.clock import Clock
from inference.errors import DeliveryError, UserError

KEPT_SECONDS = 60.0
"""How long a channel is believed to have the bot in it."""

LOOKUP_SECONDS = 5.0

MAX_KEPT = 10_000
"""Channels."""

_CLOSED = frozenset({"channel_not_found", "not_in_channel"})
_log = structlog.get_logger(__name__)


class Channels:
    """Channels, asked for once in a while."""

    def __init__(self, clients: Clients, people: People, clock: Clock) -> None:
        self._clients = clients
        self._people = people
        self._clock = clock
        self._open: dict[tuple[str, str], float] = {}

    async def check(self, origin: Origin) -> None:
        """Let a job be accepted for a place, joining it where that is allowed.

        What cannot be found out is taken to be well: delivery has other routes.

        Raises:
            UserError: `slack.not_in_channel` or `slack.not_here`: nothing can be posted there.
        """
        key = (origin.installation.workspace, origin.channel)
        now = self._clock.monotonic()
        if now < self._open.get(key, 0.0):
            return
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.asking(origin.team, origin.enterprise)
                channel = (await client.conversations_info(channel=origin.channel))["channel"]
                if not _has_bot(channel) and not await self._join(origin, channel):
                    raise await self._refusal(origin)
        except (*WIRE_ERRORS, DeliveryError) as error:
            if problem(error) in _CLOSED:
                raise await self._refusal(origin) from error
            _log.info("slack.channel_unknown", error=problem(error))
            return
        if len(self._open) >= MAX_KEPT:
            self._open.clear()
        self._open[key] = now + KEPT_SECONDS

    async def direct(self, origin: Origin) -> str:
        """Return the conversation of a person with the bot.

        Raises:
            UserError: `slack.not_here`: there is none.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.asking(origin.team, origin.enterprise)
                opened = await client.conversations_open(users=origin.user)
        except (*WIRE_ERRORS, DeliveryError) as error:
            raise UserError("slack.not_here") from error
        return str(opened["channel"]["id"])

    def forget(self, workspace: str, channel: str) -> None:
        """Ask again about a channel: something happened to it."""
        self._open.pop((workspace, channel), None)

    async def _join(self, origin: Origin, channel: Mapping[str, Any]) -> bool:
        public = channel.get("is_channel") and not channel.get("is_private")
        scopes = origin.installation.scopes
        if not public or "channels:join" not in scopes:
            return False
        client = await self._clients.asking(origin.team, origin.enterprise)
        await client.conversations_join(channel=origin.channel)
        return True

    async def _refusal(self, origin: Origin) -> UserError:
        if origin.in_dm:
            return UserError("slack.not_here")
        bot = await self._people.profile(
            origin.installation, origin.team, origin.installation.bot_user
        )
        return UserError("slack.not_in_channel", invite=f"/invite @{bot.name or 'Rushes'}")


def _has_bot(channel: Mapping[str, Any]) -> bool:
    """Whether the bot is a member; its own direct messages do not say so."""
    return bool(channel.get("is_member") or channel.get("is_im") or channel.get("is_mpim"))
