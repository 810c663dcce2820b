"""What people saw, what the bot asked for, and how fast it was."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.fakes.discord.entities import Channel, Message, User

if TYPE_CHECKING:
    from tests.fakes.discord.api import Api, Seen
    from tests.fakes.discord.interactions import Interactions
    from tests.fakes.discord.world import World

SILLY_EDITS = 10
"""Edits of one message within `SILLY_SECONDS` that nobody can read."""

SILLY_SECONDS = 15.0


class Witness:
    """Everything in the order in which people saw it; nothing here changes anything."""

    def __init__(self, world: World, interactions: Interactions, api: Api) -> None:
        self._world = world
        self._interactions = interactions
        self._api = api

    @property
    def messages(self) -> list[Message]:
        """Return the bot's messages that everybody in their channel sees now."""
        return [
            message
            for message in self._world.messages
            if message.author is self._world.bot
            and not message.deleted
            and message.visible_to is None
            and not message.channel.deleted
        ]

    def shown_to(self, user: User) -> list[Message]:
        """Return the messages that only this person sees."""
        return [m for m in self._world.ephemeral if m.visible_to is user and not m.deleted]

    def in_channel(self, channel: Channel) -> list[Message]:
        """Return the bot's messages in a channel or thread."""
        return [message for message in self.messages if message.channel is channel]

    def pings(self, user: User) -> list[Message]:
        """Return the messages that notified a person, deleted ones too."""
        return [message for message in self._world.messages if user.id in message.pings]

    @property
    def requests(self) -> list[Seen]:
        """Return every HTTP request, in order."""
        return self._api.requests

    @property
    def invalid_requests(self) -> Counter[int]:
        """Count answers that count towards a ban: 401, 403, and 429 that was not shared."""
        counted: Counter[int] = Counter()
        for seen in self.requests:
            shared = seen.trouble is not None and seen.trouble.scope == "shared"
            if seen.status in {401, 403} or (seen.status == 429 and not shared):
                counted[seen.status] += 1
        return counted

    @property
    def dead_token_uses(self) -> list[str]:
        """Return what came with a dead or spent interaction token, in words."""
        return self._interactions.dead_token_uses

    @property
    def latencies(self) -> list[float]:
        """Return the seconds from each interaction's event to its callback, sorted.

        Callbacks that ran into a trouble of ours are left out: their time is ours.
        """
        spoilt = {
            seen.path.split("/")[2]
            for seen in self.requests
            if seen.trouble is not None and seen.path.startswith("/interactions/")
        }
        return sorted(
            interaction.latency
            for interaction in self._interactions
            if interaction.latency is not None and str(interaction.id) not in spoilt
        )

    def latency(self, share: float) -> float:
        """Return a percentile of the latencies, such as 0.99; 0 without any."""
        latencies = self.latencies
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else 0.0

    @property
    def silly_edits(self) -> list[str]:
        """Return the messages that were edited faster than anybody reads, in words."""
        found = []
        for message in self._world.messages:
            times = [state.at for state in message.states[1:]]
            fastest = [
                later - earlier
                for earlier, later in zip(times, times[SILLY_EDITS - 1 :], strict=False)
            ]
            if fastest and min(fastest) < SILLY_SECONDS:
                found.append(f"message {message.id}: {SILLY_EDITS} edits in {min(fastest):.1f} s")
        return found
