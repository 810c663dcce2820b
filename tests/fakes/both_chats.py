"""Configuration of Rushes with the loopback Discord and the loopback Slack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.config.sections import Config
from bot.config.sources import load_config
from tests.fakes.discord import LoopbackDiscord
from tests.fakes.slack import LoopbackSlack


def both_chats(
    directory: Path, discord: LoopbackDiscord, slack: LoopbackSlack, token: str, **sections: Any
) -> Config:
    """Return the configuration.

    Args:
        directory: Of the data.
        discord: Of the one guild.
        slack: Of the workspace.
        token: Of the bot there.
        sections: Further ones of the config.
    """
    return load_config(
        None,
        overrides={
            "bot": {"data_dir": directory, "platforms": ["slack", "discord"]},
            "discord": {
                "token": discord.token,
                "api_base_url": discord.api_url,
                "gateway_url": discord.gateway_url,
                "cdn_hosts": [discord.cdn_host],
            },
            "slack": {
                "app_token": slack.app_token,
                "bot_token": token,
                "api_base_url": slack.api_base_url,
            },
            **sections,
        },
    )
