"""Workspaces that take the app away, and channels that begin or end to be shared."""

from __future__ import annotations

from typing import Any

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext

from bot.platform import Services
from bot.slack.background import BackgroundTasks
from bot.slack.channels import Channels
from bot.slack.installations import Installation, Installations

_log = structlog.get_logger(__name__)


class UninstallListener:
    """Forgets what is no longer true."""

    def __init__(
        self,
        services: Services,
        installations: Installations,
        channels: Channels,
        background: BackgroundTasks,
    ) -> None:
        self._services = services
        self._installations = installations
        self._channels = channels
        self._background = background

    def register(self, app: AsyncApp) -> None:
        """Listen to what Slack tells of workspaces and channels."""
        app.event("app_uninstalled")(self._uninstalled)
        app.event("tokens_revoked")(self._revoked)
        app.event("channel_shared")(self._changed)
        app.event("channel_unshared")(self._changed)

    async def _uninstalled(self, context: AsyncBoltContext) -> None:
        self._leave(context)

    async def _revoked(self, body: dict[str, Any], context: AsyncBoltContext) -> None:
        if (body["event"].get("tokens") or {}).get("bot"):  # people's own tokens are none of ours
            self._leave(context)

    async def _changed(self, body: dict[str, Any], installation: Installation) -> None:
        self._channels.forget(installation.workspace, body["event"].get("channel", ""))

    def _leave(self, context: AsyncBoltContext) -> None:
        found = self._installations.find(context.team_id, context.enterprise_id)
        if found is not None:
            self._background.start(self._forget(found), name="uninstalled")

    async def _forget(self, installation: Installation) -> None:
        """Delete the token and cancel what nobody could be given any more."""
        await self._installations.remove(installation)
        for job in await self._services.jobs.waiting(installation.tenant):
            await self._services.jobs.cancel(job.id, tenant=installation.tenant)
        _log.info("slack.uninstalled", workspace=installation.workspace)
