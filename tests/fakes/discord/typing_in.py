"""What a person types into a slash command, checked as their client would check it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.discord import payloads
from tests.fakes.discord.command_rules import CHAT, INTEGER, NUMBER, STRING
from tests.fakes.discord.entities import Channel, User
from tests.fakes.discord.registry import nest
from tests.fakes.discord.world import World

BOOLEAN, USER, CHANNEL, ATTACHMENT = 5, 6, 7, 11

_PLAIN: dict[int, tuple[type, ...]] = {
    STRING: (str,),
    INTEGER: (int,),
    NUMBER: (int, float),
    BOOLEAN: (bool,),
}


class CannotAsk(AssertionError):
    """A person's client would not let them do this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A slash command that is being typed."""

    world: World
    channel: Channel
    command: dict[str, Any]
    """As registered."""
    path: list[str]
    """Names of subcommands."""
    declared: list[dict[str, Any]]
    """The options it has."""
    resolved: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """The command in words."""
        return " ".join(["/" + self.command["name"], *self.path])

    def require(self, given: dict[str, Any]) -> None:
        """Check that nothing is missing.

        Raises:
            CannotAsk: Something is.
        """
        for option in self.declared:
            if option.get("required") and option["name"] not in given:
                raise CannotAsk(f"{self.what} needs {option['name']}")

    def option(self, name: str) -> dict[str, Any]:
        """Return what is declared under a name.

        Raises:
            CannotAsk: Nothing is.
        """
        for option in self.declared:
            if option["name"] == name:
                return option
        offered = [option["name"] for option in self.declared]
        raise CannotAsk(f"{self.what} has the options {offered}, not {name!r}")

    def fill(self, name: str, value: Any) -> dict[str, Any]:
        """Return an option with its value; files are uploaded first.

        Raises:
            CannotAsk: The client would not take it.
        """
        option = self.option(name)
        kind = option["type"]
        match kind:
            case 11:
                attachment = self.world.attach(self.channel, value)
                told = payloads.attachment(self.world, attachment)
                sent: Any = self._resolve("attachments", attachment.id, told | {"ephemeral": True})
            case 6:
                sent = self._user(value)
            case 7:
                told = payloads.channel(self.world, value) | {"permissions": "0"}
                sent = self._resolve("channels", value.id, told)
            case _:
                sent = _plain(option, value)
        return {"name": name, "type": kind, "value": sent}

    def data(self, leaves: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the `data` of the interaction."""
        told: dict[str, Any] = {
            "id": self.command["id"],
            "name": self.command["name"],
            "type": CHAT,
            "options": nest(self.command, self.path, leaves),
        }
        if "guild_id" in self.command:
            told["guild_id"] = self.command["guild_id"]
        if self.resolved:
            told["resolved"] = self.resolved
        return told

    def _user(self, user: User) -> str:
        guild = self.channel.guild
        if guild is not None and user.id in guild.members:
            member = payloads.member(guild.members[user.id]) | {"permissions": "0"}
            self._resolve("members", user.id, member)
        return self._resolve("users", user.id, payloads.user(user))

    def _resolve(self, kind: str, item_id: int, told: dict[str, Any]) -> str:
        self.resolved.setdefault(kind, {})[str(item_id)] = told
        return str(item_id)


def _plain(option: dict[str, Any], value: Any) -> Any:
    """Return a plain value as the client sends it, if the client would."""
    name, kind = option["name"], option["type"]
    if not isinstance(value, _PLAIN[kind]) or (kind != BOOLEAN and isinstance(value, bool)):
        raise CannotAsk(f"{name} does not take {value!r}")
    if choices := option.get("choices"):
        meant = [c["value"] for c in choices if value in {c["value"], c["name"]}]
        if not meant:
            raise CannotAsk(f"{name} offers {[choice['value'] for choice in choices]}")
        return meant[0]
    size: Any = len(str(value)) if kind == STRING else value
    bounds = ("min_length", "max_length") if kind == STRING else ("min_value", "max_value")
    least, most = (option.get(bound) for bound in bounds)
    if (least is not None and size < least) or (most is not None and size > most):
        raise CannotAsk(f"{name} takes {least} to {most}, not {value!r}")
    return value
