"""The URL with which a guild's admin invites the bot, with exactly the permissions it uses."""

from __future__ import annotations

import base64

import discord

from bot.config.sections import DiscordSection
from bot.discord.access import USED
from inference.domain.errors import UserError

SCOPES = ("bot", "applications.commands")


def invitation(section: DiscordSection) -> str:
    """Return the address for the application that the token is for, without asking Discord.

    Raises:
        UserError: `discord.no_token`, or `discord.token_malformed`.
    """
    if section.token is None:
        raise UserError("discord.no_token")
    return address(application_of(section.token.get_secret_value()))


def application_of(token: str) -> int:
    """Return the id of a token's application: its first part is the bot's id in base64.

    The ids of bot and application differ only for bots from before 2016.

    Raises:
        UserError: `discord.token_malformed`.
    """
    first, *others = token.split(".")
    try:
        written = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode("ascii")
    except ValueError:
        written = ""
    if len(others) != 2 or not written.isdecimal():  # noqa: PLR2004 - time and signature
        raise UserError("discord.token_malformed")
    return int(written)


def address(application: int) -> str:
    """Return the address for an application."""
    return discord.utils.oauth_url(application, permissions=USED, scopes=SCOPES)
