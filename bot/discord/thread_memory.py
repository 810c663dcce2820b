"""Limits how many threads discord.py keeps in memory: each job opens one."""

from __future__ import annotations

from collections import OrderedDict

import discord

KEPT = 200
"""Of the bot's own threads, the newest: they tell that a second message needs no new thread."""


class ThreadMemory:
    """Removes the bot's own threads but the newest from the cache; those of people stay."""

    def __init__(self, client: discord.Client, kept: int = KEPT) -> None:
        self._client = client
        self._kept = kept
        self._own: OrderedDict[int, int] = OrderedDict()
        """Thread -> guild."""

    def install(self) -> None:
        """Listen to the events of the client about threads."""

        async def saw(thread: discord.Thread) -> None:
            self._saw(thread)

        for event in ("on_thread_create", "on_thread_join"):
            setattr(self._client, event, saw)

    def _saw(self, thread: discord.Thread) -> None:
        user = self._client.user
        if user is None or thread.owner_id != user.id:
            return
        self._own[thread.id] = thread.guild.id
        self._own.move_to_end(thread.id)
        while len(self._own) > self._kept:
            old, guild_id = self._own.popitem(last=False)
            guild = self._client.get_guild(guild_id)
            known = None if guild is None else guild.get_thread(old)
            if guild is not None and known is not None:
                guild._remove_thread(known)  # noqa: SLF001 - the library offers no other way
