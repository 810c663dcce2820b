"""Slack's Web API with the right token: one client per workspace that has the app."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient

from bot.network.connector import open_session
from bot.slack.api.errors import TOKEN_ERRORS, WIRE_ERRORS
from bot.slack.installations import WorkspaceInstallation, WorkspaceInstallations
from inference.domain.errors import DeliveryError, UserError
from inference.store.sqlite.database import Database

API = "https://slack.com/api/"

TIMEOUT_SECONDS = 30

LIFE_SECONDS_MOST = 12 * 3600.0 + 600.0
"""A token that seems to live longer was granted while the clock was ahead."""

ROTATE_SECONDS = 3600.0
"""A token is exchanged when it has less than this left; they live for twelve hours."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Tokens and secrets from the config."""

    bot_token: str | None = field(default=None, repr=False)
    """Of the one workspace that needs no OAuth."""
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)


class Clients:
    """Web API clients. Usable inside `connect`; before that nothing can be posted."""

    def __init__(self, credentials: Credentials, *, api_base_url: str | None) -> None:
        self.api_base_url = api_base_url
        """Overrides Slack's own address."""
        self._credentials = credentials
        self._installations: WorkspaceInstallations | None = None
        self._session: aiohttp.ClientSession | None = None
        self._read_session: aiohttp.ClientSession | None = None
        self._rotating: dict[str, asyncio.Lock] = {}
        self._expiries: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def connect(self, database: Database) -> AsyncIterator[WorkspaceInstallations]:
        """Open the connections and learn who has the app.

        Raises:
            UserError: `slack.token_rejected`: the configured token is of no use.
            DeliveryError: Slack cannot be reached.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        # A kept-alive connection may die unnoticed, and then it is unknown whether a message was
        # posted: posting opens a fresh one each time. Reads are just retried.
        async with (
            open_session(force_close=True, timeout=timeout) as session,
            open_session(timeout=timeout) as read_session,
        ):
            installations = WorkspaceInstallations(database)
            await installations.load()
            self._session, self._read_session = session, read_session
            try:
                if self._credentials.bot_token is not None:
                    installations.configure(await self._identify(self._credentials.bot_token))
                self._installations = installations
                yield installations
            finally:
                self._installations = self._session = self._read_session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """For uploads and downloads: every request has a separate connection.

        Raises:
            DeliveryError: `delivery.not_connected`.
        """
        if self._session is None:
            raise _not_connected()
        return self._session

    async def of(self, team: str, enterprise: str | None = None) -> AsyncWebClient:
        """Return a client that acts for a workspace and repeats nothing by itself.

        Raises:
            DeliveryError: `slack.not_installed`: it has no installation any more; transient
                `delivery.not_connected` before `connect`.
        """
        installation = await self._usable(team, enterprise)
        return self._client(installation, team, self.session)

    async def connect_with_retries(
        self, team: str, enterprise: str | None = None
    ) -> AsyncWebClient:
        """Return a client for reads, which are retried after a failure.

        Raises:
            DeliveryError: As `of`.
        """
        installation = await self._usable(team, enterprise)
        if self._read_session is None:
            raise _not_connected()
        client = self._client(installation, team, self._read_session)
        client.retry_handlers.append(AsyncConnectionErrorRetryHandler())
        client.retry_handlers.append(AsyncRateLimitErrorRetryHandler())
        return client

    def anonymous(self) -> AsyncWebClient:
        """Return a client without a token, for OAuth and for opening connections."""
        return AsyncWebClient(
            base_url=self.api_base_url or API,
            timeout=TIMEOUT_SECONDS,
            session=self.session,
            retry_handlers=[],
        )

    def _client(
        self, installation: WorkspaceInstallation, team: str, session: aiohttp.ClientSession
    ) -> AsyncWebClient:
        return AsyncWebClient(
            token=installation.token,
            base_url=self.api_base_url or API,
            timeout=TIMEOUT_SECONDS,
            session=session,
            # An organisation's token does not say which of its workspaces is meant.
            team_id=team if team and not installation.team else None,
            retry_handlers=[],
        )

    async def _usable(self, team: str, enterprise: str | None) -> WorkspaceInstallation:
        if self._installations is None:
            raise _not_connected()
        installation = self._installations.find(team, enterprise)
        if installation is None:
            raise DeliveryError("slack.not_installed", transient=False)
        if installation.expires_at is None or installation.refresh_token is None:
            return installation
        # One exchange at a time: a refresh token is good once.
        async with self._rotating.setdefault(installation.workspace, asyncio.Lock()):
            current = self._installations.find(team, enterprise) or installation
            return await self._rotate(current, self._installations)

    async def _rotate(
        self, installation: WorkspaceInstallation, installations: WorkspaceInstallations
    ) -> WorkspaceInstallation:
        expires_at, refresh_token = installation.expires_at, installation.refresh_token
        client_id, client_secret = self._credentials.client_id, self._credentials.client_secret
        if expires_at is None or refresh_token is None or not (client_id and client_secret):
            return installation
        if ROTATE_SECONDS < self._lifetime(installation, expires_at) <= LIFE_SECONDS_MOST:
            return installation
        try:
            granted = await self.anonymous().oauth_v2_access(
                client_id=client_id,
                client_secret=client_secret,
                grant_type="refresh_token",
                refresh_token=refresh_token,
            )
        except WIRE_ERRORS as error:
            # The present token may still be good; the next call tries again.
            _log.warning("slack.rotation_failed", error=problem(error))
            return installation
        renewed = replace(
            installation,
            token=granted["access_token"],
            refresh_token=granted.get("refresh_token", refresh_token),
            expires_at=time.time() + float(granted.get("expires_in", 0)),
        )
        lifetime = float(granted.get("expires_in", 0))
        self._expiries.pop(installation.token, None)
        self._expiries[renewed.token] = time.monotonic() + lifetime
        # The caller may be cancelled, but the old tokens are void: the new ones must be kept.
        await asyncio.shield(installations.keep(renewed))
        return renewed

    def _lifetime(self, installation: WorkspaceInstallation, expires_at: float) -> float:
        """Return the seconds until a token expires.

        By the monotonic clock if it was granted to this process: the wall clock may jump.
        """
        expiry = self._expiries.get(installation.token)
        return expires_at - time.time() if expiry is None else expiry - time.monotonic()

    async def _identify(self, token: str) -> WorkspaceInstallation:
        """Ask Slack whose token it is."""
        client = self.anonymous()
        client.token = token
        try:
            told = await client.auth_test()
        except WIRE_ERRORS as error:
            code = problem(error)
            if code in TOKEN_ERRORS:
                raise UserError("slack.token_rejected", problem=code) from error
            raise DeliveryError("slack.unreachable", transient=True, error=code) from error
        wide = bool(told.get("is_enterprise_install"))
        scopes = re.split(r",\s*", told.headers.get("x-oauth-scopes", ""))
        return WorkspaceInstallation(
            team="" if wide else str(told["team_id"]),
            enterprise=told.get("enterprise_id"),
            bot_id=str(told.get("bot_id") or ""),
            bot_user=str(told["user_id"]),
            token=token,
            scopes=frozenset(filter(None, scopes)),
        )


def problem(error: BaseException) -> str:
    """Return a call's problem without any of its content."""
    if not isinstance(error, SlackApiError):
        return type(error).__name__
    data = getattr(error.response, "data", None)  # a page instead of JSON, when Slack is down
    if isinstance(data, dict):
        return str(data.get("error", "unknown"))
    return f"http_{getattr(error.response, 'status_code', 'unknown')}"


def _not_connected() -> DeliveryError:
    return DeliveryError("delivery.not_connected", transient=True)
