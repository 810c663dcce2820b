"""Notices of finished erasures, posted to the people erased, also after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog

from bot.platform import Outgoing, Platform
from commands.jobs import Jobs
from commands.policy.erasures import ErasureRequest
from commands.policy.stores import Policy
from commands.text import replies
from inference.clock import Clock
from inference.domain.errors import DeliveryError
from inference.domain.job import Job, JobState
from inference.domain.outbox import ActKind, Route
from inference.domain.output_settings import OutputSettings
from inference.domain.spec import BLANK
from inference.retries import survive

LOOK_SECONDS = 5.0
"""Between two looks at what is still being deleted."""

_log = structlog.get_logger(__name__)


class ErasureNotices:
    """Completes erasures that a restart interrupted, and posts a direct message after each."""

    def __init__(
        self, *, policy: Policy, jobs: Jobs, platforms: Mapping[str, Platform], clock: Clock
    ) -> None:
        """Wire it up.

        Args:
            policy: Keeps who is to be told, and deletes what they set.
            jobs: Deletes what they made.
            platforms: By name; they post.
            clock: Says when to look again.
        """
        self._policy = policy
        self._jobs = jobs
        self._platforms = platforms
        self._clock = clock

    async def run(self) -> None:
        """Resume interrupted erasures, and post notices until cancelled."""
        for erasure in await self._policy.erasures.open():
            if not erasure.erased:
                await survive(partial(self._erase, erasure), name="erasure.resume")
        while True:
            await survive(self.tell, name="erasure.tell")
            await self._clock.sleep(LOOK_SECONDS)

    async def tell(self) -> None:
        """Send the notice of every complete erasure."""
        for erasure in await self._policy.erasures.open():
            if erasure.erased:
                await survive(partial(self._tell, erasure), name="erasure.tell")

    async def _erase(self, erasure: ErasureRequest) -> None:
        """Delete what an interrupted process left; deleting it twice is fine."""
        await self._policy.forget(erasure.tenant, erasure.person.id)
        await self._jobs.forget(tenant=erasure.tenant, requester_id=erasure.person.id)
        await self._policy.erasures.mark_erased(erasure.id)

    async def _tell(self, erasure: ErasureRequest) -> None:
        if await self._jobs.is_erasing(tenant=erasure.tenant, requester_id=erasure.person.id):
            return
        platform = self._platforms.get(erasure.platform)
        if platform is not None:
            try:
                await platform.post(_message(erasure), _remember_nothing)
            except DeliveryError as error:
                if error.transient:
                    return  # the next look tries again
                # They take no direct messages, so the answer to their next command says it.
                _log.info("erasure.not_told", code=error.code, platform=erasure.platform)
                await self._policy.erasures.leave_untold(erasure)
                return
        await self._policy.erasures.settle(erasure.id)


def _message(erasure: ErasureRequest) -> Outgoing:
    """Return the direct message, with a made-up job: platforms address messages by jobs."""
    job = Job(
        id=erasure.id,
        state=JobState.CANCELLED,
        spec=BLANK,
        origins={},
        tenant=erasure.tenant,
        requester=erasure.person,
        platform=erasure.platform,
        address=erasure.address,
        created_at=0.0,
        cost=0.0,
        output=OutputSettings(language=erasure.locale),
    )
    return Outgoing(
        key=f"{erasure.id}:{ActKind.NOTICE}",
        kind=ActKind.NOTICE,
        job=job,
        card=replies.note("forget.finished", erasure.locale),
        route=Route.DIRECT,
        trace={},
    )


async def _remember_nothing(trace: dict[str, object]) -> None:
    """Ignore a platform's trace of a file: notices have none."""
