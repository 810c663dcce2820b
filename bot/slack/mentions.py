"""Mentions in channels and threads, and messages to the bot alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack import once, typed
from bot.slack.answers import Answers, is_of_outbox
from bot.slack.installations import Installation
from bot.slack.origin import Origin, of_event
from bot.slack.pictures import Pictures
from bot.slack.reception import Reception
from bot.slack.work import ACK_SECONDS, Work

Next = Callable[[], Awaitable[None]]

GENERATE = "/generate"
"""What a message without a command means."""

HELP = "/rushes help"
"""What a mention without a word means."""

_SAID = frozenset({None, "file_share", "thread_broadcast"})
"""Subtypes of messages that people wrote; all others tell of something else."""


class Mentions:
    """Answers what is said to the bot. Slack offers no slash commands in threads."""

    def __init__(
        self, reception: Reception, answers: Answers, pictures: Pictures, work: Work
    ) -> None:
        self._reception = reception
        self._answers = answers
        self._pictures = pictures
        self._work = work

    def register(self, app: AsyncApp) -> None:
        """Listen to mentions, direct messages and shared files."""
        # The library acknowledges an event before its listener runs, but after its middleware. What
        # is accepted there cannot be lost with the process: unacknowledged, Slack sends it again.
        app.event("app_mention", middleware=[self._heard])(_done)
        app.event("message", middleware=[self._told])(_done)
        app.event("file_shared")(self._shared)

    async def _heard(
        self,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
        next: Next,  # noqa: A002 - the library passes it by this name
    ) -> None:
        await self._take(body, context, installation)
        await next()

    async def _told(
        self,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
        next: Next,  # noqa: A002 - as above
    ) -> None:
        if body["event"].get("channel_type") == "im":
            await self._take(body, context, installation)
        await next()

    async def _shared(self, body: dict[str, Any], installation: Installation) -> None:
        event = body["event"]
        channel, file = event.get("channel_id"), event.get("file_id")
        if channel and file:
            origin = Origin(
                installation=installation,
                team=installation.team,
                user=event.get("user_id") or "",
                channel=channel,
            )
            self._work.start(self._pictures.saw(origin, file, None), name="file")

    async def _take(
        self, body: dict[str, Any], context: AsyncBoltContext, installation: Installation
    ) -> None:
        event = body["event"]
        written_by_person = event.get("user") and not event.get("bot_id")
        if not written_by_person or event.get("subtype") not in _SAID:
            return
        origin = of_event(body, context, installation)
        answering = self._work.start(self._answer(body, origin), name="mention")
        await asyncio.wait({answering}, timeout=ACK_SECONDS)

    async def _answer(self, body: dict[str, Any], origin: Origin) -> None:
        event = body["event"]
        said = typed.without_mention(event.get("text") or "", origin.installation.bot_user)
        if said.startswith("/"):
            line = typed.line(said)
        elif prompt := typed.prompt(said):
            line = f"{GENERATE} {prompt}"
        else:
            line = HELP
        image = await self._pictures.in_message(origin, event.get("files") or ())
        if image is not None:
            await self._pictures.saw(origin, image, origin.thread_ts or event["ts"])
        else:
            image = await self._pictures.in_thread(origin)
        key = once.of_event(body, origin.installation.workspace)
        card = await self._reception.line(origin, line, key=key, image=image, present=True)
        if not is_of_outbox(card):
            self._work.start(self._answers.give(origin, card), name="answer")


async def _done() -> None:
    """Nothing is left to do."""
