"""Store of settings, with a cache that is invalidated by each change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass

import aiosqlite
import structlog

from commands.policy.audit import Entry, record
from commands.policy.settings import Rules, Scope, Setting, SettingSet, Stored
from commands.policy.settings_values import restore_setting
from inference.clock import Clock
from inference.domain.job import Requester
from inference.store.codec.quarantine import take_out
from inference.store.sqlite.database import Database, Work
from inference.store.sqlite.undecodable import UndecodableText

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Change of one setting: a new value, or its reset."""

    scope: Scope
    subject: str = ""
    """Channel or person; empty for the guild."""
    setting: Setting
    value: Stored | None
    """Checked; None takes it back."""


_Kept = dict[tuple[Scope, str], dict[str, Stored]]


@dataclass(slots=True)
class _Cached:
    """One guild's settings, and how often they were changed in this process."""

    generation: int = 0
    kept: _Kept | None = None


class SettingsStore:
    """The table `settings`, owned by this process alone (see `inference.store.data_directory`)."""

    def __init__(self, database: Database, clock: Clock, known: SettingSet) -> None:
        self._database = database
        self._clock = clock
        self._known = known
        self._cache: dict[str, _Cached] = {}

    async def rules(self, tenant: str, *, channel: str, person: str) -> Rules:
        """Return the settings in force for a person in a channel."""
        kept = await self._load_tenant(tenant)
        return Rules(
            guild=kept.get((Scope.GUILD, ""), {}),
            channel=kept.get((Scope.CHANNEL, channel), {}),
            user=kept.get((Scope.USER, person), {}),
        )

    async def change(self, tenant: str, changes: Iterable[Change], actor: Requester) -> None:
        """Apply all changes or none; those of guild and channels are audited."""
        wanted = tuple(changes)

        async def work(connection: aiosqlite.Connection) -> None:
            for change in wanted:
                await self._write(connection, tenant, change, actor)

        # A caller that is cancelled has still asked: the cache must be invalidated.
        await asyncio.shield(self._rewrite(tenant, work))

    async def personal(self, tenant: str, person: str) -> dict[str, str]:
        """Return a person's own settings by key, as stored."""
        rows = await self._database.read(
            "SELECT key, value FROM settings WHERE tenant = ? AND scope = ? AND subject = ?",
            (tenant, Scope.USER.value, person),
        )
        return {row["key"]: row["value"] for row in rows}

    async def forget(self, tenant: str, person: str) -> None:
        """Delete a person's own settings."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM settings WHERE tenant = ? AND scope = ? AND subject = ?",
                (tenant, Scope.USER.value, person),
            )

        await asyncio.shield(self._rewrite(tenant, work))

    async def _rewrite(self, tenant: str, work: Work[None]) -> None:
        cached = self._cache.setdefault(tenant, _Cached())
        try:
            await self._database.write("settings", work)
        finally:
            cached.generation += 1
            cached.kept = None

    async def _write(
        self, connection: aiosqlite.Connection, tenant: str, change: Change, actor: Requester
    ) -> None:
        place = (tenant, change.scope.value, change.subject, change.setting.key)
        rows = await connection.execute_fetchall(
            "SELECT value FROM settings WHERE tenant = ? AND scope = ? AND subject = ? AND key = ?",
            place,
        )
        before = next((json.loads(row["value"]) for row in rows if _is_json(row["value"])), None)
        if before == change.value:
            return
        if change.value is None:
            await connection.execute(
                "DELETE FROM settings WHERE tenant = ? AND scope = ? AND subject = ? AND key = ?",
                place,
            )
        else:
            await connection.execute(
                "INSERT INTO settings (tenant, scope, subject, key, value)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, scope, subject, key)"
                " DO UPDATE SET value = excluded.value",
                (*place, json.dumps(change.value)),
            )
        if change.scope is not Scope.USER:  # a person's own preferences are private
            entry = Entry(
                tenant=tenant,
                at=self._clock.now(),
                actor=actor,
                scope=change.scope.value,
                subject=change.subject,
                key=change.setting.key,
                before=before,
                after=change.value,
            )
            await record(connection, entry)

    async def _load_tenant(self, tenant: str) -> _Kept:
        cached = self._cache.setdefault(tenant, _Cached())
        if cached.kept is not None:
            return cached.kept
        generation = cached.generation
        rows = await self._database.read(
            "SELECT scope, subject, key, value FROM settings WHERE tenant = ?", (tenant,)
        )
        sound = [row for row in rows if _is_readable(row)]
        for row in rows:
            if row not in sound:
                place = {name: row[name] for name in ("scope", "subject", "key")}
                await take_out(
                    self._database,
                    "settings",
                    {"tenant": tenant, **place},
                    "value",
                    self._clock.now(),
                )
        kept = self._group_by_scope(sound)
        # A change during the read makes the result stale: it is used for this call only.
        if generation == cached.generation:
            cached.kept = kept
        return kept

    def _group_by_scope(self, rows: Iterable[aiosqlite.Row]) -> _Kept:
        """Group rows by scope and subject, without settings that this version does not know."""
        kept: _Kept = {}
        for row in rows:
            setting, scope = self._known.by_key.get(row["key"]), Scope(row["scope"])
            value = None
            if setting is not None and scope in setting.scopes:
                value = _restore(setting, json.loads(row["value"]))
            if setting is None or value is None:
                _log.warning("setting.ignored", key=row["key"])
                continue
            kept.setdefault((scope, row["subject"]), {})[setting.key] = value
        return kept


def _is_json(value: object) -> bool:
    try:
        json.loads(value)  # type: ignore[arg-type]  # of any type, in a damaged row
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _is_readable(row: aiosqlite.Row) -> bool:
    try:
        Scope(row["scope"])
    except ValueError:
        return False
    return _is_json(row["value"]) and not any(isinstance(value, UndecodableText) for value in row)


def _restore(setting: Setting, value: Stored) -> Stored | None:
    try:
        return restore_setting(setting, value)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None  # of another shape than the setting's
