"""Discord as a platform."""

from __future__ import annotations

from bot.config.sections import Config
from bot.platform import Platform


def make(config: Config) -> Platform | None:
    """Make the platform, or nothing where it has no token. Nothing connects before it runs."""
    token = config.discord.token
    if token is None:
        return None
    # The library is for those who use it.
    from bot.discord.platform import DiscordPlatform  # noqa: PLC0415

    return DiscordPlatform(
        config.discord, token.get_secret_value(), config.bot.data_dir / "discord-commands"
    )
