"""The address at which a guild's admin invites the bot, with exactly what it uses."""

from __future__ import annotations

import discord

from bot.config.sections import DiscordSection
from bot.discord.access import USED
from bot.discord.connection import logged_in
from inference.domain.errors import UserError

SCOPES = ("bot", "applications.commands")


async def invitation(section: DiscordSection) -> str:
    """Ask Discord which application the token is for, and return its address.

    Raises:
        UserError: `config.no_token` or `discord.token_rejected`.
    """
    if section.token is None:
        raise UserError("config.no_token")
    async with logged_in(section, section.token.get_secret_value()) as client:
        return address(client.application_id or 0)


def address(application: int) -> str:
    """Return the address for an application."""
    return discord.utils.oauth_url(application, permissions=USED, scopes=SCOPES)
