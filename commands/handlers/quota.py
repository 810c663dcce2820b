"""/rushes quota: today's GPU time; /rushes-admin quota: how much of it a person may use."""

from __future__ import annotations

import math

from commands.command import Command, Visibility
from commands.context import Call
from commands.handlers import limits, people
from commands.handlers.arguments import arguments
from commands.handlers.people import Named
from commands.options import PERSON
from commands.policy.permissions import within_caps
from commands.policy.settings import (
    MAXIMUM_NAMES,
    QUOTA_GUILD,
    QUOTA_PEOPLE,
    TIMEZONE,
    UNLIMITED,
    Rules,
    Scope,
)
from commands.policy.settings_store import Change
from commands.policy.settings_values import amount_of, plain_id
from commands.resolve import Resolved, resolve
from commands.schema import Kind, Option, Permission
from commands.text import cards
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.quota import Usage

NO_AMOUNT = "default"
"""Typed instead of an amount to take a person's own one back."""

_AMOUNT = Option(name="amount", kind=Kind.TEXT, max_length=32)
_ADMIN_OPTIONS = (PERSON, _AMOUNT, *people.REACH)

MAXIMUM_EVERYWHERE = 1000
"""People to whom the operator gave amounts of their own."""


async def own(call: Call) -> Card:
    """Say what the caller used today, what is left, when it is free again, and what fits."""
    rules = await call.rules()
    now = call.clock.now()
    quota = await limits.quota_of(call, rules)
    since, until = limits.day_of(now, rules.value(TIMEZONE))
    usage = await limits.usage_of(call, since, None if quota is None else quota.person_since)
    lines = [_own_line(call, usage, None if quota is None else quota.requester_seconds)]
    if quota is None:
        lines.append((text("quota.free", call.locale),))
    else:
        if quota.tenant_seconds is not None:
            lines.append(_guild_line(call, usage, quota.tenant_seconds))
        if quota.person_seconds is not None:
            lines.append(_everywhere_line(call, usage, quota.person_seconds))
        lines.append((text("quota.until", call.locale, seconds=until - now),))
        if usual := _usual(call, rules):
            lines.append((limits.what_fits(call, usual, usage.left(quota) or 0),))
    return Card(kind=CardKind.INFO, title=text("quota.title", call.locale), lines=tuple(lines))


async def of_person(call: Call) -> Card:
    """Say what the guild used today, or set what a person may use in a day."""
    given = arguments(call, _ADMIN_OPTIONS)
    rules = await call.rules()
    person, typed = plain_id(str(given.get(PERSON.name, ""))), str(given.get(_AMOUNT.name, ""))
    if person and typed:
        return await _set(call, await people.named(call, person, given), typed)
    since, until = limits.day_of(call.clock.now(), rules.value(TIMEZONE))
    usage = await call.jobs.usage(call.channel.tenant, person, since=since)
    lines = [_guild_line(call, usage, rules.value(QUOTA_GUILD))]
    if person:
        lines.insert(
            0,
            (
                text(
                    "quota.person",
                    call.locale,
                    person=person,
                    used=_seconds(usage.requester_spent),
                    reserved=_seconds(usage.requester_reserved),
                ),
            ),
        )
    lines.append((text("quota.until", call.locale, seconds=until - call.clock.now()),))
    return Card(kind=CardKind.INFO, title=text("quota.title", call.locale), lines=tuple(lines))


async def _set(call: Call, whom: Named, typed: str) -> Card:
    """Set a person's own amount, `unlimited`, or `default` for what everybody has.

    The operator's holds for what the person uses in all tenants together.
    """
    rules = await call.policy.settings.rules(whom.tenant, channel="", person="")
    amounts = dict(rules.value(QUOTA_PEOPLE) or {})
    if typed.casefold() == NO_AMOUNT:
        amounts.pop(whom.person, None)
    else:
        amounts[whom.person] = amount_of(QUOTA_PEOPLE, typed)
    limit = MAXIMUM_EVERYWHERE if whom.everywhere else MAXIMUM_NAMES
    if len(amounts) > limit:
        raise UserError("setting.too_many", key=QUOTA_PEOPLE.key, limit=limit)
    change = Change(scope=Scope.GUILD, setting=QUOTA_PEOPLE, value=amounts or None)
    await call.policy.settings.change(whom.tenant, [change], call.caller.requester)
    amount = amounts.get(whom.person, NO_AMOUNT)
    return cards.note(
        "quota.set_everywhere" if whom.everywhere else "quota.set",
        call.locale,
        person=whom.person,
        amount=UNLIMITED if amount is None else amount,
    )


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


def _usual(call: Call, rules: Rules) -> Resolved | None:
    """Return what the caller's defaults make, if they can make anything."""
    try:
        return within_caps(resolve("-", rules.layers(), call.installation), call.caller, rules)
    except UserError:
        return None


def _seconds(milliseconds: int) -> int:
    return math.ceil(milliseconds / 1000)


COMMANDS = (Command(parent="rushes", name="quota", handler=own, visibility=Visibility.CALLER),)
ADMIN_COMMANDS = (
    Command(
        parent="rushes-admin",
        name="quota",
        handler=of_person,
        options=_ADMIN_OPTIONS,
        visibility=Visibility.CALLER,
        permission=Permission.ADMIN,
    ),
)
