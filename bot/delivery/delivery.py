"""Delivery: posts the outbox, with retries, until every platform has every message.

One job's messages go out one after the other, the card first; different jobs' side by side, with a
concurrency limit for each platform, kind of work and tenant (`bot.delivery.concurrency`). A
transient failure is tried again for as long as it takes; a terminal one moves the message to the
next route: thread, channel, direct message, and at last kept for `/rushes show`
(`bot.delivery.fallback`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Mapping
from dataclasses import replace

import structlog

from bot.delivery import fallback
from bot.delivery.composer import CardFactory, Composer
from bot.delivery.compression import UNLIMITED, compress, file_within, refusal_trace
from bot.delivery.concurrency import POOLS, TRY_SECONDS, ActiveJobs, DeliveryPool
from bot.delivery.pictures import Pictures
from bot.platform import Outgoing, Platform, Receipt
from inference import crash_points
from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import DeliveryError, EngineError, RushesError, StoreError
from inference.domain.events import EventBus
from inference.domain.job import KEPT_CLOSED, KEPT_UNSEEN, Failure, Job
from inference.domain.outbox import Act, ActKind, Route
from inference.retries import backoff, repeat
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.store.outbox import OutboxStore
from inference.store.outbox_requests import OF_ALL
from inference.workers.media.process import MediaProcess

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
"""Between two tries."""

RETRY_AFTER_SECONDS_MOST = 3600.0
"""A platform that asks for a longer wait is asked again after this one."""

LONGEST_UNWRITTEN_SECONDS = 60.0
"""Between two tries whose outcome the database did not take: it may have room again soon."""

FAILURES = 9
"""Unexpected failures of one message before it is given up: about five minutes."""

_log = structlog.get_logger(__name__)


class Delivery:
    """Delivers the outbox."""

    def __init__(
        self,
        *,
        outbox: OutboxStore,
        store: JobStore,
        artifacts: Artifacts,
        events: EventBus,
        platforms: Mapping[str, Platform],
        card_factory: CardFactory,
        compressor: MediaProcess,
        previews: bool = True,
        clock: Clock,
    ) -> None:
        """Wire it up.

        Args:
            outbox: What is due.
            store: The jobs that it is about.
            artifacts: Their files.
            events: Say when to look.
            platforms: By name; they post.
            card_factory: Makes the cards that are sent.
            compressor: Makes files fit.
            previews: Whether stills of a running job may be shown: they are not moderated.
            clock: Says when to try again.
        """
        self._outbox = outbox
        self._store = store
        self._artifacts = artifacts
        self._events = events
        self._platforms = platforms
        self._compressor = compressor
        self._pictures = Pictures(artifacts, previews=previews)
        self._composer = Composer(outbox, store, self._pictures, card_factory)
        self._clock = clock
        self._active = ActiveJobs()
        self._unwritten: dict[str, int] = {}  # tries in a row, by the key of the act
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled; unfinished deliveries are resumed at the next start."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="delivery-events")

            async def turn() -> None:
                self._wake.clear()
                await self._start_due(tasks)
                await self._pause()

            await repeat(turn, name="delivery", clock=self._clock)

    async def refresh(self, job_id: str) -> None:
        """Update a job's card now, with one try and without an outbox row.

        Does nothing while the outbox has something for this job: that is newer. Does nothing
        either while the platform is slow and enough of these are under way there.

        Raises:
            DeliveryError: The platform did not take it.
            TimeoutError: It did not answer.
        """
        job = await self._store.get(job_id)
        act = None if job is None else await self._outbox.get(job.card_of, ActKind.CARD)
        if act is None or act.platform not in self._platforms or act.job_id in self._active:
            return
        job_id = act.job_id
        if self._active.full(act.platform, DeliveryPool.PROGRESS):
            return
        platform = self._platforms[act.platform]
        # From here on no older state can overtake a newer one.
        self._active.take(job_id, act.platform, DeliveryPool.PROGRESS)
        try:
            async with asyncio.timeout(TRY_SECONDS[DeliveryPool.PROGRESS]):
                act = await self._outbox.get(job_id, ActKind.CARD)
                job = await self._store.get(job_id)
                if act is None or job is None or not act.receipt or act.shown < act.wanted:
                    return
                message = await self._composer.compose(act, job)
                await platform.edit(act.receipt, replace(message, fleeting=True))
        finally:
            self._free(job_id)

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is due; return whether that was so in time."""
        deadline = self._clock.monotonic() + timeout_seconds
        while self._clock.monotonic() < deadline:
            due = await self._outbox.list_due(self._platforms, busy=[], limit=1)
            if not due and not len(self._active):
                return True
            self._wake.set()
            await self._clock.sleep(0.05)
        return False

    async def _listen(self) -> None:
        with self._events.subscribe() as events:
            while True:
                event = await events.get()
                if event.progress is None:
                    self._wake.set()

    async def _start_due(self, tasks: asyncio.TaskGroup) -> None:
        """Start what is due, as far as its pool has room."""
        room = self._active.room(self._platforms)
        acts = await self._outbox.list_due_by_pool(room, busy=self._active.pools)
        for act in acts:
            if act.job_id not in self._active:  # a refresh may have come first
                self._active.take(act.job_id, act.platform, POOLS[act.kind])
                task = tasks.create_task(self._perform(act), name=f"deliver-{act.key}")
                task.add_done_callback(functools.partial(self._free, act.job_id))

    def _free(self, job_id: str, _: object = None) -> None:
        self._active.free(job_id)
        self._wake.set()

    async def _pause(self) -> None:
        """Wait until an act is due that its pool has room for."""
        room = self._active.room(self._platforms)
        at = await self._outbox.next_by_pool(room, busy=self._active.pools)
        timeout = None if at is None else max(0.0, at - self._outbox.now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    # -- one act -----------------------------------------------------------------------------

    async def _perform(self, act: Act) -> None:
        """Try once, and write the outcome into the outbox."""
        log = _log.bind(job=act.job_id, kind=act.kind.value, route=act.route.name.lower())
        try:
            async with asyncio.timeout(TRY_SECONDS[POOLS[act.kind]]):
                limit = await self._send(act)
            if limit is not None:
                await self._shrink(act, limit)
            self._unwritten.pop(act.key, None)
        except DeliveryError as error:
            if error.transient:
                log.info("delivery.later", code=error.code, attempts=act.attempts)
                await self._later(act, error.retry_after)
            else:
                log.warning("delivery.closed", code=error.code, passing=error.passing)
                await self._reroute(act, error)
        except (TimeoutError, StoreError, EngineError) as error:
            # Making a file smaller, which raises the last of them, counts its own tries.
            code = getattr(error, "code", "timeout")
            log.warning("delivery.later", code=code, attempts=act.attempts)
            await self._later(act, None)
        except RushesError as error:
            log.warning("delivery.failed", code=error.code)
            await self._write_outcome(act, self._retry_or_drop(act))
        except OSError as error:  # a connection or a disk that comes back
            log_bug(log, "delivery.failed", error)
            await self._later(act, None)
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            log_bug(log, "delivery.bug", error)
            await self._write_outcome(act, self._retry_or_drop(act))

    async def _retry_or_drop(self, act: Act) -> None:
        """Try again after an unexpected failure, or give the message up after too many.

        A clip that cannot be sent fails its job, and a notice says so. A card is skipped until
        its job changes, and a sheet for good. Anything else stays undone.
        """
        if await self._outbox.count_failure(act) < FAILURES:
            await self._later(act, None)
        elif act.kind is ActKind.CLIP:
            failure = Failure(code="internal", params={"job": act.job_id})
            await self._store.fail(act.job_id, failure)
            await self._outbox.drop(act)
        elif act.kind in OF_ALL:
            await self._outbox.skip(act)
        else:
            await self._outbox.drop(act)

    async def _send(self, act: Act) -> int | None:
        """Perform an act; return the size limit that its file misses, when it must be shrunk."""
        job = await self._store.get(act.job_id)
        if job is None:  # forgotten by its requester, perhaps just now
            await self._outbox.drop(act)
            return None
        platform = self._platforms[act.platform]
        if act.route is Route.KEPT:
            await self._outbox.keep(act, KEPT_UNSEEN if "unseen" in act.trace else KEPT_CLOSED)
        elif act.kind is ActKind.REMOVAL:
            await self._remove(platform, act, job)
        elif act.kind is ActKind.SHEET:
            await self._send_sheet(platform, act, job)
        elif act.receipt is not None:
            await self._edit(platform, act, act.receipt, await self._composer.compose(act, job))
        elif act.kind is ActKind.CLIP:
            return await self._send_clip(platform, act, job)
        else:
            await self._outbox.mark_sent(
                act, await self._post(platform, act, await self._composer.compose(act, job))
            )
        return None

    async def _send_clip(self, platform: Platform, act: Act, job: Job) -> int | None:
        """Post a job's file; return the size limit that it misses, when it must be shrunk."""
        file = await asyncio.to_thread(self._artifacts.find_finished, job)
        if file is None:
            await self._store.fail(job.id, Failure(code="file.gone"))
            await self._outbox.drop(act)
            return None
        limit = min(await platform.upload_limit(job), int(act.trace.get("limit", UNLIMITED)))
        small = await asyncio.to_thread(file_within, limit, file, act.trace.get("fitted"))
        if small is None:
            return limit
        message = await self._composer.compose(act, job, small)
        await self._outbox.mark_sent(act, await self._post(platform, act, message))
        return None

    async def _send_sheet(self, platform: Platform, act: Act, job: Job) -> None:
        """Post the sheet of a batch's stills, while there are several.

        One that shows what was deleted meanwhile is deleted first.
        """
        if act.receipt:
            await platform.remove(act.receipt, job)
            await self._outbox.mark_deleted(act)
            act = replace(act, receipt=None, sending=False, trace={})
        sheet = await self._pictures.sheet(await self._store.batch(job.card_of))
        if sheet is None:
            await self._outbox.mark_sent(act, {})
            return
        message = await self._composer.compose(act, job, sheet)
        await self._outbox.mark_sent(act, await self._post(platform, act, message))

    async def _shrink(self, act: Act, limit: int) -> None:
        """Compress the file of an act, outside the pool of uploads; it is sent at the next try."""
        self._active.take(act.job_id, act.platform, DeliveryPool.SHRINKING)
        self._wake.set()
        job = await self._store.get(act.job_id)
        file = None if job is None else await asyncio.to_thread(self._artifacts.find_finished, job)
        if file is not None:
            await compress(act, file, limit, outbox=self._outbox, compressor=self._compressor)

    async def _post(self, platform: Platform, act: Act, message: Outgoing) -> Receipt:
        unsent = True  # as far as known, no earlier try was posted
        if act.sending:
            try:
                found = await platform.find(message)
            except DeliveryError as error:
                if not error.repeatable:
                    raise
                found, unsent = None, False
            if found is not None:
                if act.kind is ActKind.CARD:  # it says what was true at the first try
                    await platform.edit(found, message)
                return found
        else:
            await self._outbox.begin(act)

        async def remember(trace: dict[str, object]) -> None:
            await self._outbox.remember(act, {**act.trace, **trace})

        crash_points.point(f"before:post_{act.kind}")
        try:
            receipt = await platform.post(message, remember)
        except DeliveryError as error:
            if error.unsent and unsent:  # so that it need not be searched for
                await self._outbox.mark_unsent(act)
            if error.code != "delivery.too_large" or message.file is None:
                raise
            size = (await asyncio.to_thread(message.file.stat)).st_size
            await self._outbox.remember(act, refusal_trace(act, size))
            raise DeliveryError(error.code, transient=True, retry_after=0) from error
        crash_points.point(f"after:post_{act.kind}")
        return receipt

    async def _edit(
        self, platform: Platform, act: Act, receipt: Receipt, message: Outgoing
    ) -> None:
        if not receipt:  # it was kept, not posted: there is nothing to edit
            await self._outbox.mark_sent(act, receipt)
            return
        try:
            await platform.edit(receipt, message)
        except DeliveryError as error:
            if error.transient or fallback.reopens(act, error, self._outbox.now()):
                raise
            await self._outbox.drop(act)  # the card was deleted: it is not posted again
        else:
            await self._outbox.mark_sent(act, receipt)

    async def _remove(self, platform: Platform, act: Act, job: Job) -> None:
        """Delete the message with the file; what was kept was never posted."""
        clip = await self._outbox.get(job.id, ActKind.CLIP)
        if clip is not None and clip.receipt:
            await platform.remove(clip.receipt, job)
        await self._outbox.mark_sent(act, {})

    async def _later(self, act: Act, retry_after: float | None) -> None:
        if retry_after is None:
            pause = backoff(act.attempts, first=FIRST_SECONDS, longest=LONGEST_SECONDS)
        else:
            pause = backoff(0, first=retry_after, longest=RETRY_AFTER_SECONDS_MOST)
        await self._write_outcome(act, self._outbox.retry(act, at=self._outbox.now() + pause))

    async def _reroute(self, act: Act, error: DeliveryError) -> None:
        """Take the next step after a refusal."""

        async def take() -> None:
            # The try may have remembered more than it began with, such as an upload.
            current = await self._outbox.get(act.job_id, act.kind) or act
            step = fallback.after(current, error, self._outbox.now())
            if step is None:
                await self._outbox.drop(current)
            else:
                await self._outbox.reroute(current, step.route, trace=step.trace, at=step.at)

        await self._write_outcome(act, take())

    async def _write_outcome(self, act: Act, write: Awaitable[None]) -> None:
        """Write the outcome of a try; if that fails, the row stays as it was, and due later."""
        try:
            await write
        except Exception as error:  # noqa: BLE001 - one row must not stop the others
            if isinstance(error, StoreError):
                _log.error("delivery.store", code=error.code)
            else:
                log_bug(_log, "delivery.bug", error)
            failures = self._unwritten.get(act.key, 0)
            self._unwritten[act.key] = failures + 1
            longest = LONGEST_UNWRITTEN_SECONDS
            await self._clock.sleep(backoff(failures, first=FIRST_SECONDS, longest=longest))
        else:
            self._unwritten.pop(act.key, None)
