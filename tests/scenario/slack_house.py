"""The bot on a loopback Slack: everything real but the worker, in the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.app import make_card_factory
from bot.config.sections import SlackSection
from bot.delivery.delivery import Delivery
from bot.platform import Services
from bot.slack.api.rate_limits import Limiter
from bot.slack.manifest import manifest
from bot.slack.platform import SlackPlatform
from commands.installation import Installation
from commands.policy.operator_rules import OperatorRules
from commands.policy.stores import TABLES, make_policy
from inference.clock import Clock, SystemClock
from inference.domain.job import Job
from inference.domain.limits import QueueLimits
from inference.domain.watermark import WatermarkSettings
from inference.jobs.assembly import Core, open_core
from inference.safety.guard import ModerationGuard
from inference.tasks import running
from inference.workers.pool import Pool
from tests.fakes.cleaner import FakeCleaner
from tests.fakes.commands import COMMANDS
from tests.fakes.executor import FakeSlot
from tests.fakes.models import MODELS
from tests.fakes.moderators import a_guard
from tests.fakes.slack import LoopbackSlack
from tests.fakes.slack.application import Application

ROOMY = QueueLimits(per_tenant=100, per_requester=100, total=100)


def declared(prefix: str = "") -> Application:
    """The app as its own manifest declares it."""
    url = "https://rushes.example.com"
    return Application.from_manifest(manifest(COMMANDS, url=url, prefix=prefix))


class NeverShrinks:
    async def fit(self, source: Path, limit: int, directory: Path) -> Any:
        raise AssertionError("every clip of these tests is small enough")


@dataclass(kw_only=True)
class House:
    """A bot that can be opened and closed like a process, keeping its folder."""

    slack: LoopbackSlack
    directory: Path
    section: dict[str, Any] = field(default_factory=dict)
    executor: FakeSlot = field(default_factory=lambda: FakeSlot(automatic=True))
    operators: frozenset[str] = frozenset()
    rules: OperatorRules = field(default_factory=OperatorRules)
    guard: ModerationGuard = field(default_factory=a_guard)
    clock: Clock = field(default_factory=SystemClock)
    """Of the platform alone."""
    core: Core = field(init=False)
    services: Services = field(init=False)
    platform: SlackPlatform = field(init=False)
    running: asyncio.Task[None] = field(init=False)

    @contextlib.asynccontextmanager
    async def open(self, *, connected: bool = True) -> AsyncIterator[House]:
        """Run it inside the block."""
        clock = SystemClock()
        limiter = Limiter(clock, since=clock.monotonic() - 60)
        section = SlackSection(
            **{
                "app_token": self.slack.app_token,
                "signing_secret": self.slack.signing_secret,
                "api_base_url": self.slack.api_base_url,
                **self.section,
            }
        )
        self.platform = SlackPlatform(section, clock=self.clock, limiter=limiter)
        installation = Installation(
            models=(MODELS.capabilities("testcard"),), default_model="testcard"
        )
        async with contextlib.AsyncExitStack() as stack:
            self.core = core = await stack.enter_async_context(
                open_core(
                    data_directory=self.directory,
                    packages=(TABLES,),
                    pool=Pool([self.executor]),
                    cleaner=FakeCleaner(),
                    sources={"slack": self.platform.images},
                    capabilities=MODELS.capabilities,
                    limits=ROOMY,
                    weights={},
                    watermark=WatermarkSettings(),
                    files_seconds=86400.0,
                    assistant=None,
                    guard=lambda _: self.guard,
                    clock=clock,
                )
            )
            self.services = Services(
                jobs=core.jobs,
                installation=installation,
                policy=make_policy(core.database, clock, installation.options, self.rules),
                commands=COMMANDS,
                language="en",
                database=core.database,
                operators=self.operators,
            )
            delivery = Delivery(
                outbox=core.outbox,
                store=core.store,
                artifacts=core.artifacts,
                events=core.events,
                platforms={"slack": self.platform},
                card_factory=make_card_factory(core.jobs, installation, "en", clock),
                compressor=NeverShrinks(),
                previews=False,
                clock=clock,
            )
            tasks = await stack.enter_async_context(running())
            tasks.start(delivery.run(), name="delivery")
            self.running = asyncio.create_task(self.platform.run(self.services))
            stack.push_async_callback(self._stop)
            if connected:
                await self.connected()
            yield self

    async def connected(self) -> None:
        """Wait until the bot knows, too, that it is connected."""
        await self.slack.connected()
        async with asyncio.timeout(180):
            while not self.platform.connected:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.005)

    async def jobs(self) -> list[Job]:
        """Return every job there is."""
        rows = await self.core.database.read("SELECT id FROM jobs ORDER BY created_at")
        found = [await self.core.store.get(row["id"]) for row in rows]
        return [job for job in found if job is not None]

    async def _stop(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self.running


def card_of(prompt):
    """Tell the card of a job from all else."""
    return lambda message: message.metadata and prompt in message.words


async def clip_below(slack, card):
    """Wait for the clip in the thread of a card."""
    files = lambda: next((m for m in card.channel.thread(card) if m.files), None)  # noqa: E731
    return await slack.until(files)


async def buttons_below(slack, card):
    """Wait for the buttons of the clip."""
    found = lambda: next((m for m in card.channel.thread(card) if m.buttons), None)  # noqa: E731
    return await slack.until(found)


async def written(house: House, sql: str) -> None:
    """Wait until a query finds something: the database tells nobody."""
    async with asyncio.timeout(180):
        while not await house.core.database.read(sql):  # noqa: ASYNC110 - as it says
            await asyncio.sleep(0.01)


async def listening(port: int) -> None:
    async with asyncio.timeout(180):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
