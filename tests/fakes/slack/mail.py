"""Brings what people do to the app, once, or again until it says that it heard."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from tests.fakes.slack.faults import Faults
from tests.fakes.slack.model import APP_ID, Installation, Json
from tests.fakes.slack.records import Delivery
from tests.fakes.slack.world import World

ACK_SECONDS = 3.0
"""What the app has to acknowledge in. Its own limits see to that."""

BUSY_SECONDS = 180.0
"""What it gets here, where its process and Slack share a machine that may be busy."""

RETRY_SECONDS: tuple[float, ...] = (0.1, 5.0, 20.0)
"""Before an event comes again. Slack waits 0, 60 and 300 s: tests have less time."""

VERIFICATION_TOKEN = "loopback-verification"  # noqa: S105 - Slack sends one still; nothing uses it


class Wire(Protocol):
    """A way to the app."""

    async def send(
        self, kind: str, payload: Json, *, attempt: int, reason: str | None
    ) -> Json | None:
        """Deliver once; return what the acknowledgement carried, None if there was none."""
        ...


class Mail:
    """Deliveries, and how they went."""

    def __init__(self, world: World, faults: Faults, wire: Wire) -> None:
        self.wire = wire
        self.retry_seconds = RETRY_SECONDS
        self._world = world
        self._faults = faults

    async def act(
        self, kind: str, name: str, installation: Installation, payload: Json, *, attempt: int = 0
    ) -> Delivery:
        """Deliver once."""
        delivery = Delivery(
            at=time.monotonic(), kind=kind, name=name, team=installation.team.id, attempt=attempt
        )
        self._world.deliveries.append(delivery)
        reason = "timeout" if attempt else None
        answer = await self.wire.send(kind, payload, attempt=attempt, reason=reason)
        if answer is not None:
            delivery.seconds = time.monotonic() - delivery.at
            delivery.payload = answer
        self._world.touch()
        return delivery

    async def event(
        self, installation: Installation, event: Json, *, name: str, shared: bool
    ) -> None:
        """Deliver an event until it is acknowledged or given up; sometimes once more."""
        envelope = self._envelope(installation, event, shared=shared)
        again = self._faults.happens(self._faults.redelivered)
        for attempt, seconds in enumerate((0.0, *self.retry_seconds)):
            await asyncio.sleep(seconds)
            delivery = await self.act("events_api", name, installation, envelope, attempt=attempt)
            if delivery.seconds is not None and not again:
                return
            again = False

    def _envelope(self, installation: Installation, event: Json, *, shared: bool) -> Json:
        team = installation.team
        return {
            "token": VERIFICATION_TOKEN,
            "team_id": team.id,
            "enterprise_id": team.enterprise_id,
            "context_team_id": team.id,
            "context_enterprise_id": team.enterprise_id,
            "api_app_id": APP_ID,
            "event": event,
            "type": "event_callback",
            "event_id": self._world.identity("Ev"),
            "event_time": int(time.time()),
            "authorizations": [
                {
                    "enterprise_id": team.enterprise_id,
                    "team_id": team.id,
                    "user_id": installation.bot.id,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": shared,
            "event_context": self._world.identity("Ec"),
        }
