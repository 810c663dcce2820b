"""The platform port on Discord; see `bot.platform`.

The card goes where it was asked for, as the answer to the request or, when that was lost, as a
message. The file goes into a thread opened from the card; into the same channel where there are no
threads; to the person where the channel is closed to us. A message that comes elsewhere says why.
After the first answer nothing depends on the interaction: messages are posted and edited with the
bot's own token.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import discord

from bot.config.sections import DiscordSection
from bot.discord import connection
from bot.discord.address import NAME, Address, Posted, read_creation_time
from bot.discord.errors import translate_errors
from bot.discord.inbound.answers import Answers, ShownCard
from bot.discord.inbound.images import ImageFetcher
from bot.discord.outbound import destinations, messages
from bot.discord.outbound.edit_throttle import EditThrottle
from bot.discord.outbound.message_search import (
    SLACK_SECONDS,
    ForeignAnswer,
    SearchInconclusive,
    original,
    search,
)
from bot.discord.outbound.threads import Threads
from bot.discord.shared_token import SharedToken
from bot.platform import Outgoing, Receipt, Remember, Services
from inference.clock import Clock, SystemClock
from inference.domain.errors import DeliveryError
from inference.domain.job import Job, JobState
from inference.domain.outbox import ActKind, Route

NONCE_SECONDS = 90.0
"""Discord takes a message with the same nonce for the same one, for some minutes."""

UNSEEN_SECONDS = 3600.0
"""How long a message is held back whose channel cannot be searched; then it is kept."""
UNSEEN_PAUSE_SECONDS = 30.0
"""Between two looks."""


class DiscordPlatform:
    """Posts and edits with the bot's token, while `run` keeps the connection."""

    name = NAME

    def __init__(
        self,
        section: DiscordSection,
        token: str,
        fingerprint_path: Path,
        *,
        clock: Clock = SystemClock(),  # noqa: B008 - it has no state
    ) -> None:
        """Prepare; nothing connects before `run`.

        Args:
            section: The config.
            token: Of the bot.
            fingerprint_path: Keeps the fingerprint of the commands that Discord knows.
            clock: Tells how old messages and tokens are.
        """
        self.images = ImageFetcher(section.cdn_hosts, clock=clock)
        self._section = section
        self._token = token
        self._fingerprint_path = fingerprint_path
        self._clock = clock
        self._throttle = EditThrottle(clock)
        self._threads = Threads(section.thread_minutes, clock)
        self._language = "en"
        self._answers = Answers()
        self._shared_token: SharedToken | None = None
        self._connected: discord.Client | None = None

    @property
    def connected(self) -> bool:
        """Whether the gateway is connected; see `Platform`."""
        client = self._connected
        if client is None or client.is_closed() or not client.is_ready():
            return False
        if isinstance(client, discord.AutoShardedClient):
            return not any(shard.is_closed() for shard in client.shards.values())
        return client.ws is not None and client.ws.open

    async def run(self, services: Services) -> None:
        """Stay connected until cancelled; see `Platform`.

        Raises:
            UserError: `discord.token_rejected`.
        """
        self._language = services.language
        shared_token = SharedToken(services.jobs, services.health, services.language, self._clock)
        self._shared_token = shared_token
        async with connection.log_in(self._section, self._token) as client:
            self._connected = client
            try:
                await connection.serve(
                    client,
                    self._section,
                    services,
                    self._answers,
                    fingerprint_path=self._fingerprint_path,
                    shared_token=shared_token,
                )
            finally:
                self._connected = None

    async def upload_limit(self, job: Job) -> int:
        """Return the guild's upload limit in bytes; see `Platform`."""
        guild_id = Address(**job.address).guild
        guild = self._client.get_guild(guild_id) if guild_id is not None else None
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post a message, unless the answer to the request shows it already; see `Platform`."""
        client = self._client
        with translate_errors(client, message.job, "discord.why.channel_closed"):
            if message.kind is ActKind.CARD:
                shown = await self._find_card(message)
                if shown.posted is not None:
                    if shown.card != message.card:
                        await self._refresh(shown.posted, message)
                    return shown.posted.as_receipt()
        thread = _thread(message)
        why = "discord.why.thread_closed" if thread else "discord.why.channel_closed"
        with translate_errors(client, message.job, why, thread=thread is not None):
            lang = self._locale(message)
            channel = await self._destination(message)
            if thread is not None:
                channel = await self._threads.open(client, thread, message, remember, lang)
            try:
                sent = await destinations.retry_unarchived(
                    client, channel, lambda: messages.send(client, channel, message, lang)
                )
            finally:
                self._threads.note_clip(channel)
            layout = sent.flags.components_v2
            return Posted(channel=channel, message=sent.id, layout=layout).as_receipt()

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Edit a message to its newest state; see `Platform`."""
        posted = Posted(**receipt)
        client = self._client
        if _is_passing(message) and not self._throttle.allows(posted):
            return
        self._throttle.note_edit(posted)
        with translate_errors(client, message.job):
            await destinations.retry_unarchived(
                client,
                posted.channel,
                lambda: messages.edit(client, posted, message, self._locale(message)),
            )

    async def find(self, message: Outgoing) -> Receipt | None:
        """Search the channel for the message; see `Platform`."""
        with translate_errors(self._client, message.job):
            if message.kind is ActKind.CARD:
                found = (await self._find_card(message)).posted
            else:
                found = await self._search(message)
            return found.as_receipt() if found else None

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Delete a message; see `Platform`."""
        posted = Posted(**receipt)
        client = self._client
        with translate_errors(client, job), contextlib.suppress(discord.NotFound):
            await messages.partial(client, posted).delete()

    @property
    def _client(self) -> discord.Client:
        """The client.

        Raises:
            DeliveryError: It is not connected.
        """
        if self._connected is None or self._connected.is_closed():
            raise DeliveryError("delivery.not_connected", transient=True)
        return self._connected

    # -- the answer to the request -------------------------------------------------------------

    async def _find_card(self, message: Outgoing) -> ShownCard:
        """Return where a job's card is already, most likely as the answer to the request.

        Raises:
            DeliveryError: Another process with our token answered it, and makes the job.
        """
        address = Address(**message.job.address)
        shown = await self._answers.card(address.interaction)
        if shown is not None:
            return shown
        # Its fate is unknown: lost on the way, or given by the process before this one.
        answerable = address.answerable(self._clock.now())
        if answerable:
            try:
                posted = await original(self._client, address, message.job)
            except ForeignAnswer as error:
                if self._shared_token is not None and message.job.key is not None:
                    self._shared_token.report_other_process()
                    await self._shared_token.withdraw(message.job.key)
                raise DeliveryError(
                    "delivery.closed", transient=False, reason="two_hosts"
                ) from error
            if posted is not None:
                return ShownCard(posted=posted)
        try:
            return ShownCard(posted=await self._search(message))
        except DeliveryError:
            if answerable and "begun" not in message.trace:
                return ShownCard()  # it is not the answer, and we have posted nothing yet
            raise

    async def _search(self, message: Outgoing) -> Posted | None:
        """Look for what an earlier try may have posted.

        Raises:
            DeliveryError: We are not allowed to look, and a second message might be a double.
        """
        channel = await self._destination(message)
        now = self._clock.now()
        asked = Address(**message.job.address).interaction
        answered = read_creation_time(asked).timestamp()
        first = message.trace.get("begun", answered)
        elapsed = max(0.0, now - first)
        if first > now + SLACK_SECONDS:  # the clock was set back: only Discord's own time is left
            first, elapsed = answered, math.inf
        since = min(first, answered) if message.kind is ActKind.CARD else first
        try:
            return await search(self._client, channel, message, after=asked, since=since)
        except SearchInconclusive as error:
            raise DeliveryError(
                "delivery.unseen",
                transient=elapsed < UNSEEN_SECONDS,
                retry_after=UNSEEN_PAUSE_SECONDS,
                repeatable=message.kind is not ActKind.CARD and elapsed < NONCE_SECONDS,
            ) from error

    async def _refresh(self, posted: Posted, message: Outgoing) -> None:
        """Edit a card that was found to its newest state, unless it was deleted."""
        try:
            await self.edit(posted.as_receipt(), message)
        except DeliveryError as error:
            if error.transient:
                raise

    # -- where it goes -------------------------------------------------------------------------

    async def _destination(self, message: Outgoing) -> int:
        """Return the id of the channel, thread or direct message that a message goes to.

        Raises:
            DeliveryError: There is none.
        """
        address = Address(**message.job.address)
        card = Posted.from_receipt(message.card_receipt)
        match message.route:
            case Route.DIRECT:
                return await destinations.direct(self._client, address.user)
            case Route.THREAD if card is not None and card.channel != address.channel:
                return card.channel  # it could not be posted where it was asked for
            case Route.THREAD if address.threads:
                if card is None:
                    raise DeliveryError(
                        "delivery.thread_gone", transient=False, why="discord.why.card_gone"
                    )
                return card.message  # a message and the thread opened from it have the same id
            case _:
                return address.channel

    def _locale(self, message: Outgoing) -> str:
        return message.job.output.language or self._language


def _thread(message: Outgoing) -> Posted | None:
    """Return the card in whose own thread a message belongs; None where it belongs elsewhere."""
    address = Address(**message.job.address)
    card = Posted.from_receipt(message.card_receipt)
    own = message.route is Route.THREAD and address.threads
    return card if own and card is not None and card.channel == address.channel else None


def _is_passing(message: Outgoing) -> bool:
    """Whether a newer state follows soon, so that this one may be left out."""
    ending = message.job.state in {JobState.FINISHING, JobState.DELIVERING}
    return message.card.progress is not None or ending
