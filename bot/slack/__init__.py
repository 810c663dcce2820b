"""Slack as a platform."""

from __future__ import annotations

from bot.config.sections import Config
from bot.platform import Platform


def make(config: Config) -> Platform | None:
    """Make the platform, or nothing where it has neither a token nor OAuth."""
    from bot.slack.platform import SlackPlatform  # noqa: PLC0415 - not for who has no Slack

    if config.slack.bot_token is None and config.slack.client_id is None:
        return None
    return SlackPlatform(config.slack)
