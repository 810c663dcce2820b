"""The ways out: what the outbox asks for, as calls of the Web API.

Slack gives no means to ask for a message by anything but its `ts`, and channel history is not read.
So what hurts when it comes twice, the clip with its ping, is a file: its id is kept before the call
that shares it, and afterwards Slack is asked whether the file is there.
"""

from __future__ import annotations

from typing import Any, NoReturn

from bot.platform import Outgoing, Receipt, Remember
from bot.slack import blocks
from bot.slack.address import Address
from bot.slack.calls import Calls, slack_code
from bot.slack.files import Files, Place
from commands.card import Attachment, Card
from inference import faults
from inference.errors import DeliveryError
from inference.jobs.model import Job
from inference.store.outbox import ActKind, Route

UPLOAD_LIMIT = 10**9
"""Bytes of a file; workspaces may take less, and say so when it is announced."""

MOST_COMPLETIONS = 2
"""A file that was not shared is completed once again; after that people get its link."""

PATIENCE_SECONDS = 2.0
"""For a message's turn; after that the outbox comes again with its newest state."""

EVENT_TYPE = "rushes_job"
"""Of the metadata on our messages: which job they are about."""


class Posting:
    """Posts, edits and removes messages; see `bot.platform.Platform` for the contract."""

    def __init__(self, calls: Calls, files: Files) -> None:
        self._calls = calls
        self._files = files

    async def upload_limit(self, job: Job) -> int:  # noqa: ARG002 - the port's signature
        """Return what Slack takes at most."""
        return UPLOAD_LIMIT

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post a message, or go on where an earlier try was interrupted."""
        address = Address(**message.job.address)
        place = await self._place(address, message)
        attachment = message.card.attachment
        if attachment is None:
            return await self._say(address, place, message.card, message.kind)
        return await self._bring(address, place, message, attachment, remember)

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Bring a card to its newest state; a message with a file stays as it is."""
        if "file" in receipt:
            return
        drawn = blocks.message(message.card)
        await self._calls.call(
            Address(**message.job.address),
            "chat.update",
            fleeting=message.fleeting,
            channel=receipt["channel"],
            ts=receipt["ts"],
            text=drawn.text,
            blocks=drawn.blocks,
            parse="none",
        )

    async def find(self, message: Outgoing) -> Receipt | None:  # noqa: ARG002 - the port's signature
        """Return None: only files can be asked after, and `post` goes on with those itself."""
        return None

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Take a message back, with its file."""
        address = Address(**job.address)
        if file_id := receipt.get("file"):
            await self._files.delete(address, file_id)
        if not receipt.get("ts"):
            return
        try:
            await self._calls.call(
                address, "chat.delete", channel=receipt["channel"], ts=receipt["ts"]
            )
        except DeliveryError as error:
            if slack_code(error) != "message_not_found":
                raise

    async def hand(self, address: Address, card: Card) -> None:
        """Bring somebody a card outside the outbox, with its file if it has one.

        Args:
            address: Where it was asked for; a private card goes into the direct messages.
            card: What to say.

        Raises:
            DeliveryError: It may be tried again by whoever asked.
        """
        place = await self._direct(address) if card.private else _asked_in(address)
        if card.attachment is None:
            await self._say(address, place, card)
            return
        file_id = await self._files.upload(address, card.attachment)
        await self._files.complete(
            address,
            file_id,
            title=card.attachment.name,
            place=place,
            blocks=blocks.message(card).blocks,
        )

    # -- where -------------------------------------------------------------------------------

    async def _place(self, address: Address, message: Outgoing) -> Place:
        match message.route:
            case Route.THREAD:
                return _below(message.card_receipt or {})
            case Route.CHANNEL:
                return _asked_in(address)
            case _:
                return await self._direct(address)

    async def _direct(self, address: Address) -> Place:
        opened = await self._calls.call(
            address, "conversations.open", patience=PATIENCE_SECONDS, users=address.user
        )
        return Place(channel=opened["channel"]["id"])

    # -- what --------------------------------------------------------------------------------

    async def _say(
        self,
        address: Address,
        place: Place,
        card: Card,
        kind: ActKind | None = None,
        *,
        link: str | None = None,
    ) -> Receipt:
        """Post a text."""
        drawn = blocks.message(card, link=link)
        posted = await self._calls.call(
            address,
            "chat.postMessage",
            patience=PATIENCE_SECONDS,
            channel=place.channel,
            thread_ts=place.thread_ts,
            text=drawn.text,
            blocks=drawn.blocks,
            metadata=_metadata(card, kind),
            unfurl_links=link is not None,  # our own file: shown, and readable for all there
            unfurl_media=link is not None,
        )
        return {
            "channel": posted.get("channel", place.channel),
            "ts": posted["ts"],
            "thread_ts": place.thread_ts,
        }

    async def _bring(
        self,
        address: Address,
        place: Place,
        message: Outgoing,
        attachment: Attachment,
        remember: Remember,
    ) -> Receipt:
        """Share a file, and see that it is there; `asked` counts completions that may have worked.

        A try that was interrupted is taken up where its trace says that it was.
        """
        file_id: str | None = message.trace.get("file_id")
        asked: int = message.trace.get("asked", 0)
        if file_id is None:
            file_id, asked = await self._files.upload(address, attachment), 0
            faults.point("after:slack_upload")
        while True:
            if asked:
                ts = await self._files.shared(address, file_id, place.channel)
                if ts is not None:
                    return {"channel": place.channel, "ts": ts, "file": file_id}
            if asked == MOST_COMPLETIONS:
                break
            await remember({"file_id": file_id, "asked": asked + 1})
            faults.point("before:slack_complete")
            try:
                await self._files.complete(
                    address,
                    file_id,
                    title=attachment.name,
                    place=place,
                    blocks=blocks.message(message.card).blocks,
                )
            except DeliveryError as error:
                if error.code == "slack.unreachable":
                    raise
                if asked and not error.transient:  # the ticket was good for once
                    break
                await self._not_completed(file_id, asked, error, remember)
            faults.point("after:slack_complete")
            asked += 1
        try:
            link = await self._files.permalink(address, file_id)
        except DeliveryError as error:
            await self._not_completed(file_id, asked, error, remember)
        posted = await self._say(address, place, message.card, message.kind, link=link)
        return {**posted, "file": file_id}

    async def _not_completed(
        self, file_id: str, asked: int, error: DeliveryError, remember: Remember
    ) -> NoReturn:
        """Note how far it came, and raise what stopped it."""
        if slack_code(error) == "file_not_found":  # the reservation ran out: start again
            await remember({"file_id": None, "asked": 0})
            raise DeliveryError("slack.upload_lost", transient=True) from error
        await remember({"file_id": file_id, "asked": asked})
        raise error


def _asked_in(address: Address) -> Place:
    return Place(channel=address.channel, thread_ts=address.thread_ts)


def _below(card: Receipt) -> Place:
    """Return the thread of a posted card.

    Raises:
        DeliveryError: The card is nowhere, so there is none.
    """
    if "ts" not in card:
        raise DeliveryError("slack.no_thread", transient=False)
    return Place(channel=card["channel"], thread_ts=card.get("thread_ts") or card["ts"])


def _metadata(card: Card, kind: ActKind | None) -> dict[str, Any] | None:
    if card.job is None or kind is None:
        return None
    return {"event_type": EVENT_TYPE, "event_payload": {"job": card.job, "kind": kind.value}}
