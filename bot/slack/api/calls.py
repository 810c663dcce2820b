"""Calls Slack's Web API: rate-limited, with the right token, with errors as `DeliveryError`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bot.slack.address import Address
from bot.slack.api.clients import TIMEOUT_SECONDS, Clients
from bot.slack.api.errors import WIRE_ERRORS, delivery_error
from bot.slack.api.rate_limits import Limiter
from inference.domain.errors import DeliveryError

_READING = frozenset({"chat.getPermalink", "files.info"})
"""Methods that are asked with GET."""


class Calls:
    """All calls that post; none is retried here."""

    def __init__(self, clients: Clients, limiter: Limiter) -> None:
        self.clients = clients
        self._limiter = limiter

    async def call(
        self,
        address: Address,
        method: str,
        *,
        patience: float = 0.0,
        fleeting: bool = False,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Call a method and return its answer.

        Args:
            address: Whose workspace is meant.
            method: Such as `chat.postMessage`.
            patience: Seconds to wait here while there is no room for the call.
            fleeting: Rather not call than take the last room from others.
            **arguments: Of the method; None is left out, what is no text goes as JSON.

        Raises:
            DeliveryError: See `errors`. Only after `slack.unreachable` may the call have been
                carried out nevertheless.
        """
        client = await self.clients.of(address.team, address.enterprise)
        workspace, channel = address.team or address.enterprise or "", arguments.get("channel")
        await self._limiter.turn(
            workspace, method, channel=channel, patience=patience, fleeting=fleeting
        )
        form = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in arguments.items()
            if value is not None
        }
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                if method in _READING:
                    answer = await client.api_call(method, http_verb="GET", params=form)
                else:
                    answer = await client.api_call(method, data=form)
        except WIRE_ERRORS as error:
            refusal = delivery_error(error)
            if refusal.code == "slack.rate_limited":
                self._limiter.close(workspace, method, refusal.retry_after or 0.0, channel=channel)
            raise refusal from error
        return answer.data if isinstance(answer.data, dict) else {}


def slack_code(error: DeliveryError) -> str | None:
    """Return Slack's own code for what went wrong, where it gave one."""
    return error.params.get("error")
