"""Discord's rate limits, from the headers of its answers: one bucket per route and channel.

discord.py refuses a request whose bucket has a long window, though requests remain in it, and holds
the answer that emptied a bucket until the bucket is full again. Here a request waits only while its
bucket is empty, and only as long as its caller has patience; `discord.RateLimited` says how long
the rest of the wait is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
import discord
import structlog
from discord.http import HTTPClient, Ratelimit, Route, json_or_text

PATIENCE_SECONDS = 30.0
"""A request waits so long for its bucket, unless its caller says otherwise."""

PROBE_SECONDS = 0.5
"""While Discord has not said how large a bucket is, one request in this time finds out."""

NEW_WINDOW_SECONDS = 0.5
"""Two answers whose windows end further apart are about different windows."""

MAX_TRIES = 5
"""Of one request that is told 429 again and again."""

MAX_SECONDS = 3600.0
"""Nothing waits longer for a limit than this; then Discord is asked again."""

IDLE_SECONDS = 60.0
"""A bucket that was not used for so long is forgotten: every job has separate ones."""

SWEEP_SECONDS = 15.0
"""Between two looks for such buckets, which go through all of them."""

_TOO_MANY_REQUESTS = 429

_patience: ContextVar[float] = ContextVar("discord-patience", default=PATIENCE_SECONDS)
_refusal: ContextVar[_Refusal | None] = ContextVar("discord-refusal", default=None)
"""The newest 429 to the request that this task makes."""

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Let requests made in the block wait at most so long for their buckets."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """The fields of a 429 response that the library does not pass on."""

    headers: Mapping[str, str]
    code: int
    """Discord's, such as for too many edits of one old message; 0 for a rate limit."""
    wait: float | None
    """Seconds; None where the body does not say: then it is not from Discord, but from something
    on the way. The library looks for a `Via` header instead, which proxies may remove."""

    @property
    def everywhere(self) -> bool:
        """Whether it is about all requests."""
        return self.scope == "global" or "X-RateLimit-Global" in self.headers

    @property
    def finer(self) -> bool:
        """Whether it is about less than the bucket."""
        return bool(self.code) or _number(self.headers, "X-RateLimit-Remaining", 0) > 0

    @property
    def scope(self) -> str:
        """What it is about: "user", "global" or "shared"."""
        return self.headers.get("X-RateLimit-Scope", "user")


class Pause:
    """The time until which no request at all may be made: the global limit, or a ban."""

    def __init__(self) -> None:
        self._until = 0.0

    def extend(self, seconds: float) -> None:
        """Extend the pause to so many seconds from now."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)

    def left(self) -> float:
        """Return the seconds until requests may be made again."""
        return max(0.0, self._until - asyncio.get_running_loop().time())


class Bucket(Ratelimit):
    """One bucket: so many requests in a window of time, which begins with the first of them."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(None)
        self._pause = pause
        self._used = 0
        """Requests of ours in this window, or more where Discord counted more."""
        self._known = False
        """Whether Discord has said how large it is."""
        self._reset_at = 0.0
        """The end of the window by Discord's clock, by which windows are told apart."""
        self._probed_at = 0.0
        self._changed = asyncio.Event()
        self.remaining = self.limit = 1

    def update(self, response: aiohttp.ClientResponse, *, use_clock: bool = False) -> None:  # noqa: ARG002 - Discord's clock is never ours
        """Update the bucket from the headers of an answer."""
        headers = response.headers
        now = self._loop.time()
        self.limit = int(_number(headers, "X-RateLimit-Limit", 1))
        used = self.limit - int(_number(headers, "X-RateLimit-Remaining", 0))
        left = min(_number(headers, "X-RateLimit-Reset-After", 0), MAX_SECONDS)
        reset_at = _number(headers, "X-RateLimit-Reset", now + left)
        later = reset_at - self._reset_at
        if self.expires is not None and later < -NEW_WINDOW_SECONDS:
            return  # about a window that is over
        if self.expires is not None and later < NEW_WINDOW_SECONDS:
            self._used = max(self._used, used)
            self.expires = min(self.expires, now + left)  # the answer that travelled fastest
        else:
            self._used = max(used, self.outgoing)
            self._reset_at, self.expires = reset_at, now + left
        self._known, self.reset_after = True, left
        self._show()

    async def acquire(self) -> None:
        """Wait until the bucket has room.

        Raises:
            discord.RateLimited: That takes longer than the caller wants to wait.
        """
        ends = self._loop.time() + _patience.get()
        while wait := max(self._pause.left(), self._wait()):
            now = self._loop.time()
            if now + wait > ends:
                raise discord.RateLimited(wait)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
        self._last_request = self._probed_at = self._loop.time()
        self._used += 1
        self.outgoing += 1
        self._show()

    async def __aenter__(self) -> Self:
        """Take a request out of the bucket."""
        _refusal.set(None)
        await self.acquire()
        return self

    async def __aexit__(
        self,
        type: type[BaseException] | None,  # noqa: A002 - the library's name
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Note how the request went; nothing waits here."""
        self.outgoing -= 1
        refusal = _refusal.get()
        if refusal is not None and (wait := _read_wait(value)) is not None:
            self._note_refusal(refusal, wait)
        elif isinstance(value, discord.HTTPException) and value.status == _TOO_MANY_REQUESTS:
            self._pause.extend(
                read_retry_after(value.response.headers)
            )  # banned on the way to Discord
        self._show()

    def is_inactive(self) -> bool:
        """Whether it may be forgotten."""
        now = self._loop.time()
        idle = now - self._last_request >= IDLE_SECONDS and not self.outgoing
        return idle and (self.expires is None or self.expires <= now)

    def _note_refusal(self, refusal: _Refusal, retry_after: float) -> None:
        if refusal.everywhere:
            self._pause.extend(retry_after)
        elif not refusal.finer:
            self._used, self._known = max(self._used, self.limit), True
            self._reset_at = _number(refusal.headers, "X-RateLimit-Reset", self._reset_at)
            self.expires = self._loop.time() + retry_after
        _log.info("discord.rate_limited", scope=refusal.scope, seconds=retry_after)

    def _wait(self) -> float:
        """Return the seconds until a request may be made, as far as is known."""
        now = self._loop.time()
        if self.expires is not None and now >= self.expires:
            self._used, self.expires = self.outgoing, None
        if not self._known:
            return max(0.0, self._probed_at + PROBE_SECONDS - now) if self.outgoing else 0.0
        if self._used < self.limit:
            return 0.0
        if self.expires is not None:
            return max(0.001, self.expires - now)
        # All that fits is on the way, and no answer has said when the new window ends.
        return max(0.0, self._probed_at + PROBE_SECONDS - now)

    def _show(self) -> None:
        self.remaining = max(0, self.limit - self._used)
        self._changed.set()


class RateLimitedClient(HTTPClient):
    """The library's REST client with these buckets."""

    def __init__(self, client: HTTPClient) -> None:
        """Take the place of a client that has made no request yet."""
        super().__init__(
            client.loop,
            client.connector or None,
            proxy=client.proxy,
            proxy_auth=client.proxy_auth,
            unsync_clock=not client.use_clock,
            http_trace=_watch(),
        )
        # So every 429 comes back to `request`, which knows the caller's patience.
        self.max_ratelimit_timeout = 1e-9
        self._pause = Pause()
        self._sweep_at = 0.0

    def get_ratelimit(self, key: str) -> Ratelimit:
        """Return the bucket with a key."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._pause)
            self._try_clear_expired_ratelimits()
        return bucket

    def _try_clear_expired_ratelimits(self) -> None:
        """Forget idle buckets: not at each new one, as the library does from 256 on."""
        now = asyncio.get_running_loop().time()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_SECONDS
        for key in [key for key, bucket in self._buckets.items() if bucket.is_inactive()]:
            del self._buckets[key]

    async def request(
        self,
        route: Route,
        *,
        files: Sequence[discord.File] | None = None,
        form: Iterable[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make a request; one that is told to wait is made again, if the wait is short.

        Raises:
            discord.RateLimited: The wait is longer than the caller's patience.
            discord.HTTPException: Discord refused it.
        """
        parts = None if form is None else list(form)
        loop = asyncio.get_running_loop()
        ends = loop.time() + _patience.get()
        for tries in range(MAX_TRIES):
            for file in files or ():
                file.reset(seek=tries > 0)
            try:
                return await super().request(route, files=files, form=parts, **kwargs)
            except (discord.RateLimited, discord.HTTPException) as error:
                wait = _read_wait(error)
                if wait is None:
                    raise
                if tries == MAX_TRIES - 1 or loop.time() + wait > ends:
                    raise discord.RateLimited(wait) from error
                await asyncio.sleep(wait)
            except KeyError as error:  # a 429 that does not say how long, in the library's words
                if (refusal := _refusal.get()) is None:
                    raise
                raise discord.RateLimited(read_retry_after(refusal.headers)) from error
        raise AssertionError("unreachable")


def install(client: discord.Client) -> None:
    """Let a client that is not logged in yet use these buckets."""
    http = RateLimitedClient(client.http)
    client.http = http
    client._connection.http = http  # noqa: SLF001 - the library offers no other way


def _watch() -> aiohttp.TraceConfig:
    """Keep what a 429 says: the library passes on nothing but the wait."""
    watch = aiohttp.TraceConfig()

    async def keep_refusal(
        session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp's signature
        context: SimpleNamespace,  # noqa: ARG001 - aiohttp's signature
        answer: aiohttp.TraceRequestEndParams,
    ) -> None:
        response = answer.response
        if response.status == _TOO_MANY_REQUESTS:
            said = await json_or_text(response)
            told = said if isinstance(said, dict) else {}
            wait = sane_wait(told["retry_after"]) if "retry_after" in told else None
            code = told.get("code", 0)
            _refusal.set(_Refusal(headers=response.headers, code=code, wait=wait))

    watch.on_request_end.append(keep_refusal)
    return watch


def _read_wait(error: BaseException | None) -> float | None:
    """Return the seconds that Discord asks to wait; None if a request failed for another reason."""
    if isinstance(error, discord.RateLimited):
        return sane_wait(error.retry_after)
    refusal = _refusal.get()
    limited = isinstance(error, discord.HTTPException) and error.status == _TOO_MANY_REQUESTS
    return refusal.wait if limited and refusal is not None else None


def read_retry_after(headers: Mapping[str, str], default: float = 1.0) -> float:
    """Return the seconds that an answer asks to wait."""
    return min(_number(headers, "Retry-After", default), MAX_SECONDS)


def _number(headers: Mapping[str, str], name: str, default: float) -> float:
    """Return a header's number; a header that is no number must not lose the answer it is on."""
    try:
        value = float(headers.get(name, default))
    except ValueError:
        return default
    return value if math.isfinite(value) and value >= 0 else default


def sane_wait(seconds: object) -> float:
    """Return the wait in an answer's body, within sane bounds."""
    if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0:
        return min(float(seconds), MAX_SECONDS)
    return 1.0
