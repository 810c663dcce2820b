"""A slot without a worker: every render waits for the test to say how it ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import replace
from typing import Self

from inference.domain.device import Device
from inference.domain.errors import Cancelled, WorkerLost
from inference.domain.render import LATENTS_NAME, Manifest, Progress, ProgressCallback, Stage
from inference.workers.slot import RenderTask

CLIP = b"not really a clip"

DEVICE = Device(name="Test GPU", memory_bytes=24 << 30)


class FakeSlot:
    """Keeps the promises of `Slot`; the test plays the worker.

    Args:
        name: Of the slot.
        automatic: Finish every render at once instead of waiting for the test.
        device: What it renders on.
    """

    def __init__(
        self, name: str = "gpu", *, automatic: bool = False, device: Device = DEVICE
    ) -> None:
        self.name = name
        self.device: Device | None = device
        self.warm_model: str | None = None
        self.automatic = automatic
        self.obedient = True
        """Whether a cancel stops the render at its next step, which is now."""
        self.script: deque[BaseException] = deque()
        """How the next renders end, before anything else is asked of the test."""
        self.tasks: list[RenderTask] = []
        """Every render that was begun."""
        self.asked_to_cancel: list[str] = []
        self.entered = 0
        self._here = asyncio.Event()
        self._here.set()
        self._started = asyncio.Event()
        self._current: tuple[RenderTask, ProgressCallback, asyncio.Future[Manifest]] | None = None

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._current is not None and not self._current[2].done():
            self.lose("worker.closed")
        self._current = None
        self._started.clear()

    restarts = 0

    @property
    def away(self) -> bool:
        """Whether its worker does not start, until the test says that it does."""
        return not self._here.is_set()

    @away.setter
    def away(self, value: bool) -> None:
        if value:
            self._here.clear()
        else:
            self._here.set()

    async def ready(self) -> None:
        await self._here.wait()

    def check_gpu(self, model: str) -> None:
        pass

    @property
    def rendering(self) -> bool:
        """Whether a render is under way."""
        return self._current is not None

    @property
    def served(self) -> list[str]:
        """Job ids in the order their renders were begun."""
        return [task.job_id for task in self.tasks]

    async def render(self, task: RenderTask, on_progress: ProgressCallback) -> Manifest:
        outcome: asyncio.Future[Manifest] = asyncio.get_running_loop().create_future()
        self.tasks.append(task)
        self.warm_model = task.spec.model
        self._current = (task, on_progress, outcome)
        self._started.set()
        if self.script:
            self.fail(self.script.popleft())
        elif self.automatic:
            self.finish()
        try:
            return await outcome
        finally:
            if self._current is not None and self._current[2] is outcome:  # nobody waits any more
                self._end()

    async def cancel(self, job_id: str) -> None:
        self.asked_to_cancel.append(job_id)
        if self.obedient and self._current and self._current[0].job_id == job_id:
            self.fail(Cancelled())

    # -- the test's side ---------------------------------------------------------------------

    async def started(self) -> RenderTask:
        """Wait until a render is under way and return its task."""
        async with asyncio.timeout(180):
            while self._current is None:
                await self._started.wait()
        return self._current[0]

    def report(self, done: int, total: int, *, stage: Stage = Stage.RENDERING) -> None:
        """Report progress of the render under way."""
        assert self._current is not None
        self._current[1](Progress(stage=stage, done=done, total=total))

    def finish(self, *, latents: bytes | None = None, **timings: float) -> Manifest:
        """Write the files of the render under way and end it well."""
        manifest = self.write_file(**timings)
        if latents is not None and self._current is not None:
            (self._current[0].directory / LATENTS_NAME).write_bytes(latents)
            manifest = replace(manifest, latents_sha256=hashlib.sha256(latents).hexdigest())
        self._end().set_result(manifest)
        return manifest

    def write_file(self, **timings: float) -> Manifest:
        """Write the file of the render under way, without telling anybody."""
        assert self._current is not None
        task = self._current[0]
        task.directory.mkdir(parents=True, exist_ok=True)
        (task.directory / "clip.mp4").write_bytes(CLIP)
        return Manifest(
            name="clip.mp4",
            size=len(CLIP),
            sha256=hashlib.sha256(CLIP).hexdigest(),
            width=640,
            height=360,
            frames=task.spec.frames,
            timings=timings,
        )

    def fail(self, error: BaseException) -> None:
        """End the render under way with an error."""
        self._end().set_exception(error)

    def lose(self, code: str = "worker.died") -> None:
        """Take the worker down with the render under way."""
        self.fail(WorkerLost(code))

    def _end(self) -> asyncio.Future[Manifest]:
        assert self._current is not None
        outcome = self._current[2]
        self._current = None
        self._started.clear()
        return outcome
