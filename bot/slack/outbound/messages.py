"""Posts, edits and removes the messages of jobs through Slack's Web API.

Slack gives no means to ask for a message by anything but its `ts`, and channel history is not
read. So what must not come twice, the clip with its ping, is a file (see `files`). A card or
a row of buttons whose answer was lost comes twice; the second one is kept up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from bot.delivery.fallback import UNSEEN
from bot.platform import Outgoing, Receipt, Remember
from bot.slack.address import Address
from bot.slack.api.calls import Calls, slack_code
from bot.slack.outbound import blocks
from bot.slack.outbound.files import Destination, Files
from commands.text.card import Attachment, Card, CardKind
from commands.text.messages import FALLBACK, text
from commands.text.summary import description
from inference import crash_points
from inference.domain.errors import DeliveryError
from inference.domain.job import Job
from inference.domain.outbox import ActKind, Route
from inference.domain.spec import Mode

PATIENCE_SECONDS = 2.0
"""For a message's turn; after that the outbox comes again with its newest state."""

EVENT_TYPE = "rushes_job"
"""Of the metadata on cards: which job they are about."""

_log = structlog.get_logger(__name__)


class Poster:
    """Posts, edits and removes messages; see `bot.platform.Platform` for the contract."""

    def __init__(self, calls: Calls, files: Files) -> None:
        self._calls = calls
        self._files = files

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post a message, or go on where an earlier try was interrupted.

        Raises:
            DeliveryError: A refusal says why the message comes elsewhere, if it does.
        """
        try:
            return await self._post(message, remember)
        except DeliveryError as error:
            error.why = error.why or _why(message.route, error)
            # A file that may be there was looked for before anything could be refused.
            error.unsent = not error.transient and error.code != UNSEEN
            raise

    async def _post(self, message: Outgoing, remember: Remember) -> Receipt:
        address = Address(**message.job.address)
        target = await self._destination(address, message)
        attachment = message.card.attachment
        if attachment is None:
            links = await self._links_to_clips(address, target.channel, message)
            drawn = blocks.message(_explain(message.card, message), links=links)
            return await self._say(address, target, drawn, _metadata(message))
        return await self._bring(address, target, message, attachment, remember)

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Edit a card to its newest state; a message with a file stays as it is."""
        if "file" in receipt:
            return
        address, channel = Address(**message.job.address), receipt["channel"]
        links = await self._links_to_clips(address, channel, message)
        picture = await self._picture(address, channel, message)
        try:
            await self._update(receipt, message, links, picture)
        except DeliveryError as error:
            if picture is None or slack_code(error) != "invalid_blocks":
                raise
            await self._update(receipt, message, links, None)

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Delete a message, with its file."""
        address = Address(**job.address)
        if file_id := receipt.get("file"):
            await self._files.delete(address, file_id)
        for prefix in ("", "buttons_"):
            channel, ts = receipt.get(f"{prefix}channel"), receipt.get(f"{prefix}ts")
            if not ts:
                continue
            try:
                await self._calls.call(
                    address, "chat.delete", patience=PATIENCE_SECONDS, channel=channel, ts=ts
                )
            except DeliveryError as error:
                if slack_code(error) != "message_not_found":
                    raise

    async def hand(self, address: Address, card: Card) -> None:
        """Send a person a card outside the outbox, with its file if it has one.

        Args:
            address: Where it was asked for; a private card goes into the direct messages.
            card: What to say.

        Raises:
            DeliveryError: The caller may try it again.
        """
        alone = card.private or (card.attachment is not None and card.attachment.spoiler)
        target = await self._direct(address) if alone else _asked_in(address)
        if card.attachment is None:
            await self._say(address, target, blocks.message(card))
            return
        file_id = await self._files.upload(address, card.attachment)
        await self._files.complete(
            address,
            file_id,
            title=card.attachment.description,
            target=target,
            comment=blocks.comment(card),
        )
        if card.buttons:
            await self._say(address, target, blocks.controls(card))

    # -- where -------------------------------------------------------------------------------

    async def _destination(self, address: Address, message: Outgoing) -> Destination:
        match message.route:
            case Route.THREAD:
                return _below(message.card_receipt or {})
            case Route.CHANNEL:
                return _asked_in(address)
            case _:
                return await self._direct(address)

    async def _direct(self, address: Address) -> Destination:
        opened = await self._calls.call(
            address, "conversations.open", patience=PATIENCE_SECONDS, users=address.user
        )
        return Destination(channel=opened["channel"]["id"])

    # -- what --------------------------------------------------------------------------------

    async def _update(
        self,
        receipt: Receipt,
        message: Outgoing,
        links: Sequence[blocks.Link],
        picture: blocks.Picture | None,
    ) -> None:
        drawn = blocks.message(message.card, links=links, picture=picture)
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

    async def _links_to_clips(
        self, address: Address, channel: str, message: Outgoing
    ) -> list[blocks.Link]:
        """Return the links from a finished card to its files that all its readers may open."""
        links = []
        for label, clip in message.clip_links(_language(message)):
            if not _is_beside(channel, message, clip):
                continue
            try:
                url = await self._link_to(address, clip)
            except DeliveryError as error:
                if error.transient:
                    raise
                continue
            if url is not None:
                links.append(blocks.Link(url, label))
        return links

    async def _picture(
        self, address: Address, channel: str, message: Outgoing
    ) -> blocks.Picture | None:
        """Return the picture of a finished card, if its file is one.

        Slack shows in a message only pictures that are in its channel already, as the file of an
        image is. A poster of a clip would have to come with a second message: `slack_file` takes
        no video, and the frame that Slack makes of one has an address that needs our token, which
        `image_url` cannot bring.
        """
        clip = message.clip_receipt
        if clip is None or not _is_beside(channel, message, clip):
            return None
        if message.job.spec.mode is not Mode.TEXT_TO_IMAGE:
            return None
        try:
            shown = await self._files.is_shown_in(address, clip["file"], channel)
        except DeliveryError as error:
            if error.transient:
                raise
            return None
        alt_text = description(message.job, _language(message))
        return blocks.Picture(clip["file"], alt_text) if shown else None

    async def _say(
        self,
        address: Address,
        target: Destination,
        drawn: blocks.Message,
        metadata: dict[str, Any] | None = None,
        *,
        unfurl: bool = False,
    ) -> Receipt:
        """Post a text; with `unfurl`, Slack also shows what it links to."""
        posted = await self._calls.call(
            address,
            "chat.postMessage",
            patience=PATIENCE_SECONDS,
            channel=target.channel,
            thread_ts=target.thread_ts,
            text=drawn.text,
            blocks=drawn.blocks,
            metadata=metadata,
            unfurl_links=unfurl,
            unfurl_media=unfurl,
        )
        return {
            "channel": posted.get("channel", target.channel),
            "ts": posted["ts"],
            "thread_ts": target.thread_ts,
        }

    async def _bring(
        self,
        address: Address,
        target: Destination,
        message: Outgoing,
        attachment: Attachment,
        remember: Remember,
    ) -> Receipt:
        """Share a file, and put its buttons below: a message with a file cannot have any.

        What only its requester should see goes into their direct messages, and the ping stays.
        """
        to = await self._direct(address) if attachment.spoiler else target
        hidden = to.channel != target.channel  # in direct messages nobody else reads along
        if not hidden:
            to = target
        shown = _explain(replace(message.card, ping=False) if hidden else message.card, message)
        shared = await self._files.share(
            address, to, attachment, blocks.comment(shown), trace=message.trace, remember=remember
        )
        brought: Receipt = {"channel": to.channel, "ts": shared.ts, "file": shared.file_id}
        if shared.ts is None:
            links = [blocks.Link(shared.link, attachment.name)] if shared.link else []
            drawn = blocks.message(shown, links=links)
            brought["ts"] = (await self._say(address, to, drawn, unfurl=True))["ts"]
        if not hidden and (shared.ts is None or not message.card.buttons):
            return brought
        try:
            if hidden:
                url = await self._link_to(address, brought)
                links = [blocks.Link(url, attachment.name)] if url else []
                drawn = blocks.message(message.card, links=links)
            else:
                drawn = blocks.controls(message.card)
            crash_points.point("before:slack_buttons")
            below = await self._say(address, target, drawn)
            crash_points.point("after:slack_buttons")
        except DeliveryError as error:
            if error.transient:
                raise
            # The clip is there: another route would only bring it again.
            _log.warning("slack.buttons_refused", job=message.job.id, error=slack_code(error))
            return brought
        return {**brought, "buttons_ts": below["ts"], "buttons_channel": below["channel"]}

    async def _link_to(self, address: Address, receipt: Receipt) -> str | None:
        """Return a link to a message. A link to its file would share that once more."""
        if not receipt["ts"]:
            return None
        found = await self._calls.call(
            address,
            "chat.getPermalink",
            patience=PATIENCE_SECONDS,
            channel=receipt["channel"],
            message_ts=receipt["ts"],
        )
        return str(found["permalink"])


def _explain(card: Card, message: Outgoing) -> Card:
    """Return a card that says why it is not where it was expected, after the line that pings."""
    why = message.trace.get("why")
    if why is None:
        return card
    note = (text(why, _language(message)),)
    first = 1 if message.card.ping else 0
    return replace(card, lines=(*card.lines[:first], note, *card.lines[first:]))


def _language(message: Outgoing) -> str:
    return message.job.output.language or FALLBACK


def _is_beside(channel: str, message: Outgoing, clip: Receipt) -> bool:
    """Whether a card is finished and a posted file of it is in the same channel."""
    posted = clip.get("channel") == channel and bool(clip.get("ts") and clip.get("file"))
    return posted and message.card.kind is CardKind.DONE


def _why(route: Route, error: DeliveryError) -> str | None:
    """Return the catalog key of why a message is posted elsewhere."""
    code = slack_code(error)
    if error.transient:
        return None
    if error.code == "slack.no_thread":
        return "slack.why.card_gone"
    if code in {"file_uploads_disabled", "storage_limit_reached"}:
        return "slack.why.no_files"
    if code == "is_archived":
        return "slack.why.archived"
    if code in {"not_in_channel", "channel_not_found"}:
        return "slack.why.not_in_channel"
    return "slack.why.thread_closed" if route is Route.THREAD else "slack.why.channel_closed"


def _asked_in(address: Address) -> Destination:
    return Destination(channel=address.channel, thread_ts=address.thread_ts)


def _below(card: Receipt) -> Destination:
    """Return the thread of a posted card.

    Raises:
        DeliveryError: The card is nowhere, so there is none.
    """
    if "ts" not in card:
        raise DeliveryError("slack.no_thread", transient=False)
    return Destination(channel=card["channel"], thread_ts=card.get("thread_ts") or card["ts"])


def _metadata(message: Outgoing) -> dict[str, Any] | None:
    """Return the metadata that marks a job's card; other messages of its thread have none."""
    if message.kind is not ActKind.CARD:
        return None
    payload = {"job": message.job.id, "kind": message.kind.value}
    return {"event_type": EVENT_TYPE, "event_payload": payload}
