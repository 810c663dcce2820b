"""Rate limits against floods: of requests per IP address, and of log events."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict

from inference.clock import Clock

PER_MINUTE = 30
"""Pages that one address may open."""

MAX_ADDRESSES = 4096
"""Addresses that are remembered; the one not seen for longest is forgotten."""

LOG_SECONDS = 60.0
"""Between two lines about the same kind of trouble."""

_IPV6_NETWORK = 64
"""Bits of an IPv6 address that one customer of a provider cannot choose."""


class AddressLimiter:
    """A token bucket for each address, in bounded memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Requests left, and when that was so."""

    def take(self, address: str) -> int:
        """Let a request pass and return 0, or return the seconds until the next one may."""
        key, now = _network(address), self._clock.monotonic()
        left, at = self._buckets.pop(key, (float(PER_MINUTE), now))
        left = min(float(PER_MINUTE), left + (now - at) * PER_MINUTE / 60)
        wait = 0 if left >= 1 else math.ceil((1 - left) * 60 / PER_MINUTE)
        self._buckets[key] = (left if wait else left - 1, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait


class LogLimiter:
    """Limits repeated log entries; each stands for all since the last one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_last = 0
        self._last_at: float | None = None

    def count(self) -> int:
        """Count an event; return how many the entry that is due now stands for, or 0 if none is."""
        self._since_last += 1
        now = self._clock.monotonic()
        if self._last_at is not None and now - self._last_at < LOG_SECONDS:
            return 0
        count, self._since_last, self._last_at = self._since_last, 0, now
        return count


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 4:  # noqa: PLR2004 - the version
        return str(found)
    return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))
