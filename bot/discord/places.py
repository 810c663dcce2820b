"""Where messages go: threads, one for each card; replies to cards; direct messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, TypeVar

import discord
from discord.http import Route

from bot.discord.address import Posted
from bot.discord.errors import ARCHIVED, THREAD_EXISTS
from bot.discord.markdown import cut

if TYPE_CHECKING:  # the library's own types import in a circle
    from discord.types.message import MessageReference as ReferencePayload

NAME_LENGTH = 100

SLEEPS_AFTER: Literal[1440] = 1440
"""Minutes without a message after which Discord hides a thread."""

Result = TypeVar("Result")


class Reply(discord.MessageReference):
    """Shows to which card a message belongs; without it where that is gone."""

    def __init__(self, card: Posted) -> None:
        super().__init__(message_id=card.message, channel_id=card.channel)

    def to_message_reference_dict(self) -> ReferencePayload:
        """Return what is sent: ids as text, as Discord describes them."""
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


async def open_thread(client: discord.Client, card: Posted, prompt: str) -> int:
    """Return the id of the thread of a card, which is opened if it is not there.

    Raises:
        discord.HTTPException: No thread can be opened there.
    """
    try:
        await client.http.start_thread_with_message(
            card.channel, card.message, name=name(prompt), auto_archive_duration=SLEEPS_AFTER
        )
    except discord.HTTPException as error:
        if error.code != THREAD_EXISTS:
            raise
    return card.message  # a message and the thread opened from it have the same id


def name(prompt: str) -> str:
    """Return the name of a thread for a prompt."""
    return cut(" ".join(prompt.split()), NAME_LENGTH) or "…"


async def awake(
    client: discord.Client, channel: int, work: Callable[[], Awaitable[Result]]
) -> Result:
    """Do something in a channel; if that is a thread that sleeps, wake it first.

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
