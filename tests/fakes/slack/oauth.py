"""How the app gets into workspaces: grants, codes and tokens that rotate."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import APP_ID, Installation, Json, Team, User
from tests.fakes.slack.records import SlackError

CLIENT_ID = "10000000000.20000000000"
CLIENT_SECRET = "loopback-client-secret"  # noqa: S105 - of a server that exists for one test

ROTATION_SECONDS = 12 * 60 * 60
"""How long a rotated token is good."""


@dataclass(kw_only=True, frozen=True)
class Grant:
    """What somebody allowed, until the app fetches it."""

    team: Team
    by: User
    scopes: frozenset[str]
    redirect_uri: str | None


class Authorizations:
    """Hands out tokens."""

    def __init__(self, hub: Hub, *, rotation: bool) -> None:
        self._hub = hub
        self._rotation = rotation
        self._grants: dict[str, Grant] = {}

    def grant(self, grant: Grant) -> str:
        """Remember what somebody allowed; return the code for it."""
        code = secrets.token_hex(16)
        self._grants[code] = grant
        return code

    def install(self, team: Team, scopes: frozenset[str]) -> Installation:
        """Put the app into a workspace, or give it new tokens there."""
        world = self._hub.world
        found = next((i for i in world.installations if i.team is team), None)
        if found is None:
            bot = User(id=world.identity("U"), name="bot", team=team, is_bot=True)
            world.users[bot.id] = bot
            found = Installation(
                team=team, bot=bot, bot_id=world.identity("B"), scopes=scopes, token=""
            )
            world.installations.append(found)
        found.scopes, found.revoked = scopes, None
        self._renew(found)
        return found

    async def access(self, request: web.Request, args: Json) -> Json:
        """Exchange a code, or a refresh token, for tokens.

        Raises:
            SlackError: Neither is known, or it is not our app that asks.
        """
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            pair = base64.b64decode(header.removeprefix("Basic ")).decode()
            client, _, secret = pair.partition(":")
            args = {**args, "client_id": client, "client_secret": secret}
        if args.get("client_id") != CLIENT_ID:
            raise SlackError("invalid_client_id")
        if args.get("client_secret") != CLIENT_SECRET:
            raise SlackError("bad_client_secret")
        if args.get("grant_type") == "refresh_token":
            return self._refresh(args.get("refresh_token"))
        grant = self._grants.pop(str(args.get("code")), None)
        if grant is None:
            raise SlackError("invalid_code")
        if args.get("redirect_uri") != grant.redirect_uri:
            raise SlackError("bad_redirect_uri")
        installation = self.install(grant.team, grant.scopes)
        return {**self._tokens(installation), "authed_user": {"id": grant.by.id}}

    def _refresh(self, token: object) -> Json:
        for installation in self._hub.world.installations:
            if token and installation.refresh_token == token and not installation.revoked:
                self._renew(installation)
                return self._tokens(installation)
        raise SlackError("invalid_refresh_token")

    def _renew(self, installation: Installation) -> None:
        secret = secrets.token_hex(12)
        installation.token = f"xoxb-{installation.team.id}-{secret}"
        if self._rotation:
            installation.token = f"xoxe.{installation.token}"
            installation.refresh_token = f"xoxe-1-{secrets.token_hex(12)}"
            installation.expires_at = time.time() + ROTATION_SECONDS

    def _tokens(self, installation: Installation) -> Json:
        team = installation.team
        written: Json = {
            "app_id": APP_ID,
            "access_token": installation.token,
            "token_type": "bot",
            "scope": ",".join(sorted(installation.scopes)),
            "bot_user_id": installation.bot.id,
            "team": {"id": team.id, "name": team.name},
            "enterprise": {"id": team.enterprise_id, "name": ""} if team.enterprise_id else None,
            "is_enterprise_install": False,
        }
        if installation.refresh_token:
            written |= {
                "refresh_token": installation.refresh_token,
                "expires_in": ROTATION_SECONDS,
            }
        return written
