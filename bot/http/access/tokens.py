"""Tokens of the HTTP API: each belongs to a tenant and a person.

A token is `rsh_<id>_<secret>`. The secret has 256 random bits, so its SHA-256 needs no salt and no
slow hash; only the hash is stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from commands.caller import Caller
from commands.policy.settings import OF_ROLES
from inference.domain.errors import NotFound, StoreError, UserError
from inference.store.maintenance import DATABASE_NAME
from inference.store.sqlite.database import Database, open_database
from inference.store.sqlite.diagnosis import translate_sqlite_errors
from inference.store.sqlite.migrate import PackageMigrations

TABLES = PackageMigrations(name="http", package="bot.http")

COMMAND_LINE = "terminal"
"""Platform whose guilds the command line knows by name."""

SECONDS_PER_DAY = 86_400.0

BUSY_SECONDS = 10.0
"""How long a command waits while the running Rushes writes."""

MAX_NAME = 64

_FORM = re.compile(r"rsh_(?P<id>[a-z2-7]{10})_(?P<secret>[A-Za-z0-9_-]{43})")
_EXPIRY = re.compile(r"(?P<number>[1-9]\d{0,4})(?P<unit>[hdw])")
_UNITS = {"h": SECONDS_PER_DAY / 24, "d": SECONDS_PER_DAY, "w": 7 * SECONDS_PER_DAY}
_CHAT_TENANT = re.compile(r"discord:\d+|slack:[A-Z][A-Z0-9]*")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_NOBODY = hashlib.sha256(b"").hexdigest()
"""Compared with where there is no such token, so that the answer takes the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is stored."""

    id: str
    """Its public part."""
    hash: str
    tenant: str
    name: str
    person: str
    """Id of the requester in the tenant."""
    everywhere: str
    """The same human in all tenants: caps and cooldown count by it."""
    roles: frozenset[str]
    created_at: float
    """Unix seconds, as all times here."""
    expires_at: float | None
    revoked_at: float | None = None

    def valid(self, now: float) -> bool:
        """Whether it is valid at a time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def caller(self) -> Caller:
        """The caller that it stands for."""
        return Caller(id=self.person, name=self.name, person=self.everywhere, roles=self.roles)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Rebuild a token from its row."""
        roles = frozenset(json.loads(row["roles"]))
        return cls(**{**{name: row[name] for name in cls.__slots__}, "roles": roles})


async def find(database: Database, presented: str, now: float) -> Token | None:
    """Return the stored token of a presented one, if it is valid now.

    The work is the same for an unknown, a wrong, an expired and a valid one.
    """
    match = _FORM.fullmatch(presented)
    key, secret = (match["id"], match["secret"]) if match else ("", presented)
    rows = await database.read("SELECT * FROM http_tokens WHERE id = ?", (key,))
    known = Token.from_row(dict(rows[0])) if rows else None
    same = hmac.compare_digest(_hash(secret), _NOBODY if known is None else known.hash)
    return known if known is not None and same and known.valid(now) else None


async def valid_among(database: Database, keys: Iterable[str], now: float) -> set[str]:
    """Return the ids of tokens that are valid now."""
    rows = await database.read(
        "SELECT id FROM http_tokens WHERE id IN (SELECT value FROM json_each(?))"
        " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        (json.dumps(list(keys)), now),
    )
    return {row["id"] for row in rows}


async def webhook_of(database: Database, key: str, now: float) -> tuple[str, str] | None:
    """Return the webhook of a token that is valid now, and the secret that signs it."""
    rows = await database.read(
        "SELECT webhook_url, webhook_secret FROM http_tokens WHERE id = ? AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > ?) AND webhook_secret IS NOT NULL",
        (key, now),
    )
    return (rows[0]["webhook_url"], rows[0]["webhook_secret"]) if rows else None


# -- for the command line --------------------------------------------------------------------


class TokenTable:
    """The table `http_tokens`, for the command line. Made by `open_tokens`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def create(
        self,
        *,
        guild: str,
        name: str,
        person: str | None,
        roles: frozenset[str],
        expires: str | None,
        now: float,
        webhook: tuple[str, str] | None = None,
    ) -> str:
        """Store a new token and return it; it cannot be read again.

        Args:
            guild: One of the terminal by name, or the tenant of a chat such as `discord:42`.
            name: What people see; there is one valid token of a name in a guild.
            person: Whose it is, by their id in the guild; the token is its own person without.
            roles: Of the person, as the guild's settings know them.
            expires: After which time, such as `90d`; None for never.
            now: Unix seconds.
            webhook: Where its owner is told of ended jobs, and the secret that signs it.

        Raises:
            UserError: `token.*`.
        """
        tenant = parse_tenant(guild)
        if not _plain(name):
            raise UserError("token.name", limit=MAX_NAME)
        if person is not None and not _plain(person):
            raise UserError("token.person", limit=MAX_NAME)
        if not all(map(_plain, roles)):
            raise UserError("token.role", limit=MAX_NAME)
        lifetime = None if expires is None else seconds_of(expires)
        key = "".join(secrets.choice(_ALPHABET) for _ in range(10))
        secret = secrets.token_urlsafe(32)
        row = {
            "id": key,
            "hash": _hash(secret),
            "tenant": tenant,
            "name": name.strip(),
            "person": person or name.strip(),
            "everywhere": _everywhere(tenant, name.strip(), person),
            "roles": json.dumps(sorted(roles)),
            "created_at": now,
            "expires_at": None if lifetime is None else now + lifetime,
            "webhook_url": webhook and webhook[0],
            "webhook_secret": webhook and webhook[1],
        }
        columns, marks = ", ".join(row), ", ".join(f":{column}" for column in row)
        with self._connection:
            # An expired one makes room for its successor.
            self._connection.execute(
                "UPDATE http_tokens SET revoked_at = :now WHERE tenant = :tenant AND name = :name"
                " AND revoked_at IS NULL AND expires_at <= :now",
                {"now": now, "tenant": tenant, "name": row["name"]},
            )
            try:
                self._connection.execute(
                    f"INSERT INTO http_tokens ({columns}) VALUES ({marks})",  # noqa: S608 - ours
                    row,
                )
            except sqlite3.IntegrityError as error:
                raise UserError("token.exists", name=row["name"]) from error
        return f"rsh_{key}_{secret}"

    def find_roles(self, guild: str) -> dict[str, list[str]]:
        """Return the keys of the settings of a guild that name a role, by its roles."""
        found: dict[str, set[str]] = {}
        tables = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'")
        if tables.fetchone() is None:  # Rushes has never run
            return {}
        rows = self._connection.execute(
            "SELECT key, value FROM settings WHERE tenant = ? ORDER BY key", (parse_tenant(guild),)
        )
        keys = {setting.key for setting in OF_ROLES}
        for key, value in rows:
            for role in json.loads(value) if key in keys else ():
                found.setdefault(str(role), set()).add(key)
        return {role: sorted(keys) for role, keys in sorted(found.items())}

    def all(self) -> list[Token]:
        """Return every token, the oldest first."""
        rows = self._connection.execute("SELECT * FROM http_tokens ORDER BY created_at")
        return [Token.from_row(dict(row)) for row in rows]

    def revoke(self, key: str, now: float) -> Token:
        """Revoke a token and return it; repeating that is fine.

        Raises:
            NotFound: `token.unknown`.
        """
        match = _FORM.fullmatch(key)  # the whole token may be pasted
        wanted = match["id"] if match else key
        with self._connection:
            rows = self._connection.execute(
                "UPDATE http_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?"
                " RETURNING *",
                (now, wanted),
            ).fetchall()
        if not rows:
            raise NotFound("token.unknown", token=wanted)
        return Token.from_row(dict(rows[0]))


async def prepare(data_directory: Path) -> None:
    """Make the database and the table where they are not there yet; no Rushes may be running."""
    async with open_database(data_directory / DATABASE_NAME, TABLES):
        pass


@contextlib.contextmanager
def open_tokens(data_directory: Path) -> Iterator[TokenTable]:
    """Open the table, also while a Rushes is running.

    Raises:
        UserError: `token.no_table`: an older Rushes is running.
        StoreError: The disk or the file does not let it be used.
    """
    path = data_directory / DATABASE_NAME
    with (
        translate_sqlite_errors(path),
        contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as opened,
    ):
        opened.row_factory = sqlite3.Row
        opened.execute("PRAGMA synchronous = FULL")
        found = opened.execute("SELECT 1 FROM sqlite_schema WHERE name = 'http_tokens'").fetchone()
        if found is None:
            raise StoreError("token.no_table")
        yield TokenTable(opened)


def parse_tenant(guild: str) -> str:
    """Return the tenant that a guild means on the command line.

    Raises:
        UserError: `token.guild`.
    """
    if _CHAT_TENANT.fullmatch(guild):
        return guild
    if not guild.isprintable() or not 0 < len(guild) <= MAX_NAME or ":" in guild:
        raise UserError("token.guild", guild=guild)
    return f"{COMMAND_LINE}:{guild}"


def seconds_of(expires: str) -> float:
    """Return the seconds of a time such as `12h`, `90d` or `4w`.

    Raises:
        UserError: `token.expires`.
    """
    match = _EXPIRY.fullmatch(expires.strip().lower())
    if match is None:
        raise UserError("token.expires", value=expires[:MAX_NAME])
    return int(match["number"]) * _UNITS[match["unit"]]


def _plain(name: str) -> bool:
    """Return whether a name can be shown, and is not too long."""
    return name.isprintable() and 0 < len(name.strip()) <= MAX_NAME


def _everywhere(tenant: str, name: str, person: str | None) -> str:
    """Return the name in all tenants: that of a chat's person, or one of the token's own."""
    if person is None:
        return f"http:{tenant}:{name}"
    platform = tenant.partition(":")[0]
    return f"{tenant}:{person}" if platform == "slack" else f"{platform}:{person}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
