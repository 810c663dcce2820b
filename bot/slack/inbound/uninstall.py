"""Handles uninstalls, revoked tokens and changes of channel sharing."""

from __future__ import annotations

from typing import Any

import structlog
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.inbound.dependencies import Dependencies
from bot.slack.installations import WorkspaceInstallation

_log = structlog.get_logger(__name__)


async def forget_workspace(context: AsyncBoltContext, deps: Dependencies) -> None:
    """Forget a workspace that removed the app."""
    found = deps.installations.find(context.team_id, context.enterprise_id)
    if found is not None:
        deps.background.start(_forget(found, deps), name="uninstalled")


async def forget_revoked(
    body: dict[str, Any], context: AsyncBoltContext, deps: Dependencies
) -> None:
    """Forget a workspace whose bot token was revoked; tokens of people are not ours."""
    if (body["event"].get("tokens") or {}).get("bot"):
        await forget_workspace(context, deps)


async def forget_channel(
    body: dict[str, Any], installation: WorkspaceInstallation, deps: Dependencies
) -> None:
    """Drop the cached facts of a channel."""
    deps.channels.forget(installation.workspace, body["event"].get("channel", ""))


async def _forget(installation: WorkspaceInstallation, deps: Dependencies) -> None:
    """Delete the token and cancel the jobs, whose results could not be posted any more."""
    await deps.installations.remove(installation)
    await deps.services.cancel_all(installation.tenant)
    _log.info("slack.uninstalled", workspace=installation.workspace)
