"""The render worker: one process per slot, `python -m inference.workers.child`.

The main thread renders (`render`), a second one receives messages (`link`), and a third one sends
heartbeats. The engine stays loaded between jobs.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path

import structlog

from inference.bug_report import log_bug
from inference.device_errors import diagnose
from inference.domain.device import Device
from inference.domain.errors import Cancelled, EngineError, RushesError
from inference.domain.render import Progress
from inference.engines.base import CancelToken
from inference.engines.device import cpu, probe
from inference.engines.faults import Fault
from inference.engines.registry import Models
from inference.plugins.registry import Plugins
from inference.workers.link import ParentLink
from inference.workers.protocol import (
    Cancel,
    Done,
    Failed,
    Heartbeat,
    Hello,
    Message,
    ProgressMessage,
    Run,
    Shutdown,
    Stopped,
)
from inference.workers.render import Engines, render_task
from inference.workers.slot import RenderTask

_CANCEL_SECONDS = 1.0
"""Longest wait for a `Cancel` after a job's files have disappeared."""

_ALLOCATION = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Variables with torch's allocator settings: the new name and the old one."""

_log = structlog.get_logger(__name__)


class RenderWorker:
    """Main loop of the worker: renders one task at a time, until `Shutdown` or the parent's end.

    Args:
        link: Channel to the parent.
        engines: Engines of this process.
        device: Returns the device that they run on.
    """

    def __init__(self, link: ParentLink, engines: Engines, device: Callable[[], Device]) -> None:
        self._link = link
        self._engines = engines
        self._probe = device
        self._waiting: queue.Queue[RenderTask | None] = queue.Queue()
        self._tokens: dict[str, CancelToken] = {}

    def run(self, heartbeat_seconds: float) -> None:
        """Send `Hello` and render tasks until `Shutdown`."""
        self._link.listen(self._on_message)
        device = self._probe()
        self._link.send(
            Hello(device=device.name, memory_bytes=device.memory_bytes, problem=device.problem)
        )
        threading.Thread(target=self._beat, args=(heartbeat_seconds,), daemon=True).start()
        while (task := self._waiting.get()) is not None:
            answer = self._perform(task)
            del self._tokens[task.job_id]
            self._link.send(answer)

    def _on_message(self, message: Message) -> None:
        match message:
            case Run(task=task):
                # Created before the task runs, so that a `Cancel` right after it has an effect.
                self._tokens[task.job_id] = CancelToken()
                self._waiting.put(task)
            case Cancel(job_id=job_id):
                if token := self._tokens.get(job_id):
                    token.cancel()
            case Shutdown():
                for token in tuple(self._tokens.values()):
                    token.cancel()
                self._waiting.put(None)

    def _beat(self, seconds: float) -> None:
        while True:
            self._link.send(Heartbeat(warm_model=self._engines.warm_model))
            time.sleep(seconds)

    def _perform(self, task: RenderTask) -> Message:
        """Render a task and return the message with its result; never raises."""
        job_id = task.job_id

        def report(progress: Progress) -> None:
            self._link.send(ProgressMessage(job_id=job_id, progress=progress))

        def hung(error: EngineError) -> None:
            self._link.send(Failed.of(error, job_id))  # the parent ends this process

        try:
            manifest = render_task(task, self._engines, report, self._tokens[job_id], hung)
        except Cancelled:
            return Stopped(job_id=job_id)
        except RushesError as error:
            return Failed.of(error, job_id)
        except Exception as error:  # noqa: BLE001 - the worker loop: a bug fails its job, not the process
            if isinstance(error, FileNotFoundError) and self._was_cancelled(job_id):
                return Stopped(job_id=job_id)
            log_bug(_log, "render.bug", error, job=job_id)
            return Failed.of(diagnose(error) or EngineError("worker.bug", job=job_id), job_id)
        return Done(job_id=job_id, manifest=manifest)

    def _was_cancelled(self, job_id: str) -> bool:
        """Return whether a job was cancelled; deleting a job removes its files before that."""
        try:
            self._tokens[job_id].wait(_CANCEL_SECONDS)
        except Cancelled:
            return True
        return False


def divide_memory(environ: MutableMapping[str, str] = os.environ) -> None:
    """Enable expandable segments in torch's CUDA allocator; call it before torch is imported.

    Without them, clips of different sizes fragment the memory, and large tensors do not fit.
    """
    if not any(name in environ for name in _ALLOCATION):
        environ[_ALLOCATION[0]] = "expandable_segments:True"


def main() -> None:
    """Run the worker on the pipe and with the config given on the command line."""
    divide_memory()
    link, config = ParentLink.from_arguments()
    directory = config["models_directory"]
    tables = config["models"]
    # The parent has tested the import of these plugins.
    plugins = Plugins(tables=config["plugins"], left_out=config["left_out"])
    models = Models(
        tables, directory=None if directory is None else Path(directory), plugins=plugins
    )
    entries = models.usable(tables)
    for entry in entries:
        Fault.parse(str(entry.values.get("fail", ""))).at_attempt(config["start"]).at_start()
    engines = Engines(models, on_warm=lambda name: link.send(Heartbeat(warm_model=name)))
    no_card = config["on_cpu"] or not any(entry.uses_torch for entry in entries)
    RenderWorker(link, engines, cpu if no_card else probe).run(config["heartbeat_seconds"])
    # Skips interpreter shutdown, which would wait forever for blocked threads.
    os._exit(0)


if __name__ == "__main__":
    main()
