"""Handles mentions and direct messages; in threads, Slack offers no slash commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.background import ACK_SECONDS
from bot.slack.inbound import command_text
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.inbox import InboundRequest
from bot.slack.inbound.messages import UserMessage
from bot.slack.installations import WorkspaceInstallation
from bot.slack.origin import Origin, of_event
from commands.parsing.greetings import is_greeting
from commands.text import replies
from commands.text.card import Card
from inference.domain.errors import UserError

Next = Callable[[], Awaitable[None]]

GENERATE = "/generate"
"""What a message without a command means."""

HELP = "/rushes help"
"""What a mention without a word means, and one that only says hello."""


async def accept(
    body: dict[str, Any],
    context: AsyncBoltContext,
    deps: Dependencies,
    inbound: InboundRequest,
    next: Next,  # noqa: A002 - the library passes it by this name
) -> None:
    """Answer a mention or a direct message; in channels only mentions count."""
    event = body["event"]
    message = UserMessage.read(event)
    direct = event.get("channel_type") == "im"
    if message is not None and (direct or event["type"] == "app_mention"):
        origin = of_event({**body, "event": message.message}, context, context["installation"])
        work = _answer(message, origin, deps)
        await inbound.acknowledge(next, work, name="mention", seconds=ACK_SECONDS)
    else:
        await next()


async def note_file(
    body: dict[str, Any], installation: WorkspaceInstallation, deps: Dependencies
) -> None:
    """Keep the id of a shared file, which may be meant by "the last image of this thread"."""
    event = body["event"]
    channel, file = event.get("channel_id"), event.get("file_id")
    if channel and file:
        origin = Origin(
            installation=installation,
            team=installation.team,
            user=event.get("user_id") or "",
            channel=channel,
        )
        deps.background.start(deps.images.saw(origin, file, None), name="file")


async def _answer(message: UserMessage, origin: Origin, deps: Dependencies) -> None:
    key = origin.key
    if key is None:
        return
    async with deps.edits.lock(key):  # one edit after the other
        before = deps.edits.files(key)
        if not deps.edits.is_new(key, message):
            return
        try:
            card = await _answer_new(key, message, origin, deps, before)
        except BaseException:
            deps.edits.forget(key)
            raise
    if card is not None:
        await deps.answers.give(origin, card)


async def _answer_new(
    key: str,
    message: UserMessage,
    origin: Origin,
    deps: Dependencies,
    before: frozenset[str] | None,
) -> Card | None:
    """Answer what is new; `before` are the files that the message had, if known."""
    job = await deps.gateway.job_of(origin, key) if message.edited_at else None
    text = _command_text(message, origin, deps, empty=HELP if job is None else GENERATE)
    image = None
    try:
        if job is None or (before is not None and not message.files <= before):
            image = await deps.images.in_message(origin, message.message)
    except UserError as error:
        return replies.error(error, await deps.gateway.locale(origin))
    if job is not None:
        return await deps.gateway.rewrite(origin, text, job, image=image)
    if image is not None:
        thread = origin.thread_ts or str(message.message["ts"])
        await deps.images.saw(origin, image, thread)
    else:
        image = await deps.images.in_thread(origin)
    return await deps.gateway.run_text(origin, text, image=image, present=True)


def _command_text(message: UserMessage, origin: Origin, deps: Dependencies, *, empty: str) -> str:
    """Return a message as the text of a command; `empty` where it says nothing."""
    said = command_text.without_mention(message.text, origin.installation.bot_user)
    if said.startswith("/"):
        said = deps.prefix.ours(said)
        return command_text.command(said, deps.services.commands.parents)
    prompt = command_text.prompt(said)
    if empty == HELP and is_greeting(prompt):
        return HELP
    return f"{GENERATE} {prompt}" if prompt else empty
