"""Destinations of messages: replies to cards, direct messages, archived threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import discord
from discord.http import Route

from bot.discord.address import Posted
from bot.discord.errors import ARCHIVED

if TYPE_CHECKING:  # the library's own types import in a circle
    from discord.types.message import MessageReference as ReferencePayload

Result = TypeVar("Result")


class Reply(discord.MessageReference):
    """Reply to a card; a plain message where the card is gone."""

    def __init__(self, card: Posted) -> None:
        super().__init__(message_id=card.message, channel_id=card.channel)

    def to_message_reference_dict(self) -> ReferencePayload:
        """Return the JSON of the reply's message reference, with ids as text."""
        return {
            "message_id": str(self.message_id),
            "channel_id": str(self.channel_id),
            "fail_if_not_exists": False,
        }


async def direct(client: discord.Client, user: int) -> int:
    """Return the id of the channel of direct messages with a person.

    Raises:
        discord.HTTPException: They take none.
    """
    # Client.create_dm sends the id as a number, which Discord's description does not have.
    route = Route("POST", "/users/@me/channels")
    channel = await client.http.request(route, json={"recipient_id": str(user)})
    return int(channel["id"])


async def retry_unarchived(
    client: discord.Client, channel: int, work: Callable[[], Awaitable[Result]]
) -> Result:
    """Call a function for a channel; if that is an archived thread, unarchive it and retry.

    Raises:
        discord.HTTPException: It was refused for another reason, or the thread is locked.
    """
    try:
        return await work()
    except discord.HTTPException as error:
        if error.code != ARCHIVED:
            raise
    await client.http.edit_channel(channel, archived=False)
    return await work()
