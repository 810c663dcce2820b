"""Interactions: what a person did with the application, and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.discord import payloads, permissions
from tests.fakes.discord.component_rules import LABEL
from tests.fakes.discord.entities import DEFAULT_UPLOAD_BYTES, Channel, Message, User, walk
from tests.fakes.discord.refusals import Refusal
from tests.fakes.discord.world import World

FIRST_ANSWER_SECONDS = 3.0
LIFE_SECONDS = 15 * 60.0

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5


@dataclass(slots=True, kw_only=True, eq=False)
class Modal:
    """A form on somebody's screen."""

    custom_id: str
    title: str
    components: list[dict[str, Any]]

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """Return label -> the component to fill in, top to bottom."""
        named = {}
        for top in self.components:
            if top["type"] == LABEL:
                named[top["label"]] = top["component"]
            else:
                for inner in top.get("components", []):
                    named[inner.get("label", inner.get("custom_id", ""))] = inner
        return named


@dataclass(slots=True, kw_only=True, eq=False)
class Interaction:
    """One use of the application by a person."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    created_at: float
    created_ahead: float
    """The clock's `ahead` then."""
    data: dict[str, Any]
    world: World = field(repr=False)
    what: str
    """In words, for reports."""
    message: Message | None = None
    """What was clicked, or where the modal came from."""
    origin: Interaction | None = None
    """Of a submitted form: what showed it."""
    sent_at: float | None = None
    """When the gateway handed it over; monotonic seconds."""
    answered_at: float | None = None
    """When the callback arrived; monotonic seconds."""
    answer: int | None = None
    """Callback type."""
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    modal: Modal | None = None
    choices: list[dict[str, Any]] | None = None

    @property
    def upload_bytes(self) -> int:
        """Largest file in an answer to it."""
        guild = self.channel.guild.upload_bytes if self.channel.guild else DEFAULT_UPLOAD_BYTES
        return max(DEFAULT_UPLOAD_BYTES, guild, self.user.upload_bytes)

    @property
    def latency(self) -> float | None:
        """Seconds from the gateway's event to the callback."""
        if self.sent_at is None or self.answered_at is None:
            return None
        return self.answered_at - self.sent_at

    @property
    def is_late(self) -> bool:
        """Whether the time for the first answer is over."""
        clock = self.world.clock
        real = clock.now() - self.created_at
        return (
            real if self.world.strict else clock.ahead - self.created_ahead
        ) > FIRST_ANSWER_SECONDS

    @property
    def failed(self) -> bool:
        """Whether the person reads "The application did not respond"."""
        return self.answer is None and self.is_late

    async def acknowledged(self, seconds: float = 180.0) -> int:
        """Wait for the callback and return its type."""
        bell = self.world.bell
        return await bell.until(lambda: self.answer, seconds, f"answer to {self.what}")

    async def response(self, seconds: float = 180.0) -> Message:
        """Wait until the person sees a message that is no "thinking…", and return it."""

        def seen() -> Message | None:
            if self.original is not None and not self.original.loading:
                return self.original
            return next(iter(self.followups), None)

        return await self.world.bell.until(seen, seconds, f"message for {self.what}")

    async def form(self, seconds: float = 180.0) -> Modal:
        """Wait for a modal and return it."""
        return await self.world.bell.until(lambda: self.modal, seconds, f"form for {self.what}")

    def metadata(self) -> dict[str, Any]:
        """Return what messages say of it."""
        told: dict[str, Any] = {
            "id": str(self.id),
            "type": self.kind,
            "user": payloads.user(self.user),
            "authorizing_integration_owners": self._owners(),
        }
        if self.kind == COMMAND:
            told["command_type"] = self.data["type"]
            told["name"] = self.data["name"]
        if self.origin is not None:
            told["triggering_interaction_metadata"] = self.origin.metadata()
        elif self.message is not None:
            told["interacted_message_id"] = str(self.message.id)
        return told

    def event(self) -> dict[str, Any]:
        """Return INTERACTION_CREATE."""
        world, channel, guild = self.world, self.channel, self.channel.guild
        told: dict[str, Any] = {
            "id": str(self.id),
            "application_id": str(world.application_id),
            "type": self.kind,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel_id": str(channel.id),
            "channel": {
                **payloads.channel(world, channel),
                "permissions": str(permissions.in_channel(channel, self.user)),
            },
            "locale": self.user.locale,
            "app_permissions": str(permissions.in_channel(channel, world.bot)),
            "authorizing_integration_owners": self._owners(),
            "context": 0 if guild else 1,
            "attachment_size_limit": self.upload_bytes,
            "entitlements": [],
            "entitlement_sku_ids": [],
        }
        if self.message is not None:
            told["message"] = payloads.message(world, self.message)
        if guild is None:
            return {**told, "user": payloads.user(self.user)}
        member = payloads.member(guild.members[self.user.id])
        granted = permissions.in_channel(channel, self.user)
        return told | {
            "guild_id": str(guild.id),
            "guild_locale": guild.locale,
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
            "member": {
                **member,
                "user": payloads.user(self.user),
                "permissions": str(granted),
            },
        }

    def _owners(self) -> dict[str, str]:
        guild = self.channel.guild
        return {"0": str(guild.id) if guild else "0"}


class Interactions:
    """All interactions, by id and token, and the life of their tokens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_token: dict[str, Interaction] = {}
        self.dead_token_uses: list[str] = []
        """Requests that came too late or twice, in words."""

    def __iter__(self) -> Iterator[Interaction]:
        return iter(self._by_token.values())

    def begin(
        self,
        kind: int,
        *,
        user: User,
        channel: Channel,
        data: dict[str, Any],
        what: str,
        message: Message | None = None,
        origin: Interaction | None = None,
    ) -> Interaction:
        """Tell the bot what a person did."""
        interaction = Interaction(
            id=self._world.clock.snowflake(),
            token=secrets.token_urlsafe(60),
            kind=kind,
            user=user,
            channel=channel,
            created_at=self._world.clock.now(),
            created_ahead=self._world.clock.ahead,
            data=data,
            world=self._world,
            what=what,
            message=message,
            origin=origin,
        )
        self._by_token[interaction.token] = interaction
        self._world.publish("INTERACTION_CREATE", interaction.event(), channel.guild)
        return interaction

    def sent(self, event: dict[str, Any]) -> None:
        """Note that the gateway handed an event over; after a resume it does so again."""
        interaction = self._by_token.get(event["token"])
        if interaction is not None and interaction.answered_at is None:
            interaction.sent_at = time.monotonic()

    def to_answer(self, interaction_id: int, token: str) -> Interaction:
        """Return the interaction that a callback is for.

        Raises:
            Refusal: 10062 where it is unknown or too late, 40060 where it has an answer.
        """
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != interaction_id:
            raise self._dead(10062, "callback for an unknown interaction")
        if interaction.answer is not None:
            raise self._dead(40060, f"second answer to {interaction.what}")
        if interaction.is_late:
            raise self._dead(10062, f"late answer to {interaction.what}")
        return interaction

    def alive(self, token: str) -> Interaction:
        """Return the interaction that a follow-up or an edit is for.

        Raises:
            Refusal: 10015 where it is unknown or was never answered, 50027 after its 15 minutes.
        """
        interaction = self._by_token.get(token)
        if interaction is None or interaction.answer is None:
            raise self._dead(10015, "follow-up without an answered interaction")
        if self._world.clock.now() - interaction.created_at > LIFE_SECONDS:
            raise self._dead(50027, f"follow-up after 15 minutes to {interaction.what}")
        return interaction

    def _dead(self, code: int, what: str) -> Refusal:
        self.dead_token_uses.append(what)
        return Refusal(code)


def find_component(message: Message, name: str) -> dict[str, Any] | None:
    """Return the component of a message with this label or custom id."""
    for component in walk(message.components):
        if name in {component.get("label"), component.get("custom_id")}:
            return component
    return None
