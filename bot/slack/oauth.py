"""OAuth: installs the app into further workspaces, with slack-bolt's flow over our database."""

from __future__ import annotations

import base64
import contextlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

import structlog
from slack_bolt import BoltResponse
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.oauth.installation_store import Installation as Granted
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.slack.address import NAME
from bot.slack.api.clients import Clients
from bot.slack.api.errors import WIRE_ERRORS
from bot.slack.installations import WorkspaceInstallations
from bot.slack.manifest import INSTALL_PATH, REDIRECT_PATH, SCOPES
from commands.text.messages import FALLBACK, error_text
from inference.clock import Clock
from inference.domain.errors import UserError

STATE_SECONDS = 600.0
"""How long the installation may take on Slack's page."""

MAX_USED = 10_000
"""States that are remembered as used; each belongs to a person who went through Slack's page."""

_TIME_BYTES = 8
_NONCE_BYTES = 16
_BODY_BYTES = _TIME_BYTES + _NONCE_BYTES

AUTHORIZE = "/oauth/v2/authorize"

_log = structlog.get_logger(__name__)


class OAuthStates(AsyncOAuthStateStore):
    """Single-use signed OAuth states that expire.

    Nothing is kept of a state that was only issued, so that asking for many costs nothing. Those
    that were used are remembered until they expire; slack-bolt binds each to the
    browser that asked for it.
    """

    def __init__(self, secret: str, clock: Clock) -> None:
        """Get ready.

        Args:
            secret: What the key is derived from: the app's client secret.
            clock: Says how old a state is.
        """
        self._key = hmac.digest(secret.encode(), b"rushes: state of an installation", "sha256")
        self._clock = clock
        self._used: OrderedDict[bytes, float] = OrderedDict()

    async def async_issue(self, *args: object, **kwargs: object) -> str:  # noqa: ARG002 - the library's hook
        """Return a new state."""
        until = int(self._clock.now() + STATE_SECONDS)
        body = until.to_bytes(_TIME_BYTES) + secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(body + self._seal(body)).decode().rstrip("=")

    async def async_consume(self, state: str) -> bool:
        """Use a state up; return whether it was valid."""
        try:
            padding = "=" * (-len(state) % 4)
            raw = base64.b64decode(f"{state}{padding}".encode("ascii"), b"-_", validate=True)
        except ValueError:
            return False
        body, seal = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        now = self._clock.now()
        if not hmac.compare_digest(seal, self._seal(body)) or body in self._used:
            return False
        if not now <= int.from_bytes(body[:_TIME_BYTES]) <= now + STATE_SECONDS:
            return False
        self._used[body] = now
        while self._used and (
            len(self._used) > MAX_USED or next(iter(self._used.values())) < now - STATE_SECONDS
        ):
            self._used.popitem(last=False)
        return True

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


class _Flow(AsyncOAuthFlow):
    """OAuth flow that admits only workspaces that the operator serves."""

    def __init__(
        self,
        allows: Callable[[str], bool],
        *,
        client: AsyncWebClient,
        settings: AsyncOAuthSettings,
        logger: logging.Logger,
    ) -> None:
        super().__init__(client=client, settings=settings, logger=logger)
        self._allows = allows

    async def handle_callback(self, request: AsyncBoltRequest) -> BoltResponse:
        """Answer the OAuth redirect back from Slack, also if the installation was refused."""
        try:
            return await super().handle_callback(request)
        except UserError as error:
            return BoltResponse(
                status=HTTPStatus.FORBIDDEN,
                body=error_text(error, FALLBACK),
                headers={"Content-Type": "text/plain; charset=utf-8"},
            )

    async def store_installation(self, request: AsyncBoltRequest, installation: Granted) -> None:
        """Keep an installation.

        Raises:
            UserError: `permission.tenant`; its token is given back.
        """
        wide = bool(installation.is_enterprise_install)
        workspace = installation.enterprise_id if wide else installation.team_id
        if not self._allows(f"{NAME}:{workspace}"):
            _log.warning("slack.installation_refused", workspace=workspace)
            with contextlib.suppress(*WIRE_ERRORS):
                await self.client.auth_revoke(token=installation.bot_token, test=False)
            raise UserError("permission.tenant")
        await super().store_installation(request, installation)


def make_flow(
    *,
    client_id: str,
    client_secret: str,
    clients: Clients,
    installations: WorkspaceInstallations,
    states: OAuthStates,
    allows: Callable[[str], bool],
    logger: logging.Logger,
) -> AsyncOAuthFlow:
    """Put the flow together; it binds each state to the browser that asked for it."""
    settings = AsyncOAuthSettings(
        client_id=client_id,
        client_secret=client_secret,
        scopes=SCOPES,
        install_path=INSTALL_PATH,
        redirect_uri_path=REDIRECT_PATH,
        installation_store=installations,
        state_store=states,
        state_expiration_seconds=int(STATE_SECONDS),
        authorization_url=_authorize_url(clients.api_base_url),
        logger=logger,
    )
    return _Flow(allows, client=clients.anonymous(), settings=settings, logger=logger)


def _authorize_url(api_base_url: str | None) -> str | None:
    """Return where people allow the installation, if it is not Slack's own page."""
    if api_base_url is None:
        return None
    return str(URL(api_base_url).with_path(AUTHORIZE))
