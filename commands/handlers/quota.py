"""/rushes quota: today's GPU time; /rushes-admin quota: how much of it a person may use."""

from __future__ import annotations

import math
from collections.abc import Mapping

from commands.context import Call, Command, admin_command, rushes_command
from commands.handlers import advice
from commands.handlers.admin import people
from commands.handlers.admin.people import NamedPerson
from commands.handlers.arguments import read_arguments
from commands.handlers.settings_texts import format_value
from commands.options import PERSON
from commands.parsing.values import shorten
from commands.policy.operator_rules import EVERYWHERE
from commands.policy.permissions import apply_caps
from commands.policy.quota import OPERATOR_ZONE, day_of
from commands.policy.settings import (
    MAXIMUM_NAMES,
    QUOTA_GUILD,
    QUOTA_PEOPLE,
    QUOTA_ROLES,
    QUOTA_USER,
    TIMEZONE,
    UNLIMITED,
    Rules,
    Scope,
)
from commands.policy.settings_store import Change
from commands.policy.settings_values import amount_of
from commands.schema import Kind, Option, Permission
from commands.specs.resolve import Resolved, resolve
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.quota import Usage

NO_AMOUNT = "default"
"""Typed instead of an amount to take a person's own one back."""

_AMOUNT = Option(name="amount", kind=Kind.TEXT, max_length=32)
_ADMIN_OPTIONS = (PERSON, _AMOUNT, *people.REACH)

MAXIMUM_EVERYWHERE = 1000
"""People to whom the operator gave individual amounts."""


async def show_own_quota(call: Call) -> Card:
    """Show the caller's quota: used, left, time of its reset, and what fits."""
    if call.text.strip():  # of another person, which only an admin may ask
        if not call.caller.may(Permission.ADMIN):
            raise call.permission_error("/rushes-admin quota")
        return await show_or_set_quota(call)
    rules = await call.rules()
    now = call.clock.now()
    quota = await call.quota(rules)
    since, until = day_of(now, rules.value(TIMEZONE))
    usage = await call.usage(since, None if quota is None else quota.person_since)
    lines = [_own_line(call, usage, None if quota is None else quota.requester_seconds)]
    if quota is None:
        lines.append((text("quota.free", call.locale),))
    else:
        if quota.tenant_seconds is not None:
            lines.append(_guild_line(call, usage, quota.tenant_seconds))
        if quota.person_seconds is not None:
            lines.append(_everywhere_line(call, usage, quota.person_seconds))
        if quota.requester_seconds is not None or quota.tenant_seconds is not None:
            lines.append(_until_line(call, rules.value(TIMEZONE), until - now))
        if quota.person_seconds is not None:
            lines.append(_until_everywhere_line(call))
        if usual := _usual(call, rules):
            fits = advice.advise_within_quota(call, usual, usage.remaining(quota) or 0)
            lines.append((text(fits.key, call.locale, **fits.params),))
    return Card(kind=CardKind.INFO, title=text("quota.title", call.locale), lines=tuple(lines))


async def show_or_set_quota(call: Call) -> Card:
    """Show or set the quota of the guild or of a person."""
    given = read_arguments(call, _ADMIN_OPTIONS)
    named, typed = str(given.get(PERSON.name, "")), str(given.get(_AMOUNT.name, ""))
    if named and typed:
        return await _set(call, await people.resolve_person(call, named, given), typed)
    rules = await call.rules()
    since, until = day_of(call.clock.now(), rules.value(TIMEZONE))
    usage = await call.jobs.usage(call.channel.tenant, "", since=since)
    everybody = [_guild_line(call, usage, rules.value(QUOTA_GUILD))]
    if named:
        lines = [*await _about_person(call, rules, named, since), *everybody]
    else:
        lines = [*everybody, *_amounts_here(call, rules)]
    lines.append(_until_line(call, rules.value(TIMEZONE), until - call.clock.now()))
    return Card(kind=CardKind.INFO, title=text("quota.title", call.locale), lines=tuple(lines))


async def _about_person(call: Call, rules: Rules, typed: str, since: float) -> list[Line]:
    """Return the lines with a person's use and limit here, and for the operator in all tenants."""
    wide = await people.resolve_person(call, typed, {}) if call.caller.operator else None
    lines: list[Line] = []
    plain_id = call.directory.plain_id(typed)
    if wide is None or wide.person != plain_id:  # it is not a name of all servers
        here = await people.resolve_person(call, typed, {people.HERE_FLAG.name: True})
        usage = await call.jobs.usage(call.channel.tenant, here.person, since=since)
        spent, reserved = usage.requester_spent, usage.requester_reserved
        lines.append(_spent_line(call, "quota.person", here.person, spent, reserved))
        own: Mapping[str, int | None] = rules.value(QUOTA_PEOPLE) or {}
        if here.person in own:
            lines.append(_set_line(call, here, own[here.person]))
        else:
            for_all = _amounts_for_all(call, rules)
            # The operator's amount stands below: this is not all that there may be.
            key = "quota.set_nothing" if wide is None else "quota.set_nothing_here"
            nothing = (text(key, call.locale, person=here.person),)
            lines += for_all or [nothing]
    if wide is not None:
        day, _ = day_of(call.clock.now(), OPERATOR_ZONE)
        usage = await call.jobs.usage(
            call.channel.tenant, "", since=day, person=wide.person, person_since=day
        )
        spent, reserved = usage.person_spent, usage.person_reserved
        lines.append(_spent_line(call, "quota.person_everywhere", wide.person, spent, reserved))
        everywhere = await call.policy.settings.rules(EVERYWHERE, channel="", person="")
        amounts: Mapping[str, int | None] = everywhere.value(QUOTA_PEOPLE) or {}
        lines.append(_set_line(call, wide, amounts.get(wide.person)))
        if wide.person in amounts:
            lines.append(_until_everywhere_line(call))
    return lines


def _amounts_here(call: Call, rules: Rules) -> list[Line]:
    """Return the lines with the amounts of single people, of roles and of each person."""
    own = rules.value(QUOTA_PEOPLE)
    line = (text("quota.set_people", call.locale, amounts=format_value(own, call.locale)),)
    return [*([line] if own else []), *_amounts_for_all(call, rules)]


def _amounts_for_all(call: Call, rules: Rules) -> list[Line]:
    """Return the amounts for people without an individual one."""
    return [
        (text(key, call.locale, amounts=format_value(rules.value(setting), call.locale)),)
        for key, setting in (("quota.set_roles", QUOTA_ROLES), ("quota.set_each", QUOTA_USER))
        if rules.value(setting) is not None
    ]


async def _set(call: Call, whom: NamedPerson, typed: str) -> Card:
    """Set a person's own amount, `unlimited`, or `default` for the amount of all people.

    The operator's holds for what the person uses in all tenants together.
    """
    rules = await call.policy.settings.rules(whom.tenant, channel="", person="")
    amounts = dict(rules.value(QUOTA_PEOPLE) or {})
    if typed.casefold() == NO_AMOUNT:
        amounts.pop(whom.person, None)
    else:
        amounts[whom.person] = _amount(typed)
    limit = MAXIMUM_EVERYWHERE if whom.everywhere else MAXIMUM_NAMES
    if len(amounts) > limit:
        raise UserError("setting.too_many", key=QUOTA_PEOPLE.key, limit=limit)
    change = Change(scope=Scope.GUILD, setting=QUOTA_PEOPLE, value=amounts or None)
    await call.policy.settings.change(whom.tenant, [change], call.caller.requester)
    line = _set_line(call, whom, amounts.get(whom.person, NO_AMOUNT))
    return Card(kind=CardKind.INFO, lines=(line,), private=True)


def _amount(typed: str) -> int | None:
    """Return a typed amount; None is without limit.

    Raises:
        UserError: `quota.amount`.
    """
    try:
        return amount_of(QUOTA_PEOPLE, typed)
    except UserError as error:
        highest = QUOTA_PEOPLE.option.range.highest if QUOTA_PEOPLE.option.range else None
        raise UserError("quota.amount", value=shorten(typed), highest=highest) from error


def _set_line(call: Call, whom: NamedPerson, amount: int | str | None) -> Line:
    key = "quota.set_everywhere" if whom.everywhere else "quota.set"
    amount = UNLIMITED if amount is None else amount
    return (text(key, call.locale, person=whom.person, amount=amount),)


def _spent_line(call: Call, key: str, person: str, spent: int, reserved: int) -> Line:
    used, waiting = _seconds(spent), _seconds(reserved)
    return (text(key, call.locale, person=person, used=used, reserved=waiting),)


def _own_line(call: Call, usage: Usage, limit: int | None) -> Line:
    used, reserved = _seconds(usage.requester_spent), _seconds(usage.requester_reserved)
    if limit is None:
        return (text("quota.own_unlimited", call.locale, used=used, reserved=reserved),)
    return (text("quota.own", call.locale, used=used, reserved=reserved, limit=limit),)


def _everywhere_line(call: Call, usage: Usage, limit: int) -> Line:
    used, reserved = _seconds(usage.person_spent), _seconds(usage.person_reserved)
    return (text("quota.everywhere", call.locale, used=used, reserved=reserved, limit=limit),)


def _guild_line(call: Call, usage: Usage, limit: int | None) -> Line:
    used, reserved = _seconds(usage.tenant_spent), _seconds(usage.tenant_reserved)
    if limit is None:
        return (text("quota.guild_unlimited", call.locale, used=used, reserved=reserved),)
    return (text("quota.guild", call.locale, used=used, reserved=reserved, limit=limit),)


def _until_line(call: Call, zone: str, seconds: float) -> Line:
    return (text("quota.until", call.locale, seconds=seconds, zone=zone),)


def _until_everywhere_line(call: Call) -> Line:
    """Return the line with the reset of the operator's amount, which is at midnight UTC."""
    now, zone = call.clock.now(), OPERATOR_ZONE
    seconds = day_of(now, zone)[1] - now
    return (text("quota.until_everywhere", call.locale, seconds=seconds, zone=zone),)


def _usual(call: Call, rules: Rules) -> Resolved | None:
    """Resolve the caller's defaults, or return None where they make no valid render."""
    try:
        return apply_caps(resolve("-", rules.layers(), call.installation), call.caller, rules)
    except UserError:
        return None


def _seconds(milliseconds: int) -> int:
    return math.ceil(milliseconds / 1000)


def commands() -> tuple[Command, ...]:
    """Return the commands of this module for all people."""
    return (rushes_command(name="quota", handler=show_own_quota),)


def admin_commands() -> tuple[Command, ...]:
    """Return the commands of this module for admins."""
    return (admin_command(name="quota", handler=show_or_set_quota, options=_ADMIN_OPTIONS),)
