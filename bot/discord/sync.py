"""Tells Discord the commands, but only when they are other than it knows: it counts."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.discord.commands import CatalogTranslator
from bot.discord.errors import UNREACHABLE
from inference.media.atomic import write_bytes

PAUSES = (1.0, 5.0, 30.0, 300.0)
"""Seconds between tries; the last one repeats."""

_log = structlog.get_logger(__name__)


async def keep_synced(
    tree: app_commands.CommandTree[Any], guilds: Sequence[int], memory: Path
) -> None:
    """Bring Discord's commands up to date, trying until it takes them.

    Args:
        tree: All commands.
        guilds: Where they are to be; everywhere if empty.
        memory: File that keeps the fingerprint of what was told last.
    """
    await tree.set_translator(CatalogTranslator())
    told = fingerprint(await payload(tree), tree.client.application_id or 0, guilds)
    if await asyncio.to_thread(_remembered, memory) == told:
        return
    for guild in guilds:
        tree.copy_global_to(guild=discord.Object(guild))
    for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
        if await _told(tree, guilds):
            break
        await asyncio.sleep(pause)
    await asyncio.to_thread(write_bytes, memory, told.encode())
    _log.info("discord.synced", guilds=list(guilds))


async def _told(tree: app_commands.CommandTree[Any], guilds: Sequence[int]) -> bool:
    try:
        for guild in guilds:
            await tree.sync(guild=discord.Object(guild))
        if not guilds:
            await tree.sync()
    except (discord.DiscordException, *UNREACHABLE) as error:
        _log.warning("discord.sync_failed", error=str(error))
        return False
    return True


async def payload(tree: app_commands.CommandTree[Any]) -> list[dict[str, Any]]:
    """Return the commands as Discord is told them."""
    translator = tree.translator
    commands = [
        *tree.get_commands(type=discord.AppCommandType.chat_input),
        *tree.get_commands(type=discord.AppCommandType.message),
    ]
    if translator is None:
        return [command.to_dict(tree) for command in commands]
    return [await command.get_translated_payload(tree, translator) for command in commands]


def fingerprint(commands: Sequence[dict[str, Any]], application: int, guilds: Sequence[int]) -> str:
    """Return what is equal exactly if the same commands go to the same places."""
    told = json.dumps([commands, application, sorted(guilds)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _remembered(memory: Path) -> str | None:
    try:
        return memory.read_text(encoding="ascii")
    except (FileNotFoundError, ValueError):
        return None
