"""Closed places: what the bot knows, beyond Discord's answer, of how long a refusal will last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import discord

from bot.discord import access
from bot.discord.address import Address
from bot.discord.errors import LOCKED
from inference.domain.errors import DeliveryError
from inference.domain.job import Job

OUTAGE_SECONDS = 15.0
"""Between two looks whether a server is back."""


def check_outage(client: discord.Client, job: Job) -> None:
    """Do nothing in a server that Discord has lost for now: what seems to be gone comes back.

    Raises:
        DeliveryError: It is lost.
    """
    guild_id = Address(**job.address).guild
    guild = client.get_guild(guild_id) if guild_id is not None else None
    if guild is not None and guild.unavailable:
        raise DeliveryError(
            "delivery.unreachable", transient=True, retry_after=OUTAGE_SECONDS, unsent=True
        )


@contextlib.contextmanager
def refine_refusals(client: discord.Client, job: Job, *, thread: bool = False) -> Iterator[None]:
    """Correct `DeliveryError.passing` of what is raised inside the block.

    Args:
        client: Knows servers and channels.
        job: What is brought.
        thread: Whether the place is a thread of the job's own, opened in the channel that it was
            asked for in.

    Raises:
        DeliveryError: Also for a server that Discord has lost for now.
    """
    check_outage(client, job)
    try:
        yield
    except DeliveryError as error:
        if not error.transient:
            error.passing = _passing(client, Address(**job.address), error, thread=thread)
        raise


def _passing(
    client: discord.Client, address: Address, error: DeliveryError, *, thread: bool
) -> bool:
    guild = client.get_guild(address.guild) if address.guild is not None else None
    if guild is None:
        left = address.guild is not None and client.is_ready()  # nothing there opens again
        return error.passing and not left
    if not thread:
        return error.passing
    channel = guild.get_channel(address.channel)
    explained = error.params.get("reason") in LOCKED or (
        isinstance(channel, discord.TextChannel) and access.only_threads_are_closed(channel)
    )
    return error.passing and not explained
