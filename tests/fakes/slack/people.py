"""People: what they do with their Slack clients, and what they see there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.slack.application import RESERVED
from tests.fakes.slack.files import record_shares
from tests.fakes.slack.forms import fill_in
from tests.fakes.slack.hub import APP_ID, Hub
from tests.fakes.slack.mail import VERIFICATION_TOKEN
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
    message_json,
    stub_json,
    team_json,
    view_json,
)
from tests.fakes.slack.records import Delivery, Refused
from tests.fakes.slack.responses import answer_act, new_response_url
from tests.fakes.slack.views import change, open_modals, show
from tests.fakes.slack.world import PATIENCE_SECONDS

Upload = Path | tuple[str, bytes]
"""A file of a person's machine: a path, or name and bytes."""


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
        payload = {
            "token": VERIFICATION_TOKEN,
            "team_id": self.user.team.id,
            "team_domain": self.user.team.name,
            "channel_id": channel.id,
            "channel_name": {"im": "directmessage", "private": "privategroup"}.get(
                channel.kind, channel.name
            ),
            "user_id": self.id,
            "user_name": self.user.name,
            "command": command,
            "text": text,
            "api_app_id": APP_ID,
            "is_enterprise_install": "false",
            "response_url": url,
            "trigger_id": trigger,
        }
        if self.user.team.enterprise_id:
            payload["enterprise_id"] = self.user.team.enterprise_id
        delivery = await self._hub.mail.act("slash_commands", command, installation, payload)
        self._see(url, delivery.payload)
        return Reply(delivery=delivery, trigger_id=trigger)

    def say(
        self,
        channel: Channel,
        text: str,
        *,
        thread: Message | None = None,
        files: Iterable[Upload] = (),
    ) -> Message:
        """Write a message; the app hears of it if it is mentioned, or in direct messages."""
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
        record_shares(hub, message.files, channel, message.ts, message.thread_ts)
        for installation in hub.world.installations:
            here = installation.bot.id in channel.members and not installation.revoked
            named = f"<@{installation.bot.id}>" in text
            if here and channel.kind == "im":
                self._tell(installation, message, {"type": "message", "channel_type": "im"})
            elif here and named:
                self._tell(installation, message, {"type": "app_mention"})
        return message

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
            {"type": "shortcut", "callback_id": self._shortcut(name), "action_ts": _now()},
            name=name,
            installation=self._installed(),
        )

    async def message_shortcut(self, name: str, message: Message) -> Reply:
        """Choose a shortcut in the menu of a message."""
        installation, channel = self._installed(), message.channel
        payload = {
            "type": "message_action",
            "callback_id": self._shortcut(name),
            "action_ts": _now(),
            "message_ts": message.ts,
            "message": message_json(message, self._hub.url),
            "channel": {"id": channel.id, "name": channel.name or "directmessage"},
        }
        return await self._interact(payload, name=name, installation=installation, on=message)

    async def click(self, thing: Message | View, button: str, *, value: Any = None) -> Reply:
        """Press a button by its label or action id, or choose `value` in a menu.

        Raises:
            Refused: There is no such button, or it cannot be seen.
        """
        content = thing.blocks if isinstance(thing, Message) else thing.content
        element = _pressable(content, button)
        block = next(b for b in _blocks(content) if element in elements(b))
        kept = {"type", "action_id", "value", "text"}
        action = {key: part for key, part in element.items() if key in kept}
        action |= {"block_id": block.get("block_id", ""), "action_ts": _now()}
        if value is not None:
            filled = fill_in({"blocks": [{**block}]}, {element["action_id"]: value}, self.attach)
            action |= filled[block["block_id"]][element["action_id"]]
        payload: Json = {"type": "block_actions", "actions": [action]}
        if isinstance(thing, View):
            installation = self._hub.world.installation(thing.team)
            assert installation is not None
            payload |= {
                "view": view_json(thing, installation),
                "container": {"type": "view", "view_id": thing.id},
            }
            return await self._interact(
                payload, name=element["action_id"], installation=installation, view=thing
            )
        self._enter(thing.channel)
        installation = self._hub.world.installation(thing.team)
        if installation is None or thing.only_for not in {None, self.id}:
            raise Refused("that button does nothing any more")
        container: Json = {
            "type": "message",
            "message_ts": thing.ts,
            "channel_id": thing.channel.id,
            "is_ephemeral": thing.only_for is not None,
        }
        if thing.thread_ts:
            container["thread_ts"] = thing.thread_ts
        payload |= {
            "container": container,
            "channel": {"id": thing.channel.id, "name": thing.channel.name or "directmessage"},
        }
        if thing.only_for is None:
            payload["message"] = message_json(thing, self._hub.url)
        return await self._interact(
            payload, name=element["action_id"], installation=installation, on=thing
        )

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
        if self._hub.faults.happens(self._hub.faults.doubled_views):
            await self._interact(dict(payload), name=name, installation=installation, view=view)
        reply = await self._interact(payload, name=name, installation=installation, view=view)
        if reply.acknowledged:
            self._after_submission(installation, view, reply.payload)
        return reply

    async def open_home(self) -> None:
        """Open the app's home tab; `home` shows it."""
        installation = self._installed()
        home = self._hub.world.homes.get((installation.team.id, self.id))
        event: Json = {
            "type": "app_home_opened",
            "user": self.id,
            "channel": self._hub.world.open_im(installation, self.id).id,
            "tab": "home",
            "event_ts": _now(),
        }
        if home is not None:
            event["view"] = view_json(home, installation)
        self._hub.event(installation, event)

    def attach(self, given: Upload) -> File:
        """Put a file of their machine into Slack."""
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
        payload |= {
            "token": VERIFICATION_TOKEN,
            "api_app_id": APP_ID,
            "team": team_json(installation.team),
            "enterprise": None,
            "is_enterprise_install": False,
            "user": {
                "id": self.id,
                "username": self.user.name,
                "name": self.user.name,
                "team_id": self.user.team.id,
            },
            "trigger_id": trigger,
        }
        if on is not None:
            payload["response_url"] = new_response_url(
                self._hub, installation, on.channel, self.id, thread_ts=on.thread_ts, message=on
            )
        delivery = await self._hub.mail.act("interactive", name, installation, payload)
        return Reply(delivery=delivery, trigger_id=trigger)

    def _tell(self, installation: Installation, message: Message, kind: Json) -> None:
        channel, home = message.channel, self.user.team
        event: Json = {
            **kind,
            "user": self.id,
            "team": home.id,
            "text": message.text,
            "ts": message.ts,
            "event_ts": message.ts,
            "channel": channel.id,
            "client_msg_id": message.ts,
        }
        if message.thread_ts:
            event["thread_ts"] = message.thread_ts
        if message.files:
            event["files"] = [
                stub_json(file) if channel.shared else file_json(file, self._hub.url)
                for file in message.files
            ]
            if kind["type"] == "message":
                event["subtype"] = "file_share"
        if home is not installation.team:
            event |= {"user_team": home.id, "source_team": home.id}
        self._hub.event(installation, event, shared=channel.shared)

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


def _pressable(content: Any, button: str) -> Json:
    for element in elements(content):
        label = element.get("text")
        if button in {element["action_id"], label.get("text") if isinstance(label, dict) else None}:
            return element
    raise Refused(f"there is no button {button!r}")


def _blocks(content: Any) -> list[Json]:
    return content if isinstance(content, list) else content["blocks"]


def _now() -> str:
    return f"{time.time():.6f}"
