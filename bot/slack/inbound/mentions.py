"""Mentions in channels and threads, and messages to the bot alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.background import ACK_SECONDS, BackgroundTasks
from bot.slack.inbound import command_text, idempotency
from bot.slack.inbound.answers import Answers, is_outbox_card
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.messages import LatestEdits, UserMessage
from bot.slack.inbound.pictures import Pictures
from bot.slack.installations import Installation
from bot.slack.origin import Origin, of_event
from commands.text import cards
from inference.domain.errors import UserError

Next = Callable[[], Awaitable[None]]

GENERATE = "/generate"
"""What a message without a command means."""

HELP = "/rushes help"
"""What a mention without a word means."""


class Mentions:
    """Answers what is said to the bot. Slack offers no slash commands in threads."""

    def __init__(
        self,
        gateway: CommandGateway,
        answers: Answers,
        pictures: Pictures,
        background: BackgroundTasks,
    ) -> None:
        self._gateway = gateway
        self._answers = answers
        self._pictures = pictures
        self._background = background
        self._latest = LatestEdits()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
        # In channels only mentions count, and those come as `app_mention`.
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
            self._background.start(self._pictures.saw(origin, file, None), name="file")

    async def _take(
        self, body: dict[str, Any], context: AsyncBoltContext, installation: Installation
    ) -> None:
        written = UserMessage.read(body["event"])
        if written is None:
            return
        origin = of_event({**body, "event": written.message}, context, installation)
        answering = self._background.start(self._answer(written, origin), name="mention")
        await asyncio.wait({answering}, timeout=ACK_SECONDS)

    async def _answer(self, written: UserMessage, origin: Origin) -> None:
        key = idempotency.of_message(written.message, origin.channel, origin.installation.workspace)
        if key is None:
            return
        async with self._turns.setdefault(key, asyncio.Lock()):  # one edit after the other
            before = self._latest.files(key)
            if not self._latest.is_new(key, written):
                return
            try:
                await self._answer_news(key, written, origin, before)
            except BaseException:
                self._latest.forget(key)
                raise

    async def _answer_news(
        self, key: str, written: UserMessage, origin: Origin, before: frozenset[str] | None
    ) -> None:
        """Answer what was not heard yet; `before` are the files that the message had, if known."""
        job = await self._gateway.job_of(origin, key) if written.edited_at else None
        line = _line(written, origin, empty=HELP if job is None else GENERATE)
        image = None
        try:
            if job is None or (before is not None and not written.files <= before):
                image = await self._pictures.in_message(origin, written.message.get("files") or ())
        except UserError as error:
            card = cards.error(error, await self._gateway.locale(origin))
            self._background.start(self._answers.give(origin, card), name="answer")
            return
        if job is not None:
            changed = await self._gateway.rewrite(origin, line, job, image=image)
            if changed is not None and not is_outbox_card(changed):
                self._background.start(self._answers.give(origin, changed), name="answer")
            return
        if image is not None:
            thread = origin.thread_ts or str(written.message["ts"])
            await self._pictures.saw(origin, image, thread)
        else:
            image = await self._pictures.in_thread(origin)
        card = await self._gateway.line(origin, line, key=key, image=image, present=True)
        if not is_outbox_card(card):
            self._background.start(self._answers.give(origin, card), name="answer")


def _line(written: UserMessage, origin: Origin, *, empty: str) -> str:
    """Return a message as a line with a command; `empty` where it says nothing."""
    said = command_text.without_mention(written.text, origin.installation.bot_user)
    if said.startswith("/"):
        return command_text.line(said)
    prompt = command_text.prompt(said)
    return f"{GENERATE} {prompt}" if prompt else empty


async def _done() -> None:
    """Nothing is left to do."""
