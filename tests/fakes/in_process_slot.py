"""A slot whose worker is a thread of this process: what `render_task` is, without any child."""

from __future__ import annotations

import asyncio
from typing import Self

from inference.device_errors import diagnose
from inference.domain.device import Device
from inference.domain.errors import EngineError, RushesError, WorkerLost
from inference.domain.render import Manifest, ProgressCallback
from inference.engines.base import CancelToken
from inference.engines.device import cpu
from inference.engines.registry import Models
from inference.workers.render import Engines, render_task
from inference.workers.slot import RenderTask


class InProcessSlot:
    """Keeps the promises of `Slot`; a fault that takes the process down takes the tests with it."""

    def __init__(self, name: str = "thread", *, fail: str = "") -> None:
        self.name = name
        self.away = False
        self.restarts = 0
        self.device: Device | None = None
        self._engines = Engines(Models({"testcard": {"step_seconds": 0.01, "fail": fail}}))
        self._turn = asyncio.Lock()
        self._tokens: dict[str, CancelToken] = {}
        self._closing = False

    @property
    def warm_model(self) -> str | None:
        return self._engines.warm_model

    def check_gpu(self, model: str) -> None:
        pass

    async def __aenter__(self) -> Self:
        self.device = cpu()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for token in self._tokens.values():
            token.cancel()
        async with self._turn:
            pass

    async def ready(self) -> None:
        pass

    async def render(self, task: RenderTask, on_progress: ProgressCallback) -> Manifest:
        loop, token = asyncio.get_running_loop(), CancelToken()
        self._tokens[task.job_id] = token
        try:
            async with self._turn:
                work = loop.run_in_executor(
                    None,
                    render_task,
                    task,
                    self._engines,
                    lambda progress: loop.call_soon_threadsafe(on_progress, progress),
                    token,
                )
                try:
                    return await asyncio.shield(work)
                except asyncio.CancelledError:
                    token.cancel()
                    await asyncio.wait({work})
                    work.exception()
                    raise
        except RushesError as error:
            if self._closing:
                raise WorkerLost("worker.closed") from error
            raise
        except Exception as error:
            raise diagnose(error) or EngineError("worker.bug") from error
        finally:
            del self._tokens[task.job_id]

    async def cancel(self, job_id: str) -> None:
        if (token := self._tokens.get(job_id)) is not None:
            token.cancel()
