"""People: what they do with their Slack clients, and what they see there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.fakes.slack import acts
from tests.fakes.slack.application import RESERVED
from tests.fakes.slack.files import record_shares
from tests.fakes.slack.forms import fill_in
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import (
    Channel,
    File,
    Installation,
    Json,
    Message,
    User,
    View,
    elements,
)
from tests.fakes.slack.payloads import (
    file_json,
    view_json,
)
from tests.fakes.slack.records import Delivery, Refused
from tests.fakes.slack.responses import answer_act, new_response_url
from tests.fakes.slack.views import change, open_modals, show
from tests.fakes.slack.world import PATIENCE_SECONDS

Upload = Path | tuple[str, bytes] | File
"""A file of a person's machine: a path, or name and bytes; or one that is on Slack already."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How the app took an act."""

    delivery: Delivery
    trigger_id: str

    @property
    def acknowledged(self) -> bool:
        """Whether it answered in time; otherwise the person sees a warning sign."""
        return self.delivery.seconds is not None

    @property
    def payload(self) -> Json:
        """What the acknowledgement carried."""
        return self.delivery.payload


class Person:
    """Somebody with a Slack client."""

    def __init__(self, hub: Hub, user: User) -> None:
        self.user = user
        self._hub = hub

    @property
    def id(self) -> str:
        """The user id."""
        return self.user.id

    @property
    def mention(self) -> str:
        """How a message names them."""
        return f"<@{self.id}>"

    # -- acts --------------------------------------------------------------------------------

    async def command(
        self, channel: Channel, command: str, text: str = "", *, thread: Message | None = None
    ) -> Reply:
        """Type a slash command.

        Raises:
            Refused: Slack's client does not offer it here.
        """
        self._enter(channel)
        known = self._hub.application.commands
        if thread is not None:
            raise Refused("slash commands do not work in threads")
        if command in RESERVED:
            raise Refused(f"{command} is Slack's own")
        if known is not None and command not in known:
            raise Refused(f"{command} is not a valid command")
        installation = self._installed()
        trigger = self._hub.world.trigger(installation, self.id)
        url = new_response_url(self._hub, installation, channel, self.id)
        payload = acts.command_typed(self.user, channel, command, text, trigger=trigger, url=url)
        delivery = await self._hub.mail.act("slash_commands", command, installation, payload)
        self._see(url, delivery.payload)
        return Reply(delivery=delivery, trigger_id=trigger)

    async def until_heard(self, channel: Channel, command: str, text: str = "") -> Reply:
        """Type a slash command again and again until the app heard it."""
        while not (reply := await self.command(channel, command, text)).acknowledged:  # noqa: ASYNC110 - only Slack knows when
            await asyncio.sleep(0.05)
        return reply

    def say(
        self,
        channel: Channel,
        text: str,
        *,
        thread: Message | None = None,
        files: Iterable[Upload] = (),
        shares: Message | None = None,
    ) -> Message:
        """Write a message; the app hears of it if it is mentioned, or in direct messages.

        It may forward another one.
        """
        self._enter(channel)
        hub = self._hub
        message = hub.world.post(
            channel,
            user=self.id,
            team=self.user.team,
            text=text,
            thread_ts=(thread.thread_ts or thread.ts) if thread else None,
            files=[self.attach(file) for file in files],
        )
        message.shares = shares
        record_shares(hub, message.files, channel, message.ts, message.thread_ts)
        for installation in self._listening(channel):
            if channel.kind == "im":
                self._tell(installation, message, {"type": "message", "channel_type": "im"})
            elif f"<@{installation.bot.id}>" in text:
                self._tell(installation, message, {"type": "app_mention"})
        return message

    def edit(self, message: Message, text: str, *, files: Iterable[Upload] | None = None) -> None:
        """Change what a message of theirs says, and which files it has if `files` are given.

        The app hears of the mention once more, under another event id; in direct messages it hears
        what the message was and is.

        Raises:
            Refused: It is somebody else's.
        """
        if message.user != self.id:
            raise Refused("that message is somebody else's")
        before, files_before = message.text, message.files
        hub, channel = self._hub, message.channel
        if files is not None:
            message.files = [self.attach(file) for file in files]
            record_shares(hub, message.files, channel, message.ts, message.thread_ts)
        message.states.append(replace(message.states[-1], at=time.monotonic(), text=text))
        hub.world.touch()
        edited = {"edited": {"user": self.id, "ts": hub.world.timestamp()}}
        for installation in self._listening(channel):
            if channel.kind == "im":
                changed = acts.message_changed(hub, message, before, edited, files_before)
                hub.event(installation, changed)
            elif f"<@{installation.bot.id}>" in text:
                self._tell(installation, message, {"type": "app_mention", **edited})

    def unfurl(self, message: Message) -> None:
        """Let Slack show what a link in a message leads to, a moment after it was written."""
        for installation in self._listening(message.channel):
            changed = acts.message_changed(self._hub, message, message.text, {}, message.files)
            self._hub.event(installation, changed)

    def _listening(self, channel: Channel) -> list[Installation]:
        """Return the installations whose bot is in a channel."""
        return [
            installation
            for installation in self._hub.world.installations
            if installation.bot.id in channel.members and not installation.revoked
        ]

    def mention_app(
        self,
        channel: Channel,
        text: str,
        *,
        thread: Message | None = None,
        files: Iterable[Upload] = (),
        of: Installation | None = None,
    ) -> Message:
        """Write `@app …`; in a shared channel, `of` says which of the apps."""
        bot = (of or self._installed()).bot
        return self.say(channel, f"<@{bot.id}> {text}", thread=thread, files=files)

    async def shortcut(self, name: str) -> Reply:
        """Choose a global shortcut by its name or callback id."""
        return await self._interact(
            acts.shortcut_chosen(self._shortcut(name)), name=name, installation=self._installed()
        )

    async def message_shortcut(self, name: str, message: Message) -> Reply:
        """Choose a shortcut in the menu of a message."""
        payload = acts.message_shortcut_chosen(self._hub, self._shortcut(name), message)
        return await self._interact(payload, name=name, installation=self._installed(), on=message)

    async def click(self, thing: Message | View, button: str, *, value: Any = None) -> Reply:
        """Press a button by its label or action id, or choose `value` in a menu.

        Raises:
            Refused: There is no such button, or it cannot be seen.
        """
        blocks = thing.blocks if isinstance(thing, Message) else thing.content["blocks"]
        element, chosen = _pressable(blocks, button), {}
        name = element["action_id"]
        if value is not None:
            [filled] = fill_in({"blocks": [_alone(element)]}, {name: value}, self.attach).values()
            chosen = filled[name]
        payload = acts.pressed(element, blocks, chosen)
        installation = self._hub.world.installation(thing.team)
        if installation is None:
            raise Refused("that button does nothing any more")
        if isinstance(thing, View):
            payload |= acts.in_view(thing, installation)
            return await self._interact(payload, name=name, installation=installation, view=thing)
        self._enter(thing.channel)
        if thing.only_for not in {None, self.id}:
            raise Refused(f"{self.user.name} does not see that button")
        payload |= acts.in_message(self._hub, thing)
        return await self._interact(payload, name=name, installation=installation, on=thing)

    async def submit(self, view: View, answers: Mapping[str, Any] | None = None) -> Reply:
        """Fill in a modal and send it; sometimes it goes off twice."""
        if not view.open or view.user != self.id:
            raise Refused("that modal is closed")
        installation = self._hub.world.installation(view.team)
        assert installation is not None
        values = fill_in(view.content, answers or {}, self.attach)
        for fields in values.values():
            for value in fields.values():
                if "files" in value:
                    value["files"] = [file_json(f, self._hub.url) for f in value["files"]]
        payload = {
            "type": "view_submission",
            "view": view_json(view, installation, values),
            "response_urls": [],
        }
        name = view.content.get("callback_id", "")
        times = 2 if self._hub.faults.happens(self._hub.faults.doubled_views) else 1
        sent = [
            self._interact(dict(payload), name=name, installation=installation, view=view)
            for _ in range(times)
        ]
        reply, *_ = await asyncio.gather(*sent)
        if reply.acknowledged:
            self._after_submission(installation, view, reply.payload)
        return reply

    async def open_home(self) -> None:
        """Open the app's home tab; `home` shows it."""
        installation = self._installed()
        home = self._hub.world.homes.get((installation.team.id, self.id))
        event = acts.home_opened(self.user, installation, self.dm, home)
        self._hub.event(installation, event)

    def attach(self, given: Upload) -> File:
        """Put a file of their machine into Slack, or take one that is there."""
        if isinstance(given, File):
            return given
        name, data = (given.name, given.read_bytes()) if isinstance(given, Path) else given
        file = File(
            id=self._hub.world.identity("F"),
            name=name,
            team=self.user.team,
            user=self.id,
            length=len(data),
            data=data,
            completed=True,
            looked_into=True,
        )
        self._hub.world.files[file.id] = file
        return file

    # -- what they see -----------------------------------------------------------------------

    @property
    def modal(self) -> View | None:
        """The topmost modal before them."""
        return next(reversed(open_modals(self._hub.world, self.id)), None)

    @property
    def home(self) -> View | None:
        """Their home tab, as far as the app published one."""
        return self._hub.world.homes.get((self.user.team.id, self.id))

    @property
    def dm(self) -> Channel:
        """Their direct messages with their own workspace's app."""
        return self._hub.world.open_im(self._installed(), self.id)

    def sees(self, channel: Channel) -> list[Message]:
        """Return what is in a channel for them, private answers included."""
        if self.id not in channel.members:
            return []
        there = (message for message in channel.messages if not message.deleted)
        return [message for message in there if message.only_for in {None, self.id}]

    async def wait_for_modal(
        self, test: Callable[[View], object] = bool, seconds: float = PATIENCE_SECONDS
    ) -> View:
        """Wait for a modal that passes a test."""
        return await self._hub.world.until(
            lambda: self.modal if self.modal and test(self.modal) else None, seconds
        )

    async def wait_for_home(self, seconds: float = PATIENCE_SECONDS) -> View:
        """Wait until the app published a home tab for them."""
        return await self._hub.world.until(lambda: self.home, seconds)

    async def wait_for(
        self,
        channel: Channel,
        test: Callable[[Message], object],
        seconds: float = PATIENCE_SECONDS,
    ) -> Message:
        """Wait for a message in a channel that passes a test."""
        return await self._hub.world.until(
            lambda: next((m for m in self.sees(channel) if test(m)), None), seconds
        )

    # -- how ---------------------------------------------------------------------------------

    def _enter(self, channel: Channel) -> None:
        if self.id not in channel.members:
            raise Refused(f"{self.user.name} is not in {channel.name}")

    def _installed(self) -> Installation:
        installation = self._hub.world.installation(self.user.team)
        if installation is None:
            raise Refused(f"{self.user.team.name} has no such app")
        return installation

    def _shortcut(self, name: str) -> str:
        known = self._hub.application.shortcuts
        if known and name not in {*known, *known.values()}:
            raise Refused(f"there is no shortcut {name}")
        return known.get(name, name)

    async def _interact(
        self,
        payload: Json,
        *,
        name: str,
        installation: Installation,
        on: Message | None = None,
        view: View | None = None,
    ) -> Reply:
        trigger = self._hub.world.trigger(installation, self.id)
        self._hub.world.triggers[trigger].parent = view
        payload |= acts.interaction(self.user, installation, trigger=trigger)
        if on is not None:
            payload["response_url"] = new_response_url(
                self._hub, installation, on.channel, self.id, thread_ts=on.thread_ts, message=on
            )
        delivery = await self._hub.mail.act("interactive", name, installation, payload)
        return Reply(delivery=delivery, trigger_id=trigger)

    def _tell(self, installation: Installation, message: Message, kind: Json) -> None:
        event = acts.message_written(self._hub, self.user, installation, message, kind)
        self._hub.event(installation, event, shared=message.channel.shared)

    def _see(self, url: str, answer: Json) -> None:
        """Show the answer to a command that came with its acknowledgement."""
        if answer.get("text") or answer.get("blocks"):
            place = self._hub.world.response_urls[url.rpartition("/")[2]]
            answer_act(self._hub, place, answer)

    def _after_submission(self, installation: Installation, view: View, answer: Json) -> None:
        match answer.get("response_action"):
            case None:
                view.open = False
            case "clear":
                for each in open_modals(self._hub.world, self.id):
                    each.open = False
            case "update":
                change(self._hub.world, view, answer["view"])
            case "push":
                show(self._hub.world, installation, self.id, answer["view"], on=view)
            case "errors":
                unknown = set(answer["errors"]) - {b["block_id"] for b in view.content["blocks"]}
                if unknown:
                    self._hub.world.violate(f"errors for blocks that are not there: {unknown}")
        self._hub.world.touch()


def _pressable(blocks: list[Json], button: str) -> Json:
    for element in elements(blocks):
        label = element.get("text")
        if button in {element["action_id"], label.get("text") if isinstance(label, dict) else None}:
            return element
    raise Refused(f"there is no button {button!r}")


def _alone(element: Json) -> Json:
    """Return a block in which something can be chosen like in a form."""
    return {"type": "section", "block_id": "", "accessory": element}
