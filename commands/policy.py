"""The house rules of every guild in one place, and who changed them."""

from __future__ import annotations

from dataclasses import dataclass

from commands.audit import Audit
from commands.blocks import Blocks, BlockStore
from commands.presets_store import Presets, PresetStore
from commands.settings_store import Settings, SettingsStore
from commands.words_store import GuildWords, GuildWordStore
from inference.clock import Clock
from inference.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a call is judged by."""

    settings: Settings
    presets: Presets
    blocks: Blocks
    words: GuildWords
    audit: Audit

    async def forget(self, tenant: str, person: str) -> None:
        """Delete what a person set for themselves, and their name where they changed things.

        A block stays: forgetting must not lift it.
        """
        await self.settings.forget(tenant, person)
        await self.presets.forget(tenant, person)
        await self.audit.forget(tenant, person)


def make_policy(database: Database, clock: Clock) -> Policy:
    """Put the rules together over one database."""
    return Policy(
        settings=SettingsStore(database, clock),
        presets=PresetStore(database, clock),
        blocks=BlockStore(database, clock),
        words=GuildWordStore(database, clock),
        audit=Audit(database),
    )
