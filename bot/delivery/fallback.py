"""Fallback routes of messages that a destination refused, and when they are tried.

A refusal that may pass, such as a bot's time-out, is waited out: for a moment where a thread takes
nothing, for an hour where the channel takes nothing either. Then, or at once where it is
gone for good, the next route is taken: thread, channel, direct message, kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.domain.errors import DeliveryError
from inference.domain.outbox import Act, ActKind, Route
from inference.retries import backoff

PASSING_SECONDS = {Route.THREAD: 30.0, Route.CHANNEL: 3600.0}
"""How long a destination may stay closed, where that may pass, before the next route is taken: a
clip is better read in the channel now than in its thread later, and better there later than
elsewhere."""

CHANNEL_SECONDS = 300.0
"""After this a channel that has refused a message, too, is tried again instead of its thread."""

LONGEST_SECONDS = 30.0
"""Between two tries at a closed destination."""

UNSEEN = "delivery.unseen"
"""Code of an error: the message may be there, so that it must not be posted elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next try of an act."""

    route: Route
    trace: dict[str, Any]
    """What is remembered there."""
    at: float | None = None
    """Unix seconds; None for at once."""


def after(act: Act, error: DeliveryError, now: float) -> Step | None:
    """Return the next step after a destination refused an act, finally or for a while.

    Args:
        act: What was refused.
        error: Why; not transient.
        now: Unix seconds.

    Returns:
        None if there is nothing more to try.
    """
    closed = {"tries": 0, **act.trace.get("closed", {}), "at": _closed_at(act, now)}
    if act.route is Route.CHANNEL:
        closed["channel_at"] = now
    if reopens(act, error, now):
        return _later(act, closed, now)
    if _is_fixed(act):  # it is posted, and nowhere else
        return None
    if error.code == UNSEEN or (act.sending and error.passing):
        return Step(route=Route.KEPT, trace={"unseen": True})
    onward = Route(min(act.route + 1, Route.KEPT))
    why = error.why or act.trace.get("why")
    return Step(route=onward, trace={"closed": closed, **({"why": why} if why else {})})


def reopens(act: Act, error: DeliveryError, now: float) -> bool:
    """Whether it is worth waiting for a channel that is closed."""
    route = Route.CHANNEL if _stays(act) else act.route
    if route is Route.THREAD and _channel_is_closed(act, now):
        route = Route.CHANNEL
    waited = now - _closed_at(act, now)
    return error.passing and waited < PASSING_SECONDS.get(route, 0.0)


def _channel_is_closed(act: Act, now: float) -> bool:
    """Whether the channel has refused the act too, lately: its thread is waited for."""
    refused = act.trace.get("closed", {}).get("channel_at")
    return refused is not None and 0 <= now - refused < CHANNEL_SECONDS


def _later(act: Act, closed: dict[str, Any], now: float) -> Step:
    """Try again where the message belongs."""
    tries: int = closed["tries"]
    pause = backoff(tries, first=2.0, longest=LONGEST_SECONDS)
    home = Route.CHANNEL if act.kind is ActKind.CARD else Route.THREAD
    route = act.route if _stays(act) else home
    kept = act.trace if route is act.route else {}
    return Step(
        route=route, trace={**kept, "closed": {**closed, "tries": tries + 1}}, at=now + pause
    )


def _closed_at(act: Act, now: float) -> float:
    """Return since when the destination of an act is closed; not later than now, by any clock."""
    return min(now, float(act.trace.get("closed", {}).get("at", now)))


def _stays(act: Act) -> bool:
    """Whether an act has one destination only: it is posted, or may be and cannot be found."""
    return _is_fixed(act) or act.sending


def _is_fixed(act: Act) -> bool:
    """Whether an act is about a posted message."""
    return act.receipt is not None or act.kind is ActKind.REMOVAL
