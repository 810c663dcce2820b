"""Rate limits of Slack's methods: one token bucket per workspace and method.

Slack counts calls per method and workspace, `chat.postMessage` also per channel. Each has a token
bucket that is empty when the process starts: what was called just before a crash still counts at
Slack, and a restart must not exceed the limit either.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.clock import Clock
from inference.domain.errors import DeliveryError

MINUTE = 60.0

_ROUNDING = 1e-6
"""Seconds that sums of fractions may be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often a method may be called. In any minute it is called `burst + per_minute` at most."""

    burst: int
    per_minute: int

    @property
    def interval(self) -> float:
        """Seconds after which there is room for one more call."""
        return MINUTE / self.per_minute


TIER_3 = Rate(burst=6, per_minute=43)
"""Slack allows 50 a minute."""

TIER_4 = Rate(burst=15, per_minute=84)
"""Slack allows 100 a minute."""

PER_CHANNEL = Rate(burst=3, per_minute=60)
"""Messages in one channel: about one a second."""

PER_WORKSPACE = Rate(burst=20, per_minute=200)
"""Messages in all channels together: several hundred a minute."""

_FAST = frozenset(
    {
        "chat.postEphemeral",
        "files.completeUploadExternal",
        "files.getUploadURLExternal",
        "files.info",
        "users.info",
        "views.open",
        "views.publish",
        "views.push",
        "views.update",
    }
)


def rate_of(method: str) -> Rate:
    """Return the rate of a method in a workspace; unknown methods get the slowest."""
    if method == "chat.postMessage":
        return PER_WORKSPACE
    return TIER_4 if method in _FAST else TIER_3


class Bucket:
    """A token bucket that may be closed for a while. Times are monotonic seconds."""

    def __init__(self, rate: Rate, *, since: float) -> None:
        """Start empty.

        Args:
            rate: How fast it fills, and how much it holds.
            since: When it began to fill.
        """
        self._rate = rate
        self._tokens = 0.0
        self._filled_at = since
        self._closed_until = since
        self._last_promise = since

    def wait(self, now: float, *, spare: float = 0.0) -> float:
        """Return the seconds until a call has room, 0 when it has now.

        Args:
            now: The time.
            spare: Room that must be left over for others.
        """
        self._fill(now)
        missing = 1.0 + spare - self._tokens
        wait = max(self._closed_until - now, missing * self._rate.interval)
        return wait if wait > _ROUNDING else 0.0

    def take(self) -> None:
        """Take a token, after `wait` returned 0."""
        self._tokens -= 1.0

    def promise(self, now: float) -> float:
        """Reserve the next free call slot, and return the seconds until it."""
        earliest = now + self.wait(now)
        self._last_promise = max(earliest, self._last_promise + self._rate.interval)
        return self._last_promise - now

    def close(self, until: float) -> None:
        """Refuse calls until a time that Slack named."""
        self._closed_until = max(self._closed_until, until)
        self._tokens = min(self._tokens, 0.0)

    def _fill(self, now: float) -> None:
        gained = (now - self._filled_at) / self._rate.interval
        self._tokens = min(float(self._rate.burst), self._tokens + gained)
        self._filled_at = now


class Limiter:
    """The buckets of all workspaces."""

    def __init__(self, clock: Clock, *, since: float | None = None) -> None:
        """Start with empty buckets.

        Args:
            clock: Measures and waits.
            since: Monotonic time since which certainly no call was made; now, if not given.
        """
        self._clock = clock
        self._since = clock.monotonic() if since is None else since
        self._buckets: dict[tuple[str, str, str | None], Bucket] = {}

    async def turn(
        self,
        team: str,
        method: str,
        *,
        channel: str | None = None,
        patience: float = 0.0,
        fleeting: bool = False,
    ) -> None:
        """Wait until the method may be called.

        Args:
            team: The workspace.
            method: Of the Web API.
            channel: Where a message is posted.
            patience: Seconds that the caller is willing to wait here.
            fleeting: The call may as well not happen: it leaves half of the burst to others.

        Raises:
            DeliveryError: Transient `slack.rate_limited`: there is no room in that time.
        """
        buckets = self._of(team, method, channel)
        spare = rate_of(method).burst / 2 if fleeting else 0.0
        deadline = self._clock.monotonic() + patience
        while True:
            now = self._clock.monotonic()
            if not any(bucket.wait(now, spare=spare) for bucket in buckets):
                for bucket in buckets:
                    bucket.take()
                return
            if fleeting:
                wait = max(bucket.wait(now, spare=spare) for bucket in buckets)
            else:
                wait = max(bucket.promise(now) for bucket in buckets)
            if now + wait > deadline:
                raise DeliveryError("slack.rate_limited", transient=True, retry_after=wait)
            await self._clock.sleep(wait)

    def close(self, team: str, method: str, seconds: float, *, channel: str | None = None) -> None:
        """Close a bucket for as long as Slack asked."""
        for bucket in self._of(team, method, channel):
            bucket.close(self._clock.monotonic() + seconds)

    def _of(self, team: str, method: str, channel: str | None) -> list[Bucket]:
        """Return the buckets that a call needs room in."""
        keys: list[tuple[tuple[str, str, str | None], Rate]] = [
            ((team, method, None), rate_of(method))
        ]
        if channel is not None and method == "chat.postMessage":
            keys.append(((team, method, channel), PER_CHANNEL))
        return [
            self._buckets.setdefault(key, Bucket(rate, since=self._since)) for key, rate in keys
        ]
