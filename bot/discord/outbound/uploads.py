"""Files on their way to Discord: opened off the event loop; aiohttp reads them off it too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import discord

from bot.discord.outbound.markdown import cut
from bot.discord.outbound.render import FILE_DESCRIPTION_LENGTH, PREVIEW_NAME
from commands.text.card import Attachment


async def clip(attachment: Attachment) -> discord.File:
    """Open the file that a card brings."""
    return await asyncio.to_thread(
        discord.File,
        attachment.path,
        filename=attachment.name,
        description=cut(attachment.description, FILE_DESCRIPTION_LENGTH),
        spoiler=attachment.spoiler,
    )


async def preview(path: Path | None) -> discord.File | None:
    """Open the still of a running job; None where there is none (any more)."""
    if path is None:
        return None
    try:
        return await asyncio.to_thread(discord.File, path, filename=PREVIEW_NAME)
    except FileNotFoundError:
        return None
