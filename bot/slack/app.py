"""The slack-bolt app: authorization, middleware, and the fallback handler."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse

from bot.slack.api.clients import Clients
from bot.slack.hosts import is_response_url
from bot.slack.installations import WorkspaceInstallations
from bot.slack.origin import answering_team
from bot.slack.payloads import response_urls
from inference.bug_report import log_bug

LOGGER = "rushes.slack"

_ANYTHING = re.compile(r"")
_log = structlog.get_logger(__name__)


def quiet_logger() -> logging.Logger:
    """Return the logger for Slack's libraries: what they say below an error quotes payloads."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.ERROR)
    return logger


def make_app(
    *,
    clients: Clients,
    installations: WorkspaceInstallations,
    signing_secret: str | None,
    logger: logging.Logger,
) -> AsyncApp:
    """Return the app without any listener; `finish` closes the list of them.

    Args:
        clients: For what the library itself asks.
        installations: Who has the app.
        signing_secret: Checks what comes over HTTP; nothing does in Socket Mode.
        logger: Of the library.
    """

    async def authorize(
        context: AsyncBoltContext, enterprise_id: str | None, team_id: str | None
    ) -> AuthorizeResult | None:
        found = installations.find(team_id, enterprise_id)
        if found is None:
            _log.warning("slack.not_installed", team=team_id)
            return None
        context["installation"] = found
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_id=found.bot_id,
            bot_user_id=found.bot_user,
            bot_token=found.token,
        )

    async def find_workspace(
        body: Mapping[str, Any],
        context: AsyncBoltContext,
        next: Callable[[], Awaitable[None]],  # noqa: A002 - the library passes it by this name
    ) -> BoltResponse | None:
        # The library itself answers there when no workspace has the app.
        if not all(is_response_url(url, clients.api_base_url) for url in response_urls(body)):
            _log.warning("slack.response_url.refused")
            return BoltResponse(status=400, body="response_url")
        team = answering_team(body)
        if team is not None and installations.find(team, None) is not None:
            context["team_id"] = team
        await next()
        return None

    app = AsyncApp(
        name="rushes",
        logger=logger,
        client=clients.anonymous(),
        signing_secret=signing_secret or "",
        before_authorize=find_workspace,
        authorize=authorize,  # type: ignore[arg-type]  # None is "not installed", also in its docs
    )
    app.error(_bug)
    return app


def finish(app: AsyncApp) -> None:
    """Register the fallback that acknowledges unhandled requests: else Slack repeats them."""
    app.event(_ANYTHING)(_ignore)
    app.action(_ANYTHING)(_acknowledge)
    app.view_closed(_ANYTHING)(_acknowledge)


async def _ignore() -> None:
    """Do nothing: events are acknowledged by the library."""


async def _acknowledge(ack: AsyncAck) -> None:
    await ack()


async def _bug(error: Exception) -> None:
    log_bug(_log, "slack.bug", error, what="listener")
