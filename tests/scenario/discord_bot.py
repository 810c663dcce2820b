"""The bot as a process of its own, on a loopback Discord: started, killed, stopped, counted."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.discord import LoopbackDiscord
from tests.fakes.rushes_process import RushesProcess, inherited

_CONFIG = """
[bot]
data_dir = "{data}"
platforms = ["discord"]
[discord]
token = "{token}"
api_base_url = "{api}"
gateway_url = "{gateway}"
cdn_hosts = ["{cdn}"]
[models]
installed = ["testcard"]
[models.testcard]
step_seconds = 0.01
steps = 4
[queue]
waiting_per_guild = 20
waiting_per_user = 10
waiting_total = 400
"""


class BotProcess(RushesProcess):
    """`rushes run` over one data directory.

    Args:
        directory: For configuration, log and data; it has to exist.
        discord: Where the bot lives.
    """

    def __init__(self, directory: Path, discord: LoopbackDiscord) -> None:
        config = _CONFIG.format(
            data=directory / "data",
            token=discord.token,
            api=discord.api_url,
            gateway=discord.gateway_url,
            cdn=discord.cdn_host,
        )
        super().__init__(directory, config)
        self.kills: list[float] = []
        """When it was killed; Unix seconds."""
        self._discord = discord

    async def start(self) -> None:
        """Start it, and return at once."""
        await self.launch(inherited())

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.running.kill()
        await self.running.wait()
        self.kills.append(self._discord.clock.now())
