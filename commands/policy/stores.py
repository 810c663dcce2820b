"""Stores of permissions, settings and blocks, in one object."""

from __future__ import annotations

from dataclasses import dataclass, field

from commands.option_set import OptionSet
from commands.policy.audit import Audit
from commands.policy.blocks import Block, BlockStore
from commands.policy.erasures import ErasureStore
from commands.policy.operator_rules import EVERYWHERE, OperatorRules
from commands.policy.presets_store import PresetStore
from commands.policy.refused_requests import RefusedRequestStore
from commands.policy.settings import SettingSet
from commands.policy.settings_store import SettingsStore
from commands.policy.words_store import GuildWordStore
from inference.clock import Clock
from inference.store.sqlite.database import Database
from inference.store.sqlite.migrate import PackageMigrations

TABLES = PackageMigrations(name="commands", package="commands.policy")
"""The tables of the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Every store of rules."""

    known: SettingSet
    """The settings of this installation."""
    settings: SettingsStore
    presets: PresetStore
    refused_requests: RefusedRequestStore
    blocks: BlockStore
    words: GuildWordStore
    audit: Audit
    erasures: ErasureStore
    operator_rules: OperatorRules = field(default_factory=OperatorRules)

    async def block_of(self, tenant: str, person: str, everywhere: str) -> Block | None:
        """Return the block of a person, by an admin or by the operator.

        Args:
            tenant: Where they ask.
            person: Their id there.
            everywhere: Their name in all tenants.
        """
        own = await self.blocks.of(tenant, person)
        return own or await self.blocks.of(EVERYWHERE, everywhere)

    async def forget(self, tenant: str, person: str) -> None:
        """Delete a person's settings and presets, and their name in the audit log.

        A block stays: forgetting must not lift it.
        """
        await self.settings.forget(tenant, person)
        await self.presets.forget(tenant, person)
        await self.refused_requests.forget(tenant, person)
        await self.audit.forget(tenant, person)


def make_policy(
    database: Database,
    clock: Clock,
    options: OptionSet,
    operator_rules: OperatorRules | None = None,
) -> Policy:
    """Return all stores over one database.

    Args:
        database: Keeps them.
        clock: Dates changes.
        options: What may be set for a render here.
        operator_rules: What the operator's config says.
    """
    known = SettingSet(options)
    return Policy(
        known=known,
        settings=SettingsStore(database, clock, known),
        presets=PresetStore(database, clock, known),
        refused_requests=RefusedRequestStore(database, clock),
        blocks=BlockStore(database, clock),
        words=GuildWordStore(database, clock),
        audit=Audit(database),
        erasures=ErasureStore(database),
        operator_rules=operator_rules or OperatorRules(),
    )
