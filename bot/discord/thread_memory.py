"""Limits how many threads discord.py keeps in memory: each job opens one."""

from __future__ import annotations

from collections import OrderedDict

import discord

KEPT = 200
"""Of the bot's own threads, the newest: they tell that a second message needs no new thread."""


def limit_threads(client: discord.Client) -> None:
    """Remove the bot's own threads but the newest from the cache; those of people stay."""
    guilds: OrderedDict[int, int] = OrderedDict()  # by the thread

    async def saw(thread: discord.Thread) -> None:
        if client.user is None or thread.owner_id != client.user.id:
            return
        guilds[thread.id] = thread.guild.id
        guilds.move_to_end(thread.id)
        while len(guilds) > KEPT:
            old, guild_id = guilds.popitem(last=False)
            guild = client.get_guild(guild_id)
            if guild is not None and (known := guild.get_thread(old)) is not None:
                guild._remove_thread(known)  # noqa: SLF001 - the library offers no other way

    for event in ("on_thread_create", "on_thread_join"):
        setattr(client, event, saw)
