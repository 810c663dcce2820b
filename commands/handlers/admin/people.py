"""Resolution of people named in commands of admins and the operator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from commands.context import Call
from commands.parsing.values import shorten
from commands.policy.operator_rules import EVERYWHERE
from commands.policy.settings import MAXIMUM_NAME
from commands.schema import Kind, Option, Permission, Value
from inference.domain.errors import UserError

EVERYWHERE_FLAG = Option(name="everywhere", kind=Kind.FLAG, flag="everywhere")
"""In every guild and in direct messages: what the operator says holds there anyway."""

HERE_FLAG = Option(name="here", kind=Kind.FLAG, flag="here")
"""In this guild alone, though the operator says it."""

REACH = (EVERYWHERE_FLAG, HERE_FLAG)

_FULL_NAME = re.compile(r"[a-z][a-z0-9_.-]*(:[^\s:]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPerson:
    """A person named in a command, and the tenants that the command applies to."""

    tenant: str
    """`EVERYWHERE`, or the caller's own."""
    person: str
    """The person's id there."""

    @property
    def everywhere(self) -> bool:
        """Whether it holds in every tenant."""
        return self.tenant == EVERYWHERE


async def resolve_person(call: Call, typed: str, given: Mapping[str, Value]) -> NamedPerson:
    """Resolve a name in a command to a person and the tenants it applies to.

    Args:
        call: Who says it.
        typed: A mention, an id, or for the operator a whole name such as `discord:42`.
        given: The arguments, with those of `REACH`.

    Raises:
        UserError: `command.operators_only`, or `setting.no_person`.
    """
    operator = call.caller.may(Permission.OPERATOR)
    if given.get(EVERYWHERE_FLAG.name) and not operator:
        raise call.permission_error(f"--{EVERYWHERE_FLAG.flag}", Permission.OPERATOR)
    everywhere = operator and not given.get(HERE_FLAG.name)
    person = call.directory.plain_id(typed)
    if everywhere and _FULL_NAME.fullmatch(person) and len(person) <= 2 * MAXIMUM_NAME:
        return NamedPerson(tenant=EVERYWHERE, person=person)
    found = await call.directory.find_person(person)
    if not found or len(found) > MAXIMUM_NAME or not found.isprintable():
        raise UserError("setting.no_person", name=shorten(typed))
    if everywhere:
        return NamedPerson(tenant=EVERYWHERE, person=call.qualify_person(found))
    return NamedPerson(tenant=call.channel.tenant, person=found)
