"""Slot on this machine: a supervised child process on one device."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self

import structlog
from pydantic import ValidationError

from inference.bug_report import log_bug
from inference.device_errors import BROKEN
from inference.domain.device import CPU, Device
from inference.domain.errors import Cancelled, EngineError, RushesError, UserError, WorkerLost
from inference.engines.registry import Models
from inference.workers.devices import AUTO, KnownGpu
from inference.workers.pending_renders import ActiveWorker, PendingRender, fail_jobs
from inference.workers.protocol import (
    Cancel,
    Done,
    Failed,
    Heartbeat,
    Hello,
    Message,
    ProgressMessage,
    ProtocolError,
    Shutdown,
    Stopped,
)
from inference.workers.slot import verify_manifest
from inference.workers.spawn import Child, spawn
from inference.workers.watchdog import WorkerLimits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inference.domain.render import Manifest, ProgressCallback
    from inference.plugins.registry import Plugins
    from inference.workers.slot import RenderTask

_log = structlog.get_logger(__name__)

Report = Callable[[str, RushesError | None], None]
"""Called with the key of a lasting problem and its error, or None once it is resolved."""

_CHILD_MODULE = "inference.workers.child"

_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Makes waiting OpenMP threads sleep. Spinning threads slow a render on a busy CPU several times.
"""

_REUSED = {
    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
}
"""Makes glibc's malloc keep up to half a GB of freed memory. By default it unmaps each large
tensor, and zeroing new pages takes a quarter of the time of decoding a clip on a CPU (mallopt(3):
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)."""

_LOOKS_PER_LIMIT = 4
"""Number of checks of a silent child within its time limit."""


class LocalSlot:
    """Slot with a supervised worker process; see `Slot`.

    The first child starts in the background. A lost child is replaced after a backoff, which grows
    until a job succeeds. Concurrent `render` calls run in order of arrival.

    If a child is lost before its hello, every task in the queue fails with `worker.silent`.

    Once a GPU was seen, models that need one are not rendered on the CPU: renders that take hours
    in place of minutes would hide the loss of the GPU.

    Args:
        name: Name of the slot.
        device: `auto`, `cpu`, or the GPU that its workers must have.
        gpu: GPU of another slot; if this slot is on the CPU, models that need a GPU are refused.
        environment: Variables that bind workers to the device (`inference.workers.devices`).
        models: Tables `[models.<name>]` of all installed models.
        models_directory: Directory of downloaded weights.
        plugins: Plugins that workers may import, with their config sections.
        limits: Time limits.
        gpu_file: File with the name of the last GPU, across restarts.
        report: Called for lasting problems: `worker.start` and `worker.gpu`.
    """

    def __init__(
        self,
        name: str = AUTO,
        *,
        device: str = AUTO,
        gpu: str = "",
        environment: Mapping[str, str] | None = None,
        models: Mapping[str, Mapping[str, Any]],
        models_directory: Path | None = None,
        plugins: Plugins | None = None,
        limits: WorkerLimits = WorkerLimits(),  # noqa: B008 - frozen
        gpu_file: Path | None = None,
        report: Report = lambda _key, _problem: None,
    ) -> None:
        self.name = name
        self.away = False
        """Whether the last attempt to start a child failed; see `Slot`."""
        self.restarts = 0
        self.warm_model: str | None = None
        """Name of the model whose weights are loaded."""
        self._environment = {**_PATIENT, **_REUSED, **(environment or {})}
        self._models = Models(models, directory=models_directory, plugins=plugins)
        self._report = report
        self._on_cpu = device == CPU
        self._gpu = KnownGpu(gpu_file, gpu if device in {AUTO, CPU} else device)
        self._started = asyncio.Event()
        self._limits = limits
        self._hello: Hello | None = None
        self._worker: ActiveWorker | None = None
        self._pending: deque[PendingRender] = deque()
        self._jobs: dict[str, PendingRender] = {}
        self._starts = 0
        self._restart_seconds = limits.restart_min_seconds
        self._closing = False
        self._supervisor: asyncio.Task[None]

    @property
    def device(self) -> Device | None:
        """The device of the last child; None before the first hello."""
        hello = self._hello
        if hello is None:
            return None
        return Device(name=hello.device, memory_bytes=hello.memory_bytes, problem=hello.problem)

    async def ready(self) -> None:
        """Wait until a child has started; see `Slot`."""
        await self._started.wait()

    def check_gpu(self, model: str) -> None:
        """Check that the GPU is not lost, for a model that needs one.

        Raises:
            EngineError: `gpu.lost`.
        """
        if self.device is not None and self._needs_gpu(model):
            self._gpu.check(self.device)

    def _needs_gpu(self, model: str) -> bool:
        try:
            return self._models.entry(model).needs_card
        except (UserError, ValidationError):  # the child reports the problem
            return False

    @property
    def pid(self) -> int | None:
        """Process id of the active child; None without one."""
        return self._worker.child.pid if self._worker else None

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(self._supervise(), name="render worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        try:
            if self._worker:
                self._worker.child.send(Shutdown())
                await asyncio.wait({self._supervisor}, timeout=self._limits.shutdown_grace_seconds)
        finally:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            fail_jobs(self._dismiss(), WorkerLost("worker.closed"))
            self._started.set()

    async def render(self, task: RenderTask, on_progress: ProgressCallback) -> Manifest:
        """Render a task to a complete file; see `Slot`."""
        if self._closing:
            raise WorkerLost("worker.closed")
        job = PendingRender(task)
        self._pending.append(job)
        self._jobs[task.job_id] = job
        self._start_next()
        try:
            manifest = await self._outcome(job, on_progress)
            reason = await asyncio.to_thread(verify_manifest, manifest, task.directory)
        except BaseException:
            await self._abandon(job)
            raise
        finally:
            self._jobs.pop(task.job_id, None)
        if reason is not None and job.cancelled:
            raise Cancelled  # a deleted job's files disappear before its cancellation
        if reason is not None:
            self._retire(job)
            raise WorkerLost("worker.bad_manifest", reason=reason)
        self._restart_seconds = self._limits.restart_min_seconds
        return manifest

    async def cancel(self, job_id: str) -> None:
        """Request that the task stops at its next step; see `Slot`."""
        if job_id in self._jobs:
            self._jobs[job_id].cancelled = True
        for job in [job for job in self._pending if job.task.job_id == job_id]:
            self._pending.remove(job)
            job.inbox.put_nowait(Stopped(job_id=job_id))
        running = self._worker.job if self._worker else None
        if self._worker and running and running.task.job_id == job_id:
            self._worker.child.send(Cancel(job_id=job_id))

    async def _outcome(self, job: PendingRender, on_progress: ProgressCallback) -> Manifest:
        while True:
            match await job.inbox.get():
                case ProgressMessage(progress=progress):
                    on_progress(progress)
                case Done(manifest=manifest):
                    return manifest
                case Failed() as failed:
                    raise failed.error()
                case Stopped():
                    raise Cancelled
                case WorkerLost() as loss:
                    raise loss

    async def _abandon(self, job: PendingRender) -> None:
        """Cancel a job whose caller has stopped waiting, killing the child if necessary."""
        if job in self._pending:
            self._pending.remove(job)
        if job.worker is None or job.worker.job is not job:
            return
        job.worker.child.send(Cancel(job_id=job.task.job_id))
        try:
            async with asyncio.timeout(self._limits.cancel_grace_seconds):
                while isinstance(await job.inbox.get(), ProgressMessage):
                    pass
        except BaseException as error:
            # The worker ignores the cancel, or the caller cannot wait: kill it.
            self._retire(job)
            if not isinstance(error, TimeoutError):
                raise

    def _start_next(self) -> None:
        worker = self._worker
        if worker and worker.job is None and self._pending and not self._closing:
            job = self._pending.popleft()
            worker.job, job.worker = job, worker
            try:
                self.check_gpu(job.task.spec.model)
            except EngineError as error:
                job.inbox.put_nowait(Failed.of(error, job.task.job_id))
                self._retire(job)  # the next child probes for the GPU again
                worker.job = None
                return
            worker.watchdog.start()
            worker.child.send_frame(job.frame)

    def _retire(self, job: PendingRender) -> None:
        """Kill the job's child; the supervisor starts the next one."""
        if job.worker:
            job.worker.child.kill()
            if self._worker is job.worker:
                self._worker = None

    def _dismiss(self) -> list[PendingRender]:
        """Drop the worker and the queue; returns all their unfinished jobs."""
        jobs = [*(self._worker.take_job() if self._worker else ()), *self._pending]
        self._pending.clear()
        self._worker = None
        return jobs

    async def _supervise(self) -> None:
        while not self._closing:
            try:
                async with spawn(_CHILD_MODULE, self._config(), self._environment) as child:
                    victims, loss = await self._serve_child(child)
            except Exception as error:  # noqa: BLE001 - the next start may succeed
                log_bug(_log, "worker.not_started", error)
                victims, loss = self._dismiss(), WorkerLost("worker.silent")
            if loss.code == "worker.silent":
                self._started.clear()
                self.away = True
                self._report("worker.start", loss)
            # Only now has the process ended and released its files and the device.
            fail_jobs(victims, WorkerLost("worker.closed") if self._closing else loss)
            if not self._closing:
                _log.warning(
                    "worker.lost",
                    slot=self.name,
                    code=loss.code,
                    next_seconds=self._restart_seconds,
                )
                await asyncio.sleep(self._restart_seconds)
                self._restart_seconds = min(
                    2 * self._restart_seconds, self._limits.restart_max_seconds
                )

    def _config(self) -> dict[str, Any]:
        self._starts += 1
        self.restarts = self._starts - 1
        directory = self._models.directory
        return {
            "models": self._models.tables,
            "models_directory": directory and str(directory.absolute()),
            "heartbeat_seconds": self._limits.heartbeat_seconds,
            "start": self._starts,
            "plugins": self._models.plugins.tables,
            "left_out": self._models.plugins.left_out,
            "on_cpu": self._on_cpu,
        }

    async def _serve_child(self, child: Child) -> tuple[list[PendingRender], WorkerLost]:
        """Serve a child until it is lost; returns the jobs that failed with it, and the reason."""
        try:
            self._hello = await self._greet(child)
        except WorkerLost as loss:
            return self._dismiss(), loss
        worker = self._worker = ActiveWorker(child, self._limits)
        try:
            await self._note_start(self._hello)
            self._start_next()
            await self._listen(worker)
        except WorkerLost as loss:
            self._worker = self.warm_model = None
            return worker.take_job(), loss

    async def _greet(self, child: Child) -> Hello:
        limit = self._limits.hello_seconds
        try:
            message = await child.receive(within_seconds=limit)
        except WorkerLost as loss:
            raise WorkerLost("worker.silent", **loss.params) from loss
        if message is None:
            raise WorkerLost("worker.silent", silent_seconds=limit)
        if not isinstance(message, Hello):
            raise ProtocolError("no hello")
        return message

    async def _note_start(self, hello: Hello) -> None:
        """Record a child's start and its device."""
        self.away = False
        self._started.set()
        self._report("worker.start", None)
        device = Device(name=hello.device, memory_bytes=hello.memory_bytes)
        await asyncio.to_thread(self._gpu.note, device)
        entries = self._models.usable(self._models.tables)
        needed = any(entry.needs_card for entry in entries)
        lost = device.is_cpu and needed and self._gpu.known and not self._on_cpu
        problem = self._gpu.problem() if lost else None
        if hello.problem is not None and needed:
            problem = EngineError(hello.problem)
        self._report("worker.gpu", problem)

    async def _listen(self, worker: ActiveWorker) -> NoReturn:
        loop = asyncio.get_running_loop()
        tick = self._limits.heartbeat_limit_seconds / _LOOKS_PER_LIMIT
        while True:
            before = loop.time()
            message = await worker.child.receive(within_seconds=tick)
            if message is not None:
                worker.watchdog.heard(message)
                self._take(worker, message)
            # More time than the tick means that our event loop was blocked, not the child.
            worker.watchdog.add_seconds(min(loop.time() - before, tick))

    def _take(self, worker: ActiveWorker, message: Message) -> None:
        match message:
            case Heartbeat(warm_model=name):
                self.warm_model = name
            case ProgressMessage() | Done() | Failed() | Stopped():
                job = worker.job
                if job is None or message.job_id != job.task.job_id:
                    raise ProtocolError("about a job that does not run")
                if isinstance(message, ProgressMessage):
                    job.inbox.put_nowait(message)
                    return
                # Stopped by our shutdown, not cancelled by a person.
                closed = self._closing and isinstance(message, Stopped)
                job.inbox.put_nowait(WorkerLost("worker.closed") if closed else message)
                if isinstance(message, Failed) and message.code in BROKEN:
                    self._retire(job)  # later renders would fail or be wrong
                worker.job = None
                self._start_next()
            case _:
                raise ProtocolError("not a message for a parent")
