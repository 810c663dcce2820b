"""Supervision of platforms: restarts one that fails, and reports which are not connected."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

import aiohttp
import structlog

from bot.platform import Platform, Services
from commands.text.messages import error_text, text
from inference.bug_report import log_bug
from inference.domain.errors import RushesError, UserError, unwrap_group
from inference.retries import backoff, survive

LONGEST_SECONDS = 60.0
"""Before a failed platform is started again."""

REFUSED_SECONDS = 300.0
"""The same after a failure that only the operator can mend, such as a token that is not valid."""

STEADY_SECONDS = 300.0
"""A platform that ran for this long was fine: its next failure is a first one."""

POLL_SECONDS = 0.5
"""Between two looks at the connections."""

PATIENCE_SECONDS = 30.0
"""A connection that is lost for longer is a problem; shorter gaps are every day's."""

_log = structlog.get_logger(__name__)


class Supervisor:
    """Restarts every platform that fails: one must never stop another, or the queue."""

    def __init__(self, platforms: Collection[Platform], services: Services) -> None:
        """Prepare; `run` and `watch` are tasks of the caller.

        Args:
            platforms: All of this process.
            services: Take their calls; their health keeps what is wrong.
        """
        self._platforms = platforms
        self._services = services
        services.health.reconnects.update({platform.name: 0 for platform in platforms})
        self._failed: set[str] = set()
        self._up: dict[str, bool] = {}
        """Whether each that was ever connected still was at the last look."""

    @property
    def connected(self) -> list[str]:
        """Names of the platforms that are connected now."""
        return [platform.name for platform in self._platforms if _connected(platform)]

    async def first_attempts(self, seconds: float) -> None:
        """Wait until every platform has connected or failed once, but no longer than `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            settled = {*self.connected, *self._failed}
            if all(platform.name in settled for platform in self._platforms):
                return
            await asyncio.sleep(POLL_SECONDS / 10)

    async def run(self, platform: Platform) -> None:
        """Keep a platform running until cancelled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            pause = None
            try:
                await platform.run(self._services)
            except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
                pause = self._report(platform, error)
            if loop.time() - started > STEADY_SECONDS:
                failures = 0
            await asyncio.sleep(pause or backoff(failures, first=1.0, longest=LONGEST_SECONDS))
            failures += 1

    async def watch(self) -> None:
        """Report platforms that stay unconnected, until cancelled."""
        loop = asyncio.get_running_loop()
        lost_at = {platform.name: loop.time() for platform in self._platforms}
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for platform in self._platforms:
                look = partial(self._look, platform, lost_at)
                await survive(look, name=f"{platform.name}.watch")

    async def _look(self, platform: Platform, lost_at: dict[str, float]) -> None:
        """Report a platform that has not been connected for a while, or clear what was said."""
        now, key = asyncio.get_running_loop().time(), f"{platform.name}.connection"
        if _connected(platform):
            if not self._up.get(platform.name, True):
                self._services.health.reconnects[platform.name] += 1
            self._up[platform.name] = True
            lost_at[platform.name] = now
            self._failed.discard(platform.name)
            self._services.health.clear(key)
            return
        if platform.name in self._up:
            self._up[platform.name] = False
        if now - lost_at[platform.name] > PATIENCE_SECONDS and platform.name not in self._failed:
            sentence = text("health.not_connected", self._services.language, platform=platform.name)
            self._services.health.report(key, sentence)

    def _report(self, platform: Platform, error: Exception) -> float | None:
        """Say why a platform failed; return the pause if it is not the usual one."""
        self._failed.add(platform.name)
        expected = _find_expected(error)
        if expected is None:
            log_bug(_log, "platform.failed", error, platform=platform.name)
            expected = RushesError("platform.bug", platform=platform.name)
        sentence = error_text(expected, self._services.language)
        _log.error("platform.failed", platform=platform.name, problem=sentence)
        self._services.health.report(f"{platform.name}.connection", sentence)
        return REFUSED_SECONDS if isinstance(expected, UserError) else None


def _connected(platform: Platform) -> bool:
    # A plugin's platform may be older than this member.
    return getattr(platform, "connected", True)


def _find_expected(error: BaseException) -> RushesError | None:
    """Return the error to show the operator, or None for a bug."""
    leaf = unwrap_group(error)
    if isinstance(leaf, OSError | TimeoutError | aiohttp.ClientError):
        problem = getattr(leaf, "strerror", None) or type(leaf).__name__
        return RushesError("platform.unreachable", problem=problem)
    return leaf if isinstance(leaf, RushesError) else None
