"""Registers the listeners of the Slack app: one table of payloads and their listeners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.inbound import (
    app_home,
    buttons,
    mentions,
    modals,
    shortcuts,
    slash_commands,
    uninstall,
)
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.inbox import INBOUND, InboundRequest
from bot.slack.origin import Origin, of_command, of_interaction
from commands.options import MODEL

Handler = Callable[[dict[str, Any], Origin, Dependencies], Coroutine[Any, Any, None]]


def register(app: AsyncApp, deps: Dependencies) -> None:
    """Register every listener; they receive what they name, `origin` and `deps` among it."""

    async def inject(
        body: dict[str, Any],
        context: AsyncBoltContext,
        next: Callable[[], Awaitable[None]],  # noqa: A002 - the library passes it by this name
    ) -> None:
        context["deps"] = deps
        context.setdefault(INBOUND, deps.inbox.request(body))
        if "command" in body:
            context["origin"] = of_command(body, context["installation"])
        elif "user" in body:
            context["origin"] = of_interaction(body, context, context["installation"])
        await next()

    app.use(inject)
    for name in deps.prefix.names():
        app.command(name)(slash_commands.answer)
    app.view(modals.CALLBACK)(modals.submit_command)
    app.view(modals.FORM)(modals.submit_form)
    app.action(modals.MORE)(_in_background(modals.show_all_options))
    app.action(MODEL.name)(_in_background(modals.show_model))
    app.shortcut(modals.GENERATE)(_in_background(shortcuts.generate))
    app.action(modals.GENERATE)(_in_background(shortcuts.generate))
    app.shortcut(shortcuts.ANIMATE)(_in_background(shortcuts.animate))
    app.action(buttons.BUTTON)(_press)
    # The library acknowledges an event before its listener runs, but after its middleware. What is
    # accepted there cannot be lost with the process: unacknowledged, Slack sends it again.
    for event in ("app_mention", "message"):
        app.event(event, middleware=[mentions.accept])(_done)
    app.event("file_shared")(mentions.note_file)
    app.event("app_home_opened")(app_home.draw_home)
    app.event("app_uninstalled")(uninstall.forget_workspace)
    app.event("tokens_revoked")(uninstall.forget_revoked)
    app.event("channel_shared")(uninstall.forget_channel)
    app.event("channel_unshared")(uninstall.forget_channel)


def _in_background(
    handle: Handler,
) -> Callable[[AsyncAck, dict[str, Any], Origin, Dependencies], Awaitable[None]]:
    """Return a listener that acknowledges at once and handles the request in a task."""

    async def listener(
        ack: AsyncAck, body: dict[str, Any], origin: Origin, deps: Dependencies
    ) -> None:
        await ack()
        deps.background.start(handle(body, origin, deps), name=handle.__name__)

    return listener


async def _press(
    ack: AsyncAck, body: dict[str, Any], origin: Origin, deps: Dependencies, inbound: InboundRequest
) -> None:
    await inbound.acknowledge(ack, buttons.press(body, origin, deps), name="press")


async def _done() -> None:
    """Do nothing: the middleware has answered."""
