"""Detects another process with the same token, reports it, and withdraws jobs that it makes."""

from __future__ import annotations

import asyncio

import structlog

from bot.health import Health
from commands.text.messages import error_text
from inference.clock import Clock
from inference.domain.errors import StoreError, UserError
from inference.jobs.service import JobService

HEALTH_KEY = "discord.two_hosts"

QUIET_SECONDS = 1800.0
"""After which the other process is taken to be gone."""

_log = structlog.get_logger(__name__)


class SharedToken:
    """Reports answers of another process, until there have been none for a while."""

    def __init__(self, jobs: JobService, health: Health, language: str, clock: Clock) -> None:
        """Prepare.

        Args:
            jobs: Where acceptances are withdrawn.
            health: Where it is reported.
            language: Of the operator.
            clock: Tells how long it has been quiet.
        """
        self._jobs = jobs
        self._health = health
        self._language = language
        self._clock = clock
        self._seen = asyncio.Event()

    def report_other_process(self) -> None:
        """Report that another process answered an interaction."""
        _log.error("discord.answered_elsewhere")
        self._health.report(HEALTH_KEY, error_text(UserError("discord.two_hosts"), self._language))
        self._seen.set()

    async def withdraw(self, key: str) -> None:
        """Withdraw the jobs accepted under an idempotency key: the other process makes them."""
        try:
            job = await self._jobs.withdraw(key)
        except StoreError as error:
            _log.error("discord.not_withdrawn", code=error.code)
        else:
            if job is not None:
                _log.warning("discord.withdrawn", job=job.id)

    async def run(self) -> None:
        """Clear the problem whenever it has been quiet, until cancelled."""
        while True:
            await self._seen.wait()
            while self._seen.is_set():
                self._seen.clear()
                await self._clock.sleep(QUIET_SECONDS)
            self._health.clear(HEALTH_KEY)
