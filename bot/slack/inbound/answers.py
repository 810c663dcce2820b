"""Posts answers outside the outbox: errors, lists, notes; ephemeral if they are private."""

from __future__ import annotations

from typing import Any

import aiohttp
import structlog

from bot.slack.api.calls import Calls
from bot.slack.api.clients import problem
from bot.slack.command_prefix import CommandPrefix
from bot.slack.hosts import is_response_url
from bot.slack.origin import Origin
from bot.slack.outbound import blocks
from bot.slack.outbound.messages import Poster
from commands.text.card import Card
from inference.domain.errors import DeliveryError

PATIENCE_SECONDS = 5.0
"""For an answer's turn; after that people have gone on."""

_TIMEOUT = aiohttp.ClientTimeout(total=30)

_log = structlog.get_logger(__name__)


class Answers:
    """Posts answers where they were asked for."""

    def __init__(self, calls: Calls, poster: Poster, prefix: CommandPrefix) -> None:
        self._calls = calls
        self._prefix = prefix
        self._poster = poster

    async def give(self, origin: Origin, card: Card, *, response_url: str | None = None) -> None:
        """Answer where the request was made; a `response_url` reaches channels without the bot.

        Raises:
            DeliveryError: There was no way.
        """
        if card.from_outbox:  # the outbox posts it
            return
        card = self._prefix.card(card)
        if card.attachment is not None or not origin.channel:
            await self._poster.hand(origin.address, card)
            return
        try:
            await self._say(origin, card)
        except DeliveryError as error:
            if response_url is None or error.code == "slack.unreachable":
                raise
            await self.respond(response_url, card)

    async def respond(self, response_url: str, card: Card, *, in_place: bool = False) -> bool:
        """Answer through the `response_url` that came with a command or a press, which expires.

        Only Slack's own hosts are written to, whatever address a request names.

        Args:
            response_url: Where to.
            card: What to say.
            in_place: Whether it replaces the message that was pressed, with its buttons.

        Returns:
            Whether Slack took it.
        """
        clients = self._calls.clients
        if not is_response_url(response_url, clients.api_base_url):
            _log.warning("slack.response_url.refused")
            return False
        try:
            async with clients.session.post(
                response_url,
                json={**payload(self._prefix.card(card)), "replace_original": in_place},
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as answer:
                taken = answer.status == 200  # noqa: PLR2004 - OK
                if not taken:
                    _log.info("slack.not_answered", status=answer.status)
                return taken
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.info("slack.not_answered", error=problem(error))
            return False

    async def _say(self, origin: Origin, card: Card) -> None:
        drawn = blocks.message(card)
        # In the conversation with the bot nobody else reads along.
        alone = card.private and not origin.in_dm
        await self._calls.call(
            origin.address,
            "chat.postEphemeral" if alone else "chat.postMessage",
            patience=PATIENCE_SECONDS,
            channel=origin.channel,
            user=origin.user if alone else None,
            thread_ts=origin.thread_ts,
            text=drawn.text,
            blocks=drawn.blocks,
        )


def payload(card: Card) -> dict[str, Any]:
    """Return a card as the body of an immediate answer to a slash command."""
    drawn = blocks.message(card)
    return {
        "response_type": "ephemeral" if card.private else "in_channel",
        "text": drawn.text,
        "blocks": drawn.blocks,
    }
