"""The application's commands as Discord keeps them, and calls resolved against them."""

from __future__ import annotations

from typing import Any

from tests.fakes.discord.command_rules import CHAT, GROUP, SUBCOMMAND, check_commands
from tests.fakes.discord.entities import Guild
from tests.fakes.discord.refusals import Refusal
from tests.fakes.discord.world import World

CREATES_PER_DAY = 200


class Registry:
    """Registered commands, global ones under the guild id None."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sets: dict[int | None, dict[tuple[int, str], dict[str, Any]]] = {}
        self._creates: dict[int | None, int] = {}
        self.overwrites = 0
        """How often a whole set was sent."""

    def listed(self, guild_id: int | None) -> list[dict[str, Any]]:
        """Return a set of commands."""
        return list(self._sets.get(guild_id, {}).values())

    def overwrite(self, guild_id: int | None, commands: list[dict[str, Any]]) -> None:
        """Replace a set; commands whose names stay keep their ids.

        Raises:
            Refusal: 50035 or 30032.
        """
        self._check(guild_id, commands)
        before = self._sets.get(guild_id, {})
        self._sets[guild_id] = {}
        for command in commands:
            self._keep(guild_id, command, before)
        self.overwrites += 1
        self._world.bell.ring()

    def offered(self, guild: Guild, name: str, kind: int = CHAT) -> int:
        """Count the entries of a name in the client's list: a guild's and a global one are two."""
        return sum((kind, name) in self._sets.get(key, {}) for key in (guild.id, None))

    def add(self, guild_id: int | None, command: dict[str, Any]) -> dict[str, Any]:
        """Create or replace one command.

        Raises:
            Refusal: 50035 or 30032.
        """
        self._check(guild_id, [command])
        before = self._sets.setdefault(guild_id, {})
        return self._keep(guild_id, command, dict(before))

    def get(self, guild_id: int | None, command_id: int) -> dict[str, Any]:
        """Return a command.

        Raises:
            Refusal: There is none.
        """
        for command in self.listed(guild_id):
            if command["id"] == str(command_id):
                return command
        raise Refusal(10063)

    def remove(self, guild_id: int | None, command_id: int) -> None:
        """Delete a command.

        Raises:
            Refusal: There is none.
        """
        command = self.get(guild_id, command_id)
        del self._sets[guild_id][command["type"], command["name"]]

    def shown(self, guild: Guild | None, kind: int, name: str) -> dict[str, Any] | None:
        """Return the command that people see under a name: the guild's own before the global."""
        for key in ([guild.id] if guild else []) + [None]:
            if found := self._sets.get(key, {}).get((kind, name)):
                return found
        return None

    def _check(self, guild_id: int | None, commands: list[dict[str, Any]]) -> None:
        if problems := check_commands(commands, in_guild=guild_id is not None):
            raise Refusal(50035, problems=problems)

    def _keep(
        self,
        guild_id: int | None,
        command: dict[str, Any],
        before: dict[tuple[int, str], dict[str, Any]],
    ) -> dict[str, Any]:
        key = (command.get("type") or CHAT, command["name"])
        if key not in before:
            self._creates[guild_id] = self._creates.get(guild_id, 0) + 1
            if self._creates[guild_id] > CREATES_PER_DAY:
                raise Refusal(30032)
        world = self._world
        kept = {
            "default_member_permissions": None,
            "dm_permission": True,
            "nsfw": False,
            "description": "",
            "options": [],
            "contexts": None,
            "integration_types": [0],
            **{name: value for name, value in command.items() if value is not None},
            "id": before[key]["id"] if key in before else str(world.clock.snowflake()),
            "application_id": str(world.application_id),
            "type": key[0],
            "version": str(world.clock.snowflake()),
        }
        if kept["default_member_permissions"] is not None:
            kept["default_member_permissions"] = str(kept["default_member_permissions"])
        if guild_id is not None:
            kept["guild_id"] = str(guild_id)
        self._sets[guild_id][key] = kept
        return kept


def descend(command: dict[str, Any], path: list[str]) -> list[dict[str, Any]] | None:
    """Return the options below a command and its subcommands; None where there is no such one."""
    options: list[dict[str, Any]] = command.get("options") or []
    for name in path:
        inner = [o for o in options if o["name"] == name and o["type"] in {SUBCOMMAND, GROUP}]
        if not inner:
            return None
        options = inner[0].get("options") or []
    if any(option["type"] in {SUBCOMMAND, GROUP} for option in options):
        return None
    return options


def nest(command: dict[str, Any], path: list[str], leaves: list[dict[str, Any]]) -> list[Any]:
    """Return the `options` of an interaction: leaves inside their subcommands."""
    kinds = []
    options = command.get("options") or []
    for name in path:
        [inner] = [option for option in options if option["name"] == name]
        kinds.append(inner["type"])
        options = inner.get("options") or []
    for name, kind in zip(reversed(path), reversed(kinds), strict=True):
        leaves = [{"name": name, "type": kind, "options": leaves}]
    return leaves
