"""Daily GPU quota: what a person may use in a day, by the rules of a tenant and of the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from commands.caller import Caller, Channel
from commands.policy.operator_rules import EVERYWHERE
from commands.policy.settings import (
    QUOTA_GUILD,
    QUOTA_PEOPLE,
    QUOTA_ROLES,
    QUOTA_USER,
    TIMEZONE,
    Rules,
)
from commands.policy.stores import Policy
from inference.domain.quota import Quota

OPERATOR_ZONE = "UTC"
"""Time zone in which the day of the operator's amounts begins."""


def day_of(now: float, zone: str) -> tuple[float, float]:
    """Return beginning and end of the day around a time, all in Unix seconds.

    From midnight to midnight of the wall clock there: 23 or 25 hours when the clocks change.
    """
    where = ZoneInfo(zone)
    today = datetime.fromtimestamp(now, where).date()
    midnights = [
        datetime.combine(today + timedelta(days=days), time.min, where).timestamp()
        for days in (0, 1)
    ]
    return midnights[0], midnights[1]


def compute_tenant_quota(caller: Caller, rules: Rules, now: float) -> Quota | None:
    """Return the quota that a tenant sets for a person in the day of `now`; None for unlimited.

    A person's own amount goes before that of their roles (the highest of them), and that before
    the one for each person. A person without limit is not bound by the tenant's own either.
    """
    own = _own(caller, rules)
    if own == (None,):
        return None
    requester = own[0] if own else rules.value(QUOTA_USER)
    tenant = rules.value(QUOTA_GUILD)
    if requester is None and tenant is None:
        return None
    since, until = day_of(now, rules.value(TIMEZONE))
    return Quota(requester_seconds=requester, tenant_seconds=tenant, since=since, until=until)


async def find_quota(
    caller: Caller, channel: Channel, person: str, rules: Rules, *, policy: Policy, now: float
) -> Quota | None:
    """Return the quota of a person in a channel now, the operator's rules included.

    The operator's amount for a person counts what they use in all tenants together.

    Args:
        caller: The person.
        channel: Where they ask.
        person: Their name in all tenants.
        rules: The settings in force for them there.
        policy: Holds the operator's amounts.
        now: Unix seconds.
    """
    found = compute_tenant_quota(caller, rules, now)
    everywhere = await policy.settings.rules(EVERYWHERE, channel="", person="")
    people: Mapping[str, int | None] = everywhere.value(QUOTA_PEOPLE) or {}
    amount = people.get(person)
    personal = policy.operator_rules.direct_message_seconds if channel.personal else None
    if amount is None and personal is None:
        return found
    if found is None:
        since, until = day_of(now, rules.value(TIMEZONE))
        found = Quota(since=since, until=until)
    if amount is not None:
        # Not the guild's day: its admins could begin a new one by another time zone.
        since, until = day_of(now, OPERATOR_ZONE)
        found = replace(found, person_since=since, person_until=until)
    own = [item for item in (found.requester_seconds, personal) if item is not None]
    return replace(found, requester_seconds=min(own, default=None), person_seconds=amount)


def _own(caller: Caller, rules: Rules) -> tuple[int | None] | tuple[()]:
    """Return the amount set for a person or their roles, empty if there is none."""
    people: Mapping[str, int | None] = rules.value(QUOTA_PEOPLE) or {}
    if caller.id in people:
        return (people[caller.id],)
    roles: Mapping[str, int | None] = rules.value(QUOTA_ROLES) or {}
    amounts = [amount for role, amount in roles.items() if role in caller.roles]
    if not amounts:
        return ()
    return (None if None in amounts else max(amount for amount in amounts if amount is not None),)
