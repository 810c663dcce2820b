"""Draws the App Home tab: a person's jobs, the queue, and a button to make something."""

from __future__ import annotations

from typing import Any

from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.command_prefix import CommandPrefix
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.modals import GENERATE
from bot.slack.installations import WorkspaceInstallation
from bot.slack.origin import Origin
from bot.slack.outbound import blocks
from commands import run
from commands.context import Call
from commands.handlers import job_status
from commands.text import replies
from commands.text.card import Card
from commands.text.messages import text
from inference.domain.errors import UserError

OWN_JOBS = 8

MAX_BLOCKS = 100

PATIENCE_SECONDS = 5.0


async def draw_home(
    body: dict[str, Any],
    context: AsyncBoltContext,
    installation: WorkspaceInstallation,
    deps: Dependencies,
) -> None:
    """Draw the home tab for the person who opens it."""
    event = body["event"]
    if event.get("tab") == "home":
        origin = Origin(installation=installation, team=context.team_id or "", user=event["user"])
        deps.background.start(publish(origin, deps), name="home")


async def publish(origin: Origin, deps: Dependencies, *, note: Card | None = None) -> None:
    """Redraw a person's home tab, with a note on top if there is one."""
    try:
        call = await deps.gateway.call(origin)
    except UserError as error:
        locale = await deps.gateway.locale(origin)
        drawn = blocks.message(deps.prefix.card(replies.error(error, locale))).blocks
    else:
        drawn = await _draw(call, deps.prefix)
    if note is not None:
        drawn = [*blocks.message(deps.prefix.card(note)).blocks, *drawn]
    await deps.calls.call(
        origin.address,
        "views.publish",
        patience=PATIENCE_SECONDS,
        user_id=origin.user,
        view={"type": "home", "blocks": drawn[:MAX_BLOCKS]},
    )


async def _draw(call: Call, prefix: CommandPrefix) -> list[dict[str, Any]]:
    drawn = [_header(text("slack.home.title", call.locale)), _generate(call.locale)]
    own = await call.jobs.recent(call.channel.tenant, call.caller.id, limit=OWN_JOBS)
    if own:
        drawn.append(_header(text("slack.home.own", call.locale)))
    for job in own:
        card = prefix.card(job_status.status(call, job))
        drawn += [*blocks.message(card).blocks, {"type": "divider"}]
    queue = await run.execute("/rushes queue", call)
    drawn.append(_header(text("slack.home.queue", call.locale)))
    return [*drawn, *blocks.message(prefix.card(queue)).blocks]


def _header(words: str) -> dict[str, Any]:
    return {"type": "header", "text": blocks.plain_text(words)}


def _generate(locale: str) -> dict[str, Any]:
    button = {
        "type": "button",
        "action_id": GENERATE,
        "style": "primary",
        "text": blocks.plain_text(text("slack.home.generate", locale)),
    }
    return {"type": "actions", "elements": [button]}
