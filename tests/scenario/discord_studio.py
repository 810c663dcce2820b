"""Rushes on a Discord of its own, in this process: who is there, and what they wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.app import App, open_app
from bot.config.sources import load_config
from tests.fakes.discord import Channel, Guild, LoopbackDiscord, Message, Person
from tests.fakes.discord.entities import walk
from tests.scenario.discord_verdict import stem

SECONDS = 180.0
"""Patience with a busy machine."""


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for something that no message on Discord tells of."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - a file sets no event
            await asyncio.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A guild with one channel, a member and an admin, and the bot's data."""

    discord: LoopbackDiscord
    guild: Guild
    general: Channel
    alice: Person
    boss: Person
    directory: Path

    @contextlib.asynccontextmanager
    async def bot(
        self,
        *,
        section: dict | None = None,
        house: dict | None = None,
        installed: Sequence[str] = ("testcard",),
        **models,
    ) -> AsyncIterator[App]:
        """Run the bot for the length of the block; the data stays for the next one.

        Args:
            section: Further keys of `[discord]`.
            house: Further keys of `[bot]`.
            installed: Names of models.
            models: Keys of `[models.testcard]`.
        """
        config = load_config(
            None,
            overrides={
                "bot": {
                    "data_dir": self.directory,
                    "platforms": ["discord"],
                    **(house or {}),
                },
                "discord": {
                    "token": self.discord.token,
                    "api_base_url": self.discord.api_url,
                    "gateway_url": self.discord.gateway_url,
                    "cdn_hosts": [self.discord.cdn_host],
                    **(section or {}),
                },
                "models": {
                    "installed": list(installed),
                    "testcard": {"step_seconds": 0.01, "steps": 4, **models},
                },
                "queue": {"waiting_per_user": 5},
            },
        )
        async with open_app(config) as app:
            await self.discord.bot_ready()
            yield app

    async def clip(self, card: Message) -> Message:
        """Wait for the file in the thread of a card."""

        def brought() -> Message | None:
            if card.thread is None:
                return None
            clips = [m for m in self.discord.witness.in_channel(card.thread) if stem(m)]
            return clips[0] if clips else None

        return await self.discord.until(brought, SECONDS, "clip in its thread")

    async def delete(self, card: Message) -> None:
        """Let Alice delete a clip in the menu of its card, and say that she means it."""
        menus = [each for each in walk(card.components) if "options" in each]
        [delete] = [each["value"] for each in menus[0]["options"] if "delete" in each["value"]]
        asking = await self.alice.choose(card, menus[0]["custom_id"], delete).response()
        await self.alice.click(asking, "Delete").response()

    async def done(self, card: Message) -> None:
        """Wait until a card says that its clip is there."""
        await self.discord.until(lambda: "ready in" in card.text, SECONDS, "card done")


@contextlib.asynccontextmanager
async def installation(directory: Path) -> AsyncIterator[Installation]:
    """Yield a studio whose bot does not run yet; at the end nothing may have been forbidden."""
    async with LoopbackDiscord() as discord:
        guild = discord.add_guild("studio")
        yield Installation(
            discord=discord,
            guild=guild,
            general=discord.add_channel(guild, "general"),
            alice=discord.add_person("alice", guild),
            boss=discord.owner(guild),
            directory=directory,
        )
        assert discord.violations == [], "\n".join(discord.violations)
