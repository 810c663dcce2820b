"""Checks of Slack: the tokens, their scopes against the manifest, and the socket."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.config.sections import Config
from bot.doctor.findings import Finding, fail, ok, report_error, warn
from bot.doctor.network import unreachable
from bot.network.connector import open_session
from bot.slack.api.clients import API, TIMEOUT_SECONDS, problem
from bot.slack.api.errors import TOKEN_ERRORS, WIRE_ERRORS
from bot.slack.manifest import SCOPES
from inference.domain.errors import StoreError, UserError
from inference.store.maintenance import DATABASE_NAME, open_read_only


async def examine(config: Config) -> list[Finding]:
    """Check the tokens and their scopes; nothing is posted."""
    section = config.slack
    if not (section.bot_token or section.client_id):
        if section.app_token is not None:
            return [warn("slack", "doctor.slack.no_bot_token")]
        return [ok("slack", "doctor.slack.off")]
    if "slack" not in config.bot.platforms:
        return [warn("slack", "doctor.chat.unlisted", name="slack")]
    found: list[Finding] = []
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with open_session(force_close=True, timeout=timeout) as session:
        client = AsyncWebClient(
            base_url=section.api_base_url or API, session=session, retry_handlers=[]
        )
        if section.bot_token is not None:
            token = section.bot_token.get_secret_value()
            found += await _bot_token(client, token, "slack.token", "slack.scopes")
        for workspace, token in (await asyncio.to_thread(_read_tokens, config)).items():
            check = f"workspace.{workspace}"
            found += await _bot_token(client, token, check, check)
        if section.mode == "socket" and section.app_token is not None:
            found.append(await _socket(client, section.app_token.get_secret_value()))
    return found or [ok("slack", "doctor.slack.oauth")]


def _read_tokens(config: Config) -> dict[str, str]:
    """Return the tokens of the workspaces that installed the app, as far as one can tell."""
    path = config.bot.data_dir / DATABASE_NAME
    if config.slack.client_id is None or not path.exists():
        return {}
    try:
        with open_read_only(path) as connection:
            # What has expired is exchanged at the next start.
            rows = connection.execute(
                "SELECT workspace, token FROM slack_installations"
                " WHERE expires_at IS NULL OR expires_at > ? ORDER BY workspace",
                (time.time(),),
            ).fetchall()
    except (StoreError, sqlite3.Error):  # reported with the database, or not installed anywhere yet
        return {}
    return {str(workspace): str(token) for workspace, token in rows}


async def _bot_token(
    client: AsyncWebClient, token: str, check: str, scopes_check: str
) -> list[Finding]:
    try:
        said = await client.auth_test(token=token)
    except WIRE_ERRORS as error:
        return [_report_failure(check, error)]
    found = [ok(check, "doctor.slack.token", team=said.get("team", "?"))]
    if granted := said.headers.get("x-oauth-scopes"):
        missing = sorted(set(SCOPES) - {scope.strip() for scope in granted.split(",")})
        if missing:
            found.append(fail(scopes_check, "doctor.slack.scopes", missing=", ".join(missing)))
        else:
            found.append(ok(scopes_check, "doctor.slack.scopes_fine", count=len(SCOPES)))
    return found


async def _socket(client: AsyncWebClient, token: str) -> Finding:
    try:
        await client.apps_connections_open(app_token=token)
    except WIRE_ERRORS as error:
        return _report_failure("slack.socket", error)
    return ok("slack.socket", "doctor.slack.socket")


def _report_failure(check: str, error: BaseException) -> Finding:
    code = problem(error)
    if isinstance(error, SlackApiError) and code in TOKEN_ERRORS:
        return report_error(check, UserError("slack.token_rejected", problem=code))
    if isinstance(error, SlackApiError):
        return fail(check, "doctor.slack.failed", problem=code)
    return unreachable(check, "Slack", error)
