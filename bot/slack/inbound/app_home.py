"""App Home: a person's own jobs, the line, and a button to make something."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.api.calls import Calls
from bot.slack.background import BackgroundTasks
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.modals import GENERATE
from bot.slack.installations import Installation
from bot.slack.origin import Origin
from bot.slack.outbound import blocks
from commands import run
from commands.context import Call
from commands.handlers import job_status
from commands.text import cards
from commands.text.card import Card
from commands.text.messages import text
from inference.domain.errors import UserError

OWN_JOBS = 8

MAX_BLOCKS = 100

PATIENCE_SECONDS = 5.0


class AppHome:
    """Draws the tab that people see of the app."""

    def __init__(self, gateway: CommandGateway, calls: Calls, background: BackgroundTasks) -> None:
        self._gateway = gateway
        self._calls = calls
        self._background = background

    def register(self, app: AsyncApp) -> None:
        """Listen to people who open it."""
        app.event("app_home_opened")(self._opened)

    async def show(self, origin: Origin, *, note: Card | None = None) -> None:
        """Draw somebody's home as things are now, with a word on top if there is one."""
        try:
            call = await self._gateway.call(origin)
        except UserError as error:
            locale = await self._gateway.locale(origin)
            drawn = blocks.message(cards.error(error, locale)).blocks
        else:
            drawn = await self._draw(call)
        if note is not None:
            drawn = [*blocks.message(note).blocks, *drawn]
        await self._calls.call(
            origin.address,
            "views.publish",
            patience=PATIENCE_SECONDS,
            user_id=origin.user,
            view={"type": "home", "blocks": drawn[:MAX_BLOCKS]},
        )

    async def _opened(
        self, body: dict[str, Any], context: AsyncBoltContext, installation: Installation
    ) -> None:
        event = body["event"]
        if event.get("tab") != "home":
            return
        origin = Origin(installation=installation, team=context.team_id or "", user=event["user"])
        self._background.start(self.show(origin), name="home")

    async def _draw(self, call: Call) -> list[dict[str, Any]]:
        drawn = [_header(text("slack.home.title", call.locale)), _generate(call.locale)]
        own = await call.jobs.recent(call.channel.tenant, call.caller.id, limit=OWN_JOBS)
        if own:
            drawn.append(_header(text("slack.home.own", call.locale)))
        for job in own:
            drawn += [*blocks.message(job_status.status(call, job)).blocks, {"type": "divider"}]
        line = await run.execute("/rushes queue", call)
        drawn.append(_header(text("slack.home.line", call.locale)))
        return [*drawn, *blocks.message(line).blocks]


def _header(words: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": words, "emoji": True}}


def _generate(locale: str) -> dict[str, Any]:
    button = {
        "type": "button",
        "action_id": GENERATE,
        "style": "primary",
        "text": {"type": "plain_text", "text": text("slack.home.generate", locale)},
    }
    return {"type": "actions", "elements": [button]}
