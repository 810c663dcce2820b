"""HTTP as a platform without messages: a result counts as delivered once its file is complete.

The outbox owns every job as on any platform: its clip counts as delivered once its file is
complete, and posting it again after a crash changes nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.config.sections import HttpSection
from bot.http.access import tokens
from bot.http.address import NAME, Address
from bot.http.server import serve
from bot.http.videos.uploads import SWEEP_SECONDS, Uploads
from bot.http.webhooks import Webhooks
from bot.platform import Outgoing, Receipt, Remember, Services
from inference.clock import SystemClock
from inference.domain.errors import DeliveryError
from inference.domain.job import Job
from inference.domain.outbox import ActKind
from inference.retries import survive

ANY_SIZE = 1 << 50
"""Bytes: a file is streamed from the disk."""


class HttpPlatform:
    """Serves the API, and marks the messages of its jobs as delivered."""

    name = NAME

    def __init__(self, section: HttpSection, *, data_directory: Path, files_seconds: float) -> None:
        """Prepare; `run` listens.

        Args:
            section: Where to listen.
            data_directory: Uploads wait in a folder of it.
            files_seconds: How long finished files are kept.
        """
        self._section = section
        self._webhooks = Webhooks(section, SystemClock())
        self._services: Services | None = None
        self._files_seconds = files_seconds
        self.images = Uploads(data_directory / "uploads")
        self.connected = False
        self.port = section.port
        """Where it listens, once it does: another one than in the config if that says 0."""

    async def run(self, services: Services) -> None:
        """Serve until cancelled.

        Raises:
            UserError: `http.cannot_listen`.
        """
        self._services = services
        self.images.cleaner = services.media
        async with serve(
            self._section,
            services,
            uploads=self.images,
            files_seconds=self._files_seconds,
            clock=SystemClock(),
        ) as self.port:
            self.connected = True
            try:
                while True:
                    await survive(lambda: self.images.sweep(services.database), name="http.uploads")
                    await asyncio.sleep(SWEEP_SECONDS)
            finally:
                self.connected = False

    async def upload_limit(self, job: Job) -> int:  # noqa: ARG002 - the port's signature
        """Return a limit above the size of any file: files are downloaded, not uploaded."""
        return ANY_SIZE

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:  # noqa: ARG002
        """Return a receipt without posting: clients fetch the newest state; see `edit`."""
        if message.kind is ActKind.SHEET:
            return {}  # who asks gets each still for itself
        await self._tell(message)
        return {"key": message.key}

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:  # noqa: ARG002
        """Notify the webhook of a job that has ended, if there is one.

        Raises:
            DeliveryError: `http.webhook`.
        """
        await self._tell(message)

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Do nothing: the job's own file goes with the job."""

    async def _tell(self, message: Outgoing) -> None:
        jobs = [message.job, *(job for job in message.together if job.id != message.job.id)]
        if message.kind is not ActKind.CARD or not all(job.ended for job in jobs):
            return
        if self._services is None:
            raise DeliveryError("http.webhook", transient=True, problem="starting")
        token = Address(**message.job.address).token
        now = SystemClock().now()
        webhook = await tokens.webhook_of(self._services.database, token, now)
        for job in jobs:
            if webhook is not None and job.removed_at is None:
                await self._webhooks.tell(job, *webhook)

    async def find(self, message: Outgoing) -> Receipt | None:
        """Return the receipt that `post` returned, or would have."""
        return {"key": message.key}
