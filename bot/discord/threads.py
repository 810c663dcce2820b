"""Threads: one for each card, named after its prompt; and those that Discord put to sleep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import discord

from bot.discord.address import Posted
from bot.discord.errors import ARCHIVED, THREAD_EXISTS
from bot.discord.markdown import cut

NAME_LENGTH = 100

SLEEPS_AFTER: Literal[1440] = 1440
"""Minutes without a message after which Discord hides a thread."""

Result = TypeVar("Result")


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
