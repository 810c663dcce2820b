"""Discord as a platform."""

from __future__ import annotations

from bot.config import Config
from bot.platform import Platform
from inference.errors import UserError


def make(config: Config) -> Platform | None:
    """Make the platform, or nothing where it has no token."""
    if config.discord.token is None:
        return None
    raise UserError("config.platform_missing", name="discord")
