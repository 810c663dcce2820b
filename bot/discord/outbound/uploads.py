"""Opens files for upload to Discord in a thread; aiohttp reads them in one too."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import discord

from bot.discord.outbound.render import FILE_DESCRIPTION_LENGTH, PREVIEW_NAME
from commands.text.card import Attachment
from inference.domain.untrusted_text import cut


async def clip(attachment: Attachment) -> discord.File:
    """Open the file of a card."""
    return await asyncio.to_thread(
        discord.File,
        attachment.path,
        filename=attachment.name,
        description=cut(attachment.description, FILE_DESCRIPTION_LENGTH),
        spoiler=attachment.spoiler,
    )


async def preview(path: Path | None) -> discord.File | None:
    """Read the picture of a card; None if it has none or the file is gone.

    It is small, and bytes leave no file open when the edit is cancelled meanwhile.
    """
    if path is None:
        return None
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return None
    return discord.File(io.BytesIO(data), filename=PREVIEW_NAME)
