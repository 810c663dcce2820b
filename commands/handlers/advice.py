"""Advice on a refused render: the largest one that still fits a quota or the limit for one job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

from commands.context import Call
from commands.options import FRAME_COUNT, LOOPS, RESOLUTION
from commands.parsing.flags import render_options
from commands.policy.permissions import list_possible_values
from commands.policy.settings import CAPS
from commands.results import Advice
from commands.schema import Value
from commands.specs.layers import COMMAND
from commands.specs.resolve import Resolved
from inference.domain.capabilities import Capabilities
from inference.domain.quota import milliseconds
from inference.domain.spec import Spec


def find_largest_fit(
    spec: Spec, capabilities: Capabilities, left: int, cost: Callable[[Spec], float]
) -> Spec | None:
    """Return the largest render like this one, and no larger, that `left` milliseconds cover."""
    caps = {cap.option: cap for cap in CAPS}
    resolutions, lengths = (
        [
            value
            for value in list_possible_values(caps[option], spec, capabilities)
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


def advise_within_quota(call: Call, resolved: Resolved, left: int) -> Advice:
    """Describe the nearest render that so many milliseconds cover."""
    changes = _nearest(call, resolved, left)
    if changes is None:
        return Advice("quota.nothing_fits", {"left": left // 1000})
    flags = render_options(changes, call.installation.options)
    return Advice("quota.fits", {"left": left // 1000, "flags": flags}, changes)


def advise_within_job_limit(call: Call, resolved: Resolved, seconds: float) -> Advice | None:
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
