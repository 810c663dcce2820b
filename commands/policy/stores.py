"""The stores of the rules that decide about a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from commands.policy.audit import Audit
from commands.policy.blocks import Block, BlockStore
from commands.policy.operator_rules import EVERYWHERE, OperatorRules
from commands.policy.presets_store import PresetStore
from commands.policy.settings_store import SettingsStore
from commands.policy.words_store import GuildWordStore
from inference.clock import Clock
from inference.store.sqlite.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a call is judged by."""

    settings: SettingsStore
    presets: PresetStore
    blocks: BlockStore
    words: GuildWordStore
    audit: Audit
    operator_rules: OperatorRules = field(default_factory=OperatorRules)

    async def block_of(self, tenant: str, person: str, everywhere: str) -> Block | None:
        """Return what keeps a person from making things: an admin's block, or the operator's.

        Args:
            tenant: Where they ask.
            person: Their id there.
            everywhere: Their name in all tenants.
        """
        own = await self.blocks.of(tenant, person)
        return own or await self.blocks.of(EVERYWHERE, everywhere)

    async def forget(self, tenant: str, person: str) -> None:
        """Delete what a person set for themselves, and their name where they changed things.

        A block stays: forgetting must not lift it.
        """
        await self.settings.forget(tenant, person)
        await self.presets.forget(tenant, person)
        await self.audit.forget(tenant, person)


def make_policy(
    database: Database, clock: Clock, operator_rules: OperatorRules | None = None
) -> Policy:
    """Put the rules together over one database, with what the operator's config says."""
    return Policy(
        settings=SettingsStore(database, clock),
        presets=PresetStore(database, clock),
        blocks=BlockStore(database, clock),
        words=GuildWordStore(database, clock),
        audit=Audit(database),
        operator_rules=operator_rules or OperatorRules(),
    )
