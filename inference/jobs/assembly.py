"""Assembly of the job core: builds all parts and runs their tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.assist.base import PromptAssistant
from inference.assist.cache import RefinementCache
from inference.assist.language import Languages
from inference.assist.limit import PER_HOUR, CallLimit
from inference.assist.refiner import Refiner
from inference.clock import Clock
from inference.domain.capabilities import Capabilities
from inference.domain.events import EventBus
from inference.domain.limits import QueueLimits
from inference.domain.watermark import WatermarkSettings
from inference.jobs.dispatcher import Dispatcher
from inference.jobs.erasure import Eraser
from inference.jobs.estimates.device_costs import LEARN_FROM, DeviceCosts
from inference.jobs.estimates.outlooks import Outlooks
from inference.jobs.expiry import Expiry
from inference.jobs.input_files import ImageCleaner, ImageSource
from inference.jobs.preparation import Preparer
from inference.jobs.prompt_refinement import PromptRefinement
from inference.jobs.queue import JobQueue
from inference.jobs.recovery import recover
from inference.jobs.result_moderation import ResultModerator
from inference.jobs.service import JobService
from inference.retries import survive
from inference.safety.guard import ModerationGuard
from inference.store.artifacts import Artifacts
from inference.store.data_directory import make_private, own
from inference.store.history import History
from inference.store.jobs import JobStore
from inference.store.ledger import Ledger
from inference.store.maintenance import DATABASE_NAME
from inference.store.outbox import OutboxStore
from inference.store.sqlite.database import Database, open_database
from inference.store.sqlite.migrate import PackageMigrations
from inference.tasks import running
from inference.workers.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The parts of the job core that the rest of the process uses."""

    database: Database
    """For the tables that others own."""
    jobs: JobService
    dispatcher: Dispatcher
    result_moderator: ResultModerator
    outbox: OutboxStore
    store: JobStore
    artifacts: Artifacts
    events: EventBus


@contextlib.asynccontextmanager
async def open_data(data_directory: Path, *packages: PackageMigrations) -> AsyncIterator[Database]:
    """Lock the data directory, and serve its database for the length of the block.

    Raises:
        StoreError: Another process owns the directory, or the disk or file is not usable.
    """
    with own(data_directory):
        await asyncio.to_thread(make_private, data_directory)
        async with open_database(data_directory / DATABASE_NAME, *packages) as database:
            yield database


@contextlib.asynccontextmanager
async def open_core(
    *,
    data_directory: Path,
    packages: Sequence[PackageMigrations] = (),
    pool: Pool,
    cleaner: ImageCleaner,
    sources: Mapping[str, ImageSource],
    capabilities: Callable[[str], Capabilities],
    limits: QueueLimits,
    weights: Mapping[str, float],
    watermark: WatermarkSettings,
    files_seconds: float,
    assistant: PromptAssistant | None,
    assistant_calls_per_hour: int = PER_HOUR,
    guard: Callable[[Database], ModerationGuard],
    clock: Clock,
) -> AsyncIterator[Core]:
    """Lock the data directory, recover, and serve the queue for the length of the block.

    Leaving the block puts the running job back in the queue. The pool is entered only once the
    directory is ours: a second process must not even start a worker. `guard` makes the judge of
    words and pictures over the opened database, in which guilds keep their words. `packages`
    have tables in it.

    Raises:
        StoreError: Another process owns the directory, or the disk or file is not usable.
    """
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_data(data_directory, *packages))
        events = EventBus()
        store = JobStore(database, clock, events)
        outbox = OutboxStore(database, clock, events)
        await survive(outbox.restart, name="outbox.restart")
        ledger = Ledger(database)
        artifacts = Artifacts(data_directory)
        await outbox.recover()
        shares = await store.shares()
        shares.weights = weights
        queue = JobQueue(shares)
        costs = DeviceCosts(lambda: pool.kinds)
        costs.learn_from(await store.list_finished(LEARN_FROM), capabilities)
        outlooks = Outlooks(costs, capabilities, clock)
        judge = guard(database)
        result_moderator = ResultModerator(
            store=store, artifacts=artifacts, guard=judge, clock=clock
        )
        dispatcher = Dispatcher(
            store=store,
            artifacts=artifacts,
            queue=queue,
            costs=costs,
            outlooks=outlooks,
            events=events,
            pool=await stack.enter_async_context(pool),
            capabilities=capabilities,
            watermark=watermark,
            finished=result_moderator.add,
            clock=clock,
        )
        refinements = RefinementCache(database, clock)
        calls = CallLimit(assistant_calls_per_hour, clock)
        refiner = None if assistant is None else Refiner(assistant, refinements, clock, calls)
        preparer = Preparer(
            store=store,
            artifacts=artifacts,
            cleaner=cleaner,
            sources=sources,
            prompt_refinement=PromptRefinement(
                refiner=refiner, languages=Languages(), capabilities=capabilities
            ),
            guard=judge,
            ready=dispatcher.enqueue_or_fail,
            clock=clock,
        )
        jobs = JobService(
            store=store,
            history=History(database),
            ledger=ledger,
            artifacts=artifacts,
            queue=queue,
            costs=costs,
            outlooks=outlooks,
            preparer=preparer,
            dispatcher=dispatcher,
            refiner=refiner,
            erasure=Eraser(
                store=store,
                artifacts=artifacts,
                queue=queue,
                dispatcher=dispatcher,
                refinements=refinements,
            ),
            guard=judge,
            capabilities=capabilities,
            events=events,
            limits=limits,
            clock=clock,
        )
        expiry = Expiry(
            store=store,
            ledger=ledger,
            artifacts=artifacts,
            queue=queue,
            standing_still=lambda: dispatcher.paused or dispatcher.without_worker,
            files_seconds=files_seconds,
            clock=clock,
        )
        dispatcher.paused = await store.is_switched_on("paused")
        jobs.draining = await store.is_switched_on("draining")
        await recover(
            store=store,
            artifacts=artifacts,
            queue=queue,
            preparer=preparer,
            dispatcher=dispatcher,
            result_moderator=result_moderator,
        )
        tasks = await stack.enter_async_context(running())
        tasks.start(preparer.run(), name="preparing")
        tasks.start(dispatcher.run(), name="dispatcher")
        tasks.start(result_moderator.run(), name="result moderation")
        tasks.start(expiry.run(), name="expiry")
        tasks.start(outlooks.learn(events, store), name="outlooks")
        yield Core(
            database=database,
            jobs=jobs,
            dispatcher=dispatcher,
            result_moderator=result_moderator,
            outbox=outbox,
            store=store,
            artifacts=artifacts,
            events=events,
        )
