"""Daily GPU quota: the limit of a person, its reset, and the largest render that still fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from commands.caller import Caller
from commands.context import Call
from commands.options import FRAME_COUNT, LOOPS, RESOLUTION
from commands.parsing.flags import render_options
from commands.policy.operator_rules import EVERYWHERE
from commands.policy.permissions import possible
from commands.policy.settings import (
    CAPS,
    QUOTA_GUILD,
    QUOTA_PEOPLE,
    QUOTA_ROLES,
    QUOTA_USER,
    TIMEZONE,
    Rules,
)
from commands.results import Advice
from commands.schema import Value
from commands.specs.layers import COMMAND
from commands.specs.resolve import Resolved
from inference.domain.capabilities import Capabilities
from inference.domain.quota import Quota, Usage, milliseconds
from inference.domain.spec import Spec

OPERATOR_ZONE = "UTC"
"""Where the day of the operator's amounts begins."""


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


def quota(caller: Caller, rules: Rules, now: float) -> Quota | None:
    """Return what a person may use in the day of `now`; None where nothing is limited.

    A person's own amount goes before that of their roles (the most generous of them), and that
    before the one for everybody. Who is without limit is not held by the guild's either.
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


async def quota_of(call: Call, rules: Rules) -> Quota | None:
    """Return what the caller may use today where they ask, the operator's rules included.

    The operator's amount for a person counts what they use in all tenants together.
    """
    now = call.clock.now()
    found = quota(call.caller, rules, now)
    everywhere = await call.policy.settings.rules(EVERYWHERE, channel="", person="")
    people: Mapping[str, int | None] = everywhere.value(QUOTA_PEOPLE) or {}
    person = people.get(call.person)
    personal = call.policy.operator_rules.direct_message_seconds if call.channel.personal else None
    if person is None and personal is None:
        return found
    if found is None:
        since, until = day_of(now, rules.value(TIMEZONE))
        found = Quota(since=since, until=until)
    if person is not None:
        # Not the guild's day: its admins could begin a new one by another time zone.
        since, until = day_of(now, OPERATOR_ZONE)
        found = replace(found, person_since=since, person_until=until)
    own = [item for item in (found.requester_seconds, personal) if item is not None]
    return replace(found, requester_seconds=min(own, default=None), person_seconds=person)


async def usage_of(call: Call, since: float, person_since: float | None = None) -> Usage:
    """Return what the caller used since a time, Unix seconds; everywhere since another one."""
    return await call.jobs.usage(
        call.channel.tenant,
        call.caller.id,
        since=since,
        person=call.person,
        person_since=person_since,
    )


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


def find_largest_fit(
    spec: Spec, capabilities: Capabilities, left: int, cost: Callable[[Spec], float]
) -> Spec | None:
    """Return the largest render like this one, and no larger, that `left` milliseconds cover."""
    caps = {cap.option: cap for cap in CAPS}
    resolutions, lengths = (
        [
            value
            for value in possible(caps[option], spec, capabilities)
            if caps[option].rank(value) <= caps[option].rank(getattr(spec, option.name))
        ]
        for option in (RESOLUTION, FRAME_COUNT)
    )
    smaller = [
        replace(spec, resolution=resolution, frames=frames, loops=loops)
        for resolution, frames, loops in product(resolutions, lengths, range(1, spec.loops + 1))
    ]
    affordable = [item for item in smaller if milliseconds(cost(item)) <= left]
    return max(affordable, key=cost, default=None)


def what_fits(call: Call, resolved: Resolved, left: int) -> Advice:
    """Describe the nearest render that so many milliseconds cover."""
    changes = _nearest(call, resolved, left)
    if changes is None:
        return Advice("quota.nothing_fits", {"left": left // 1000})
    flags = render_options(changes, call.installation.options)
    return Advice("quota.fits", {"left": left // 1000, "flags": flags}, changes)


def what_is_short_enough(call: Call, resolved: Resolved, seconds: float) -> Advice | None:
    """Describe the nearest render that is within the limit for one job, if there is one."""
    changes = _nearest(call, resolved, milliseconds(seconds))
    if changes is None:
        return None
    flags = render_options(changes, call.installation.options)
    return Advice("queue.fits", {"flags": flags}, changes)


def _nearest(call: Call, resolved: Resolved, left: int) -> dict[str, Value] | None:
    """Return the options of the largest render like this one that the milliseconds cover."""
    fits = find_largest_fit(resolved.spec, resolved.capabilities, left, call.jobs.cost)
    if fits is None:
        return None
    loops: dict[str, Value] = {} if resolved.spec.loops == 1 else {LOOPS.name: fits.loops}
    frames: dict[str, Value] = {FRAME_COUNT.name: fits.frames}
    if resolved.origins.get(FRAME_COUNT.name) == COMMAND:  # /image refuses a length
        frames = {}
    return {**frames, RESOLUTION.name: str(fits.resolution), **loops}
