"""Store of the workspaces that have installed the app, with their tokens.

The tokens are in the bot's own database, which only its owner can read (mode 0600). This process
owns that database alone, so what is cached here is what is true.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import aiosqlite
from slack_sdk.oauth.installation_store import Installation as Granted
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore

from bot.slack.address import NAME
from inference.clock import SystemClock
from inference.store.codec.quarantine import take_out
from inference.store.codec.validation import fits
from inference.store.sqlite.database import Database
from inference.store.sqlite.migrate import PackageMigrations

TABLES = PackageMigrations(name="slack", package="bot.slack")
"""Installations in workspaces, and files that were shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceInstallation:
    """One workspace, or one whole organisation, that has the app."""

    team: str = ""
    """Empty for an organisation."""
    enterprise: str | None = None
    """The organisation, also of a single workspace in one."""
    bot_id: str
    bot_user: str
    token: str = field(repr=False)
    scopes: frozenset[str] = frozenset()
    """Granted; empty where Slack did not say."""
    refresh_token: str | None = field(default=None, repr=False)
    """With it, `token` is exchanged before it expires."""
    expires_at: float | None = None
    """Unix seconds."""

    @property
    def workspace(self) -> str:
        """Its id: that of the workspace, or of the organisation."""
        return self.team or self.enterprise or ""

    @property
    def tenant(self) -> str:
        """The tenant of its jobs."""
        return f"{NAME}:{self.workspace}"

    def may(self, scope: str) -> bool:
        """Whether a scope was granted, as far as that is known."""
        return not self.scopes or scope in self.scopes


class WorkspaceInstallations(AsyncInstallationStore):
    """The table `slack_installations`, and the workspace of the configured token."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, WorkspaceInstallation] = {}

    async def load(self) -> None:
        """Load the installations that are stored."""
        await self._database.migrate(TABLES)
        rows = await self._database.read("SELECT * FROM slack_installations")
        for row in rows:
            installation = _from_row(row)
            if fits(WorkspaceInstallation, installation):
                self._known[row["workspace"]] = installation
            else:
                key = {"workspace": row["workspace"]}
                await take_out(
                    self._database, "slack_installations", key, "token", SystemClock().now()
                )

    def find(self, team: str | None, enterprise: str | None) -> WorkspaceInstallation | None:
        """Return the installation of a workspace: its own, or its organisation's."""
        own = self._known.get(team) if team else None
        if own is not None or not enterprise:
            return own
        return self._known.get(enterprise)

    def all(self) -> list[WorkspaceInstallation]:
        """Return every installation."""
        return list(self._known.values())

    def configure(self, installation: WorkspaceInstallation) -> None:
        """Add the workspace of the configured token; that token is never written down."""
        self._known[installation.workspace] = installation

    async def keep(self, installation: WorkspaceInstallation) -> None:
        """Add or replace an installation."""
        row = {
            **asdict(installation),
            "workspace": installation.workspace,
            "scopes": ",".join(sorted(installation.scopes)),
        }

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR REPLACE INTO slack_installations (workspace, team, enterprise, bot_id,"
                " bot_user, token, scopes, refresh_token, expires_at) VALUES (:workspace, :team,"
                " :enterprise, :bot_id, :bot_user, :token, :scopes, :refresh_token, :expires_at)",
                row,
            )

        await self._database.write("slack_installed", work)
        self._known[installation.workspace] = installation

    async def remove(self, installation: WorkspaceInstallation) -> None:
        """Forget an installation and its token."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM slack_installations WHERE workspace = ?", (installation.workspace,)
            )

        self._known.pop(installation.workspace, None)
        await self._database.write("slack_uninstalled", work)

    async def async_save(self, installation: Granted) -> None:
        """Keep what the OAuth flow was granted; the hook of slack-bolt.

        Raises:
            ValueError: The grant has no bot, so there is nothing to answer with.
        """
        if not (installation.bot_token and installation.bot_id and installation.bot_user_id):
            raise ValueError("an installation without a bot")
        wide = bool(installation.is_enterprise_install)
        await self.keep(
            WorkspaceInstallation(
                team="" if wide else installation.team_id or "",
                enterprise=installation.enterprise_id,
                bot_id=installation.bot_id,
                bot_user=installation.bot_user_id,
                token=installation.bot_token,
                scopes=frozenset(installation.bot_scopes or ()),
                refresh_token=installation.bot_refresh_token,
                expires_at=installation.bot_token_expires_at,
            )
        )


def _from_row(row: aiosqlite.Row) -> WorkspaceInstallation:
    scopes = frozenset(filter(None, str(row["scopes"]).split(",")))
    values = {name: row[name] for name in row.keys() if name != "workspace"}  # noqa: SIM118 - a row iterates over values
    return WorkspaceInstallation(**{**values, "scopes": scopes})
