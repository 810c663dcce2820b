"""Store of presets: named options of a person or a guild."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiosqlite

from commands.policy.audit import Entry, record
from commands.policy.settings import SettingSet
from commands.policy.settings_values import restore_options
from commands.schema import Value
from inference.clock import Clock
from inference.domain.job import Requester
from inference.store.sqlite.database import Database

EVERYBODY = ""
"""The owner of a guild's presets."""

MAXIMUM_PRESETS = 50
"""The limit of one owner: more would not fit into a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A preset: options by name."""

    owner: str
    """A person's id, or `EVERYBODY`."""
    name: str
    options: Mapping[str, Value]
    missing: tuple[str, ...] = ()
    """Options that it has and nothing here knows any more: their plugin or model is gone."""


_Options = dict[str, Value] | None


class PresetStore:
    """The table `presets`."""

    def __init__(self, database: Database, clock: Clock, known: SettingSet) -> None:
        self._database = database
        self._clock = clock
        self._known = known

    async def save(self, tenant: str, preset: Preset, actor: Requester) -> bool:
        """Save a preset, in place of one with its name; False when there are too many."""

        async def work(connection: aiosqlite.Connection) -> bool:
            before = await self._options(connection, tenant, preset.owner, preset.name)
            [(count,)] = await connection.execute_fetchall(
                "SELECT count(*) FROM presets WHERE tenant = ? AND owner = ?",
                (tenant, preset.owner),
            )
            if before is None and count >= MAXIMUM_PRESETS:
                return False
            await connection.execute(
                "INSERT OR REPLACE INTO presets (tenant, owner, name, options) VALUES (?, ?, ?, ?)",
                (tenant, preset.owner, preset.name, json.dumps(dict(preset.options))),
            )
            if preset.owner == EVERYBODY:  # a person's own preferences are private
                entry = self._entry(
                    tenant, preset.name, actor, before=before, after=dict(preset.options)
                )
                await record(connection, entry)
            return True

        return await self._database.write("preset", work)

    async def visible(self, tenant: str, person: str) -> list[Preset]:
        """Return a person's own presets and the guild's, by name, own ones first."""
        rows = await self._database.read(
            "SELECT owner, name, options FROM presets WHERE tenant = ? AND owner IN (?, ?)"
            " ORDER BY owner = ?, name",
            (tenant, person, EVERYBODY, EVERYBODY),
        )
        return [
            Preset(
                owner=row["owner"],
                name=row["name"],
                options=self._restore(row["options"]),
                missing=self._missing(row["options"]),
            )
            for row in rows
        ]

    async def delete(self, tenant: str, owner: str, name: str, actor: Requester) -> bool:
        """Delete a preset; return whether it was there."""

        async def work(connection: aiosqlite.Connection) -> bool:
            before = await self._options(connection, tenant, owner, name)
            await connection.execute(
                "DELETE FROM presets WHERE tenant = ? AND owner = ? AND name = ?",
                (tenant, owner, name),
            )
            if owner == EVERYBODY and before is not None:
                entry = self._entry(tenant, name, actor, before=before, after=None)
                await record(connection, entry)
            return before is not None

        return await self._database.write("preset", work)

    async def forget(self, tenant: str, person: str) -> None:
        """Delete a person's own presets."""
        await self._database.execute(
            "forget_presets", "DELETE FROM presets WHERE tenant = ? AND owner = ?", (tenant, person)
        )

    def _entry(
        self, tenant: str, name: str, actor: Requester, *, before: _Options, after: _Options
    ) -> Entry:
        return Entry(
            tenant=tenant,
            at=self._clock.now(),
            actor=actor,
            scope="preset",
            subject=name,
            key="preset",
            before=before,
            after=after,
        )

    def _restore(self, stored: str) -> dict[str, Value]:
        """Return the options of a stored preset, without those that are no longer legal."""
        try:
            return restore_options(json.loads(stored), self._known)
        except (ValueError, TypeError, RecursionError):  # damaged
            return {}

    def _missing(self, stored: str) -> tuple[str, ...]:
        try:
            found = json.loads(stored)
        except (ValueError, RecursionError):  # damaged
            return ()
        names = found if isinstance(found, dict) else {}
        return tuple(name for name in names if name not in self._known.defaults)

    async def _options(
        self, connection: aiosqlite.Connection, tenant: str, owner: str, name: str
    ) -> _Options:
        rows = await connection.execute_fetchall(
            "SELECT options FROM presets WHERE tenant = ? AND owner = ? AND name = ?",
            (tenant, owner, name),
        )
        return next((self._restore(row["options"]) for row in rows), None)
