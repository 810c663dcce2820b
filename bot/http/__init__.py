"""HTTP as a platform: the videos API of OpenAI's clients, health and metrics."""

from __future__ import annotations

from bot.config.sections import Config
from bot.platform import Platform


def make(config: Config) -> Platform:
    """Make the platform; it serves at the address of `[http]`."""
    from bot.http.platform import HttpPlatform  # noqa: PLC0415 - not for who serves none

    return HttpPlatform(
        config.http,
        data_directory=config.bot.data_dir,
        files_seconds=config.retention.files_seconds,
    )
