"""Looks up channels: whether the bot may post there, and whether they are private."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bot.slack.api.clients import Clients, problem
from bot.slack.api.errors import WIRE_ERRORS
from bot.slack.lookups.people import People
from bot.slack.origin import Origin
from inference.clock import Clock
from inference.domain.errors import DeliveryError, UserError

KEPT_SECONDS = 60.0
"""How long a channel is believed to be as Slack said."""

LOOKUP_SECONDS = 5.0

PRIVACY_SECONDS = 2.0
"""How long an answer waits for the news of other channels that it names."""

MAX_KEPT = 10_000
"""Channels."""

_CLOSED = frozenset({"channel_not_found", "not_in_channel"})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """One channel."""

    private: bool
    open: bool
    """Whether the bot is in it."""


class Channels:
    """Cached facts of channels."""

    def __init__(self, clients: Clients, people: People, clock: Clock) -> None:
        self._clients = clients
        self._people = people
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, _Facts]] = {}

    async def refusal(self, origin: Origin) -> UserError | None:
        """Return why the bot cannot post in a channel, which it joins where that is allowed.

        None also where Slack does not say: delivery has other routes.
        """
        known = self._find_cached(origin, origin.channel)
        if known is not None and known.open:
            return None
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                channel = await self._info(origin, origin.channel)
                if not _has_bot(channel) and not await self._join(origin, channel):
                    return await self._refusal(origin)
        except (*WIRE_ERRORS, DeliveryError) as error:
            if problem(error) in _CLOSED:
                return await self._refusal(origin)
            _log.info("slack.channel_unknown", error=problem(error))
            return None
        self._keep(origin, origin.channel, _Facts(private=_is_private(channel), open=True))
        return None

    async def is_private(self, origin: Origin) -> bool:
        """Return whether only the people in a channel may see what is made there.

        What Slack does not say is private: a mistake hides a job, and shows none.
        """
        private = await self._privacy(origin, origin.channel, LOOKUP_SECONDS)
        return private is not False

    async def find_private_channels(
        self, origin: Origin, channels: Iterable[str]
    ) -> frozenset[str]:
        """Return the channels that Slack says are private by now."""
        asked = list(channels)
        found = await asyncio.gather(
            *(self._privacy(origin, channel, PRIVACY_SECONDS) for channel in asked)
        )
        return frozenset(channel for channel, private in zip(asked, found, strict=True) if private)

    async def exists(self, origin: Origin, channel: str) -> bool:
        """Return whether there is a channel that the bot can see; so if Slack does not say."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                await self._info(origin, channel)
        except (*WIRE_ERRORS, DeliveryError) as error:
            return problem(error) not in _CLOSED
        return True

    async def direct(self, origin: Origin) -> str:
        """Return the conversation of a person with the bot.

        Raises:
            UserError: `slack.not_here`: there is none.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.connect_with_retries(origin.team, origin.enterprise)
                opened = await client.conversations_open(users=origin.user)
        except (*WIRE_ERRORS, DeliveryError) as error:
            raise UserError("slack.not_here") from error
        return str(opened["channel"]["id"])

    def forget(self, workspace: str, channel: str) -> None:
        """Drop the cached facts of a channel that changed."""
        self._kept.pop((workspace, channel), None)

    async def _privacy(self, origin: Origin, channel: str, seconds: float) -> bool | None:
        """Return whether a channel is private; None where Slack does not say."""
        if not channel.startswith("C"):  # D and G are conversations and old private channels
            return True
        if (known := self._find_cached(origin, channel)) is not None:
            return known.private
        try:
            async with asyncio.timeout(seconds):
                told = await self._info(origin, channel)
        except (*WIRE_ERRORS, DeliveryError) as error:
            # A private channel without the bot in it is "not found".
            return True if problem(error) in _CLOSED else None
        facts = _Facts(private=_is_private(told), open=_has_bot(told))
        self._keep(origin, channel, facts)
        return facts.private

    async def _info(self, origin: Origin, channel: str) -> Mapping[str, Any]:
        client = await self._clients.connect_with_retries(origin.team, origin.enterprise)
        told: Mapping[str, Any] = (await client.conversations_info(channel=channel))["channel"]
        return told

    def _find_cached(self, origin: Origin, channel: str) -> _Facts | None:
        until, facts = self._kept.get((origin.installation.workspace, channel), (0.0, None))
        return facts if self._clock.monotonic() < until else None

    def _keep(self, origin: Origin, channel: str, facts: _Facts) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        until = self._clock.monotonic() + KEPT_SECONDS
        self._kept[origin.installation.workspace, channel] = (until, facts)

    async def _join(self, origin: Origin, channel: Mapping[str, Any]) -> bool:
        public = channel.get("is_channel") and not channel.get("is_private")
        scopes = origin.installation.scopes
        if not public or "channels:join" not in scopes:
            return False
        client = await self._clients.connect_with_retries(origin.team, origin.enterprise)
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


def _is_private(channel: Mapping[str, Any]) -> bool:
    """Whether a channel is for its members only: all that is not said to be public."""
    kinds = ("is_private", "is_group", "is_im", "is_mpim")
    return not channel.get("is_channel") or any(channel.get(kind) for kind in kinds)
