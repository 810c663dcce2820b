"""Tells Discord the commands, but only when they are other than it knows: it counts."""

from __future__ import annotations

import asyncio
import hashlib
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

_log = structlog.get_logger(__name__)


async def sync(tree: app_commands.CommandTree[Any], guilds: Sequence[int], memory: Path) -> None:
    """Bring Discord's commands up to date; a failure is logged, and tried again at the next start.

    Args:
        tree: All commands.
        guilds: Where they are to be; everywhere if empty.
        memory: File that keeps the fingerprint of what was told last.
    """
    await tree.set_translator(CatalogTranslator())
    told = fingerprint(await payload(tree), tree.client.application_id or 0, guilds)
    if await asyncio.to_thread(_remembered, memory) == told:
        return
    try:
        for guild in guilds:
            target = discord.Object(guild)
            tree.copy_global_to(guild=target)
            await tree.sync(guild=target)
        if not guilds:
            await tree.sync()
    except (discord.DiscordException, *UNREACHABLE) as error:
        _log.warning("discord.sync_failed", error=str(error))
        return
    await asyncio.to_thread(write_bytes, memory, told.encode())
    _log.info("discord.synced", guilds=list(guilds))


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
