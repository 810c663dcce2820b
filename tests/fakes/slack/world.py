"""Everything that is there: teams, people, channels, messages, files; and what went on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from tests.fakes.rushes_process import wait_limit
from tests.fakes.slack.model import (
    Channel,
    File,
    Installation,
    Json,
    Message,
    State,
    Team,
    User,
    View,
    everything,
)
from tests.fakes.slack.records import Call, Delivery, SlackError

T = TypeVar("T")

PATIENCE_SECONDS = 180.0
"""How long a person waits for something, unless a test says otherwise."""


class World:
    """The state behind the API. Changes wake everybody who waits in `until`."""

    def __init__(self) -> None:
        self.teams: dict[str, Team] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.installations: list[Installation] = []
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[tuple[str, str], View] = {}
        """Home tabs by team and user."""
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.calls: list[Call] = []
        self.deliveries: list[Delivery] = []
        self.violations: list[str] = []
        self.ahead = 0.0
        """Seconds that tests let pass."""
        self.strict = False
        """Whether triggers, tickets and response URLs expire in real time; else only when a test
        moves the clock, because the app shares this machine with others."""
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()

    # -- waiting -----------------------------------------------------------------------------

    def touch(self) -> None:
        """Wake everybody who waits: something changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, found: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
        """Wait until `found` returns something true, and return it.

        Raises:
            AssertionError: It did not in time.
        """
        with contextlib.suppress(TimeoutError):
            async with wait_limit(seconds):
                while not (result := found()):
                    await self._changed.wait()
                return result
        raise AssertionError(f"did not happen in {seconds} s; violations: {self.violations}")

    # -- making ------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass for what expires; rate limits stay on real time."""
        self.ahead += seconds

    def identity(self, prefix: str) -> str:
        """Return a fresh id as Slack forms them."""
        return f"{prefix}0LB{next(self._ids):06d}"

    def timestamp(self) -> str:
        """Return the `ts` of a new message."""
        return f"{int(time.time())}.{next(self._ids):06d}"

    def violate(self, sentence: str) -> None:
        """Write down that the app did what Slack does not allow."""
        self.violations.append(sentence)
        self.touch()

    def post(
        self,
        channel: Channel,
        *,
        user: str,
        team: Team,
        text: str,
        blocks: list[Json] | None = None,
        metadata: Json | None = None,
        thread_ts: str | None = None,
        bot_id: str | None = None,
        files: list[File] | None = None,
        only_for: str | None = None,
    ) -> Message:
        """Show a message to everybody in a channel, or to one of them."""
        state = State(at=time.monotonic(), text=text, blocks=blocks or [], metadata=metadata)
        message = Message(
            channel=channel,
            ts=self.timestamp(),
            user=user,
            team=team,
            states=[state],
            thread_ts=thread_ts,
            bot_id=bot_id,
            files=files or [],
            only_for=only_for,
        )
        channel.messages.append(message)
        self.touch()
        return message

    def open_im(self, installation: Installation, user: str) -> Channel:
        """Return the direct messages between an installation's bot and a person."""
        members = {user, installation.bot.id}
        for channel in self.channels.values():
            if channel.kind == "im" and channel.members == members:
                return channel
        channel = Channel(
            id=self.identity("D"), name="", kind="im", teams=[installation.team], members=members
        )
        self.channels[channel.id] = channel
        return channel

    def trigger(self, installation: Installation, user: str) -> str:
        """Return a fresh `trigger_id` for an act of a person."""
        identity = f"{next(self._ids)}.{next(self._ids)}.{secrets.token_hex(16)}"
        self.triggers[identity] = Trigger(installation=installation, user=user, age=Age(self))
        return identity

    # -- looking -----------------------------------------------------------------------------

    def installation(self, team: Team) -> Installation | None:
        """Return the working installation of a team."""
        return next((i for i in self.installations if i.team is team and not i.revoked), None)

    def channel_for(self, installation: Installation, channel_id: object) -> Channel:
        """Return a channel that a team's token can see.

        Raises:
            SlackError: There is none; somebody else's private business looks the same.
        """
        channel = self.channels.get(str(channel_id))
        if channel is None:
            raise SlackError("channel_not_found")
        if installation.team not in channel.teams:
            self.violate(f"the token of {installation.team.name} asked for {channel.name}")
            raise SlackError("channel_not_found")
        if channel.kind != "public" and installation.bot.id not in channel.members:
            raise SlackError("channel_not_found")
        return channel

    def messages(self) -> list[Message]:
        """Return all messages that were not deleted, in order."""
        found = (m for c in self.channels.values() for m in c.messages if not m.deleted)
        return sorted(found, key=lambda message: float(message.ts))

    def shown_to(self, team: Team) -> list[str]:
        """Return everything that members of a team could ever see from the app, written out."""
        shown = []
        for channel in self.channels.values():
            for message in channel.messages:
                reader = self.users.get(message.only_for or "")
                if message.bot_id is None:
                    continue
                if (reader.team is team) if reader else (team in channel.teams):
                    shown += [f"{s.text} {everything(s.blocks)}" for s in message.states]
                    shown += [f"{file.name} {file.title}" for file in message.files]
        for view in [*self.views.values(), *self.homes.values()]:
            if self.users[view.user].team is team:
                shown += [everything(state) for state in view.states]
        return shown


class Age:
    """Time since something was made: what tests let pass, in a strict world real seconds too."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made_at = time.monotonic()
        self._made_ahead = world.ahead

    @property
    def seconds(self) -> float:
        """Return the age."""
        real = time.monotonic() - self._made_at if self._world.strict else 0.0
        return real + self._world.ahead - self._made_ahead


class Trigger:
    """An act of a person that lets the app open one modal within three seconds."""

    SECONDS = 3.0

    def __init__(self, *, installation: Installation, user: str, age: Age) -> None:
        self.installation = installation
        self.user = user
        self.parent: View | None = None
        """The modal in which the act happened."""
        self._age = age
        self._used = False

    def exchange(self) -> None:
        """Use it.

        Raises:
            SlackError: It was used before, or it is too old.
        """
        if self._used:
            raise SlackError("exchanged_trigger_id")
        if self._age.seconds > self.SECONDS:
            raise SlackError("expired_trigger_id")
        self._used = True


class ResponseUrl:
    """A place to answer one act of a person, five times within half an hour."""

    SECONDS = 30 * 60.0
    USES = 5

    def __init__(
        self,
        *,
        installation: Installation,
        channel: Channel,
        user: str,
        thread_ts: str | None,
        age: Age,
        message: Message | None = None,
    ) -> None:
        self.installation = installation
        self.channel = channel
        self.user = user
        self.thread_ts = thread_ts
        self.message = message
        """The message with the button that was pressed."""
        self._age = age
        self._uses = 0

    def use(self) -> bool:
        """Count an answer; return whether it is still taken."""
        self._uses += 1
        return self._uses <= self.USES and self._age.seconds <= self.SECONDS
