"""Rate limits as Discord announces them: a bucket per route and channel, and 50 a second in all."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

GLOBAL = (50, 1.0)
"""Requests with the bot token, per seconds; interactions do not count."""

USUAL = (50, 1.0)

MESSAGES = "/channels/{channel_id}/messages"

THREADS = (50, 300.0)
"""New threads of a channel: the one long window that a busy bot meets."""

THREAD_ROUTES = (
    ("POST", MESSAGES + "/{message_id}/threads"),
    ("POST", "/channels/{channel_id}/threads"),
)

BUCKETS = {
    **dict.fromkeys(THREAD_ROUTES, THREADS),
    ("POST", MESSAGES): (5, 5.0),
    ("PATCH", MESSAGES + "/{message_id}"): (5, 5.0),
    ("DELETE", MESSAGES + "/{message_id}"): (5, 1.0),
    ("POST", "/webhooks/{webhook_id}/{webhook_token}"): (5, 2.0),
    ("PATCH", "/webhooks/{webhook_id}/{webhook_token}/messages/@original"): (5, 2.0),
    ("PATCH", "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}"): (5, 2.0),
}
"""Route -> requests per seconds, as observed; Discord may change them and says so in headers."""

MAJOR = ("channel_id", "guild_id", "webhook_id", "webhook_token", "interaction_token")


@dataclass(slots=True)
class _Window:
    ends: float
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a request may pass, and the headers that say so."""

    headers: dict[str, str]
    wait: float = 0.0
    """Seconds; 0 if it may pass."""
    scope: str = "user"


class RateLimits:
    """Fixed windows on real time."""

    def __init__(self) -> None:
        self.on = True
        self.buckets = dict(BUCKETS)
        self._windows: dict[str, _Window] = {}

    def pass_by(
        self, method: str, template: str, path: dict[str, str], *, counts_globally: bool
    ) -> Verdict:
        """Count a request."""
        limit, seconds = self.buckets.get((method, template), USUAL)
        bucket = hashlib.md5(f"{method}{template}".encode(), usedforsecurity=False).hexdigest()
        major = "/".join(path[name] for name in MAJOR if name in path)
        window = self._window(f"{bucket}/{major}", limit, seconds)
        whole = self._window("global", *GLOBAL) if counts_globally else None
        now = time.monotonic()
        wait, scope = 0.0, "user"
        if self.on and whole is not None and not whole.left:
            wait, scope = whole.ends - now, "global"
        elif self.on and not window.left:
            wait = window.ends - now
        else:
            window.left = max(0, window.left - 1)
            if whole is not None:
                whole.left = max(0, whole.left - 1)
        left = window.left if self.on else limit
        headers = {
            "X-RateLimit-Bucket": bucket,
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{time.time() + window.ends - now:.3f}",
            "X-RateLimit-Reset-After": f"{max(0.0, window.ends - now):.3f}",
        }
        return Verdict(headers=headers, wait=max(0.001, wait) if wait else 0.0, scope=scope)

    def _window(self, key: str, limit: int, seconds: float) -> _Window:
        now = time.monotonic()
        window = self._windows.get(key)
        if window is None or window.ends <= now:
            window = self._windows[key] = _Window(now + seconds, limit)
        return window
