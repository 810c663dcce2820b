"""People: what somebody with a Discord client can do, and nothing that they cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.discord import payloads, permissions
from tests.fakes.discord.command_rules import CHAT, MESSAGE
from tests.fakes.discord.component_rules import BUTTON, LABEL, LINK_STYLE, ROW, UPLOAD
from tests.fakes.discord.entities import Channel, File, Message, User
from tests.fakes.discord.interactions import (
    AUTOCOMPLETE,
    COMMAND,
    COMPONENT,
    MODAL_SUBMIT,
    Interaction,
    Interactions,
    find_component,
)
from tests.fakes.discord.permissions import Permission
from tests.fakes.discord.registry import Registry, descend
from tests.fakes.discord.typing_in import CannotAsk, Line
from tests.fakes.discord.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """Somebody with an account, in some guilds."""

    user: User
    world: World
    interactions: Interactions
    registry: Registry

    @property
    def id(self) -> int:
        """Of the account."""
        return self.user.id

    @property
    def mention(self) -> str:
        """How to name them in a message."""
        return self.user.mention

    @property
    def direct(self) -> Channel:
        """Return the direct messages with the bot."""
        return self.world.direct(self.user)

    def say(
        self,
        channel: Channel,
        content: str,
        *files: File,
        embeds: Sequence[dict[str, Any]] = (),
        components: Sequence[dict[str, Any]] = (),
        stickers: Sequence[dict[str, Any]] = (),
    ) -> Message:
        """Post a message.

        Args:
            channel: Where.
            content: What it says.
            files: What is attached.
            embeds: What Discord makes of its links.
            components: Only bots have them; here everybody is a bot who wants to.
            stickers: Sticker items.
        """
        self._must_see(channel)
        message = Message(
            id=self.world.clock.snowflake(),
            channel=channel,
            author=self.user,
            posted_at=self.world.clock.now(),
            content=content,
            attachments=[self.world.attach(channel, file) for file in files],
            embeds=[*embeds],
            components=[*components],
            stickers=[*stickers],
        )
        self.world.post(message)
        return message

    def forward(self, message: Message, channel: Channel) -> Message:
        """Forward a message to a channel."""
        self._must_see_message(message)
        self._must_see(channel)
        forwarded = Message(
            id=self.world.clock.snowflake(),
            channel=channel,
            author=self.user,
            posted_at=self.world.clock.now(),
            reference=message,
            snapshots=message.snapshots or [replace(message)],
        )
        self.world.post(forwarded)
        return forwarded

    def slash(self, channel: Channel, command: str, **options: Any) -> Interaction:
        """Use a slash command.

        Args:
            channel: Where.
            command: Its name, with those of subcommands after spaces.
            options: By name; a `File` for an attachment, a `User` or `Channel` where one is asked.

        Raises:
            CannotAsk: The client offers no such command, option or choice here.
        """
        line = self._line(channel, command)
        line.require(options)
        leaves = [line.fill(name, value) for name, value in options.items()]
        return self._begin(COMMAND, channel, line.data(leaves), line.what)

    def complete(
        self, channel: Channel, command: str, option: str, typed: str, **others: Any
    ) -> Interaction:
        """Type into an option that suggests values; the answer is in `Interaction.choices`."""
        line = self._line(channel, command)
        about = line.option(option)
        if not about.get("autocomplete"):
            raise CannotAsk(f"{option} suggests nothing")
        leaves = [line.fill(name, value) for name, value in others.items()]
        leaves.append({"name": option, "type": about["type"], "value": typed, "focused": True})
        return self._begin(AUTOCOMPLETE, channel, line.data(leaves), line.what)

    def context_menu(self, message: Message, name: str) -> Interaction:
        """Choose an application's entry in the menu of a message."""
        self._must_see_message(message)
        command = self.registry.shown(message.channel.guild, MESSAGE, name)
        if command is None:
            raise CannotAsk(f"no menu entry {name!r}")
        self._allowed(message.channel, command)
        data = {
            "id": command["id"],
            "name": name,
            "type": MESSAGE,
            "target_id": str(message.id),
            "resolved": {"messages": {str(message.id): payloads.message(self.world, message)}},
        }
        return self._begin(COMMAND, message.channel, data, f"menu {name!r}")

    def click(self, message: Message, button: str) -> Interaction:
        """Press a button, by its label or custom id, on the message as it is now."""
        component = self._component(message, button)
        if component["type"] != BUTTON or component.get("style") == LINK_STYLE:
            raise CannotAsk(f"{button!r} is no button to press")
        data = {
            "custom_id": component["custom_id"],
            "component_type": BUTTON,
            "id": component["id"],
        }
        return self._begin(COMPONENT, message.channel, data, f"button {button!r}", message)

    def choose(self, message: Message, select: str, *values: str) -> Interaction:
        """Choose values in a select menu, by its custom id."""
        component = self._component(message, select)
        offered = {option["value"] for option in component.get("options", [])}
        if not set(values) <= offered:
            raise CannotAsk(f"{select!r} offers {offered}")
        data = {
            "custom_id": component["custom_id"],
            "component_type": component["type"],
            "values": list(values),
            "id": component["id"],
        }
        return self._begin(COMPONENT, message.channel, data, f"select {select!r}", message)

    def submit(self, interaction: Interaction, **values: str) -> Interaction:
        """Send a modal off; fields by custom id, those not given stay as prefilled.

        Raises:
            CannotAsk: The client would not let this be sent.
        """
        modal = interaction.modal
        if modal is None:
            raise CannotAsk(f"{interaction.what} showed no form")
        known = {field["custom_id"] for field in modal.fields.values() if "custom_id" in field}
        if unknown := set(values) - known:
            raise CannotAsk(f"the form has {known}, not {unknown}")
        filled = []
        for top in modal.components:
            if top["type"] == LABEL:
                inner = _filled(top["component"], values)
                filled.append({"type": LABEL, "id": 1, "component": inner})
            elif top["type"] == ROW:
                inside = [_filled(inner, values) for inner in top["components"]]
                filled.append({"type": ROW, "id": 1, "components": inside})
        return self.interactions.begin(
            MODAL_SUBMIT,
            user=self.user,
            channel=interaction.channel,
            data={"custom_id": modal.custom_id, "components": filled},
            what=f"form {modal.title!r}",
            message=interaction.message,
            origin=interaction,
        )

    def delete(self, message: Message) -> None:
        """Delete a message, as its author or a moderator."""
        self.world.delete(message)

    # -- what the client knows ---------------------------------------------------------------

    def _line(self, channel: Channel, command: str) -> Line:
        self._must_see(channel)
        name, *path = command.split(" ")
        registered = self.registry.shown(channel.guild, CHAT, name)
        if registered is None:
            raise CannotAsk(f"no command /{name} here")
        self._allowed(channel, registered)
        declared = descend(registered, path)
        if declared is None:
            raise CannotAsk(f"no command /{command}")
        return Line(
            world=self.world, channel=channel, command=registered, path=path, declared=declared
        )

    def _allowed(self, channel: Channel, command: dict[str, Any]) -> None:
        granted = permissions.in_channel(channel, self.user)
        contexts = command["contexts"]
        if channel.guild is None:
            if not (1 in contexts if contexts else command["dm_permission"]):
                raise CannotAsk(f"{command['name']} is not for direct messages")
        elif contexts and 0 not in contexts:
            raise CannotAsk(f"{command['name']} is not for servers")
        else:
            if not granted & Permission.USE_APPLICATION_COMMANDS:
                raise CannotAsk("no application commands here")
            needed = command["default_member_permissions"]
            if needed == "0":
                needed = str(int(Permission.ADMINISTRATOR))
            if needed and granted & int(needed) != int(needed):
                raise CannotAsk(f"{command['name']} is not for {self.user.name}")
        if command["nsfw"] and not channel.nsfw:
            raise CannotAsk(f"{command['name']} is for age-restricted channels")

    def _begin(
        self,
        kind: int,
        channel: Channel,
        data: dict[str, Any],
        what: str,
        message: Message | None = None,
    ) -> Interaction:
        return self.interactions.begin(
            kind, user=self.user, channel=channel, data=data, what=what, message=message
        )

    def _component(self, message: Message, name: str) -> dict[str, Any]:
        self._must_see_message(message)
        component = find_component(message, name)
        if component is None:
            labels = [button.get("label") for button in message.buttons]
            raise CannotAsk(f"no {name!r} among {labels}")
        if component.get("disabled"):
            raise CannotAsk(f"{name!r} is disabled")
        return component

    def _must_see(self, channel: Channel) -> None:
        if channel.deleted or not (
            permissions.in_channel(channel, self.user) & Permission.VIEW_CHANNEL
        ):
            raise CannotAsk(f"{self.user.name} does not see #{channel.name}")

    def _must_see_message(self, message: Message) -> None:
        self._must_see(message.channel)
        if message.deleted or message.visible_to not in {None, self.user}:
            raise CannotAsk(f"{self.user.name} does not see this message")


def _filled(component: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    custom_id, kind = component["custom_id"], component["type"]
    if kind == UPLOAD or "options" in component:
        chosen = values.get(custom_id)
        offered = [o["value"] for o in component.get("options", []) if o.get("default")]
        picked = offered if chosen is None else [chosen]
        return {"type": kind, "id": 1, "custom_id": custom_id, "values": picked}
    value = values.get(custom_id, component.get("value") or "")
    if component.get("required", True) and not value:
        raise CannotAsk(f"{custom_id} must be filled in")
    least, most = component.get("min_length") or 0, component.get("max_length") or 4000
    if value and not least <= len(value) <= most:
        raise CannotAsk(f"{custom_id} takes {least} to {most} characters")
    return {"type": kind, "id": 1, "custom_id": custom_id, "value": value}
