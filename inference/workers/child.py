"""The render worker: one process per GPU, `python -m inference.workers.child`.

Threads: the main one renders, one encodes (`encoder`), one writes previews (`previews`), one
listens to the parent (`link`), one beats the heart. The engine stays loaded from job to job.
"""

from __future__ import annotations

import gc
import hashlib
import os
import queue
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from inference.bug_report import log_bug
from inference.device_errors import diagnose, not_finite
from inference.domain.errors import Cancelled, EngineError, RushesError, UserError
from inference.domain.render import LATENTS_NAME, Manifest, Progress, Stage
from inference.engines import registry
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.device import cpu, peak_bytes, probe, reset_peak
from inference.engines.faults import Fault
from inference.engines.meter import Meter
from inference.engines.registry import ModelOptions
from inference.media.atomic_files import write_bytes
from inference.media.encode import ClipWriter, Encoded, write_image
from inference.media.watermark import Stamp
from inference.workers.encoder import EncoderThread
from inference.workers.executor import RenderTask
from inference.workers.link import Link
from inference.workers.previews import Previews
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.domain.spec import Size
    from inference.engines.base import Engine, FrameChunk, Still

_log = structlog.get_logger(__name__)


class _ActiveRender:
    """The running task, its cancel token, and its progress messages to the parent."""

    def __init__(self, task: RenderTask, link: Link) -> None:
        self.task = task
        self.token = CancelToken()
        self.previews = Previews(task.directory)
        self._link = link
        self._last: Progress | None = None
        self._stepped = False

    def loading(self, fraction: float) -> None:
        """Tell how much of the model is read."""
        self._report(Stage.LOADING, round(100 * fraction), 100)

    def rendering(self, done: int, total: int) -> None:
        """Tell how many steps are done."""
        self._report(Stage.RENDERING, done, total)
        if done == total:
            self._stepped = True
            self.finishing(0)

    def finishing(self, frames: int) -> None:
        """Tell how many frames are encoded, once there are no more steps to tell of."""
        if self._stepped:
            self._report(Stage.FINISHING, frames, self.task.spec.total_frames)

    def _report(self, stage: Stage, done: int, total: int) -> None:
        previews = self.previews.count
        progress = Progress(stage=stage, done=done, total=total, previews=previews)
        if progress != self._last:
            self._last = progress
            self._link.send(ProgressMessage(job_id=self.task.job_id, progress=progress))


class RenderWorker:
    """Renders one task after the other until the parent says `Shutdown` or is gone.

    Args:
        link: The pipe to the parent.
        models: The members of `[models.<name>]` of every installed model.
        directory: Where downloaded weights live.
        fault: The failure to show on test cards.
    """

    def __init__(
        self,
        link: Link,
        *,
        models: dict[str, dict[str, Any]],
        directory: Path | None,
        fault: Fault,
    ) -> None:
        self._link = link
        self._models = models
        self._directory = directory
        self._fault = fault
        self._waiting: queue.Queue[_ActiveRender | None] = queue.Queue()
        self._jobs: dict[str, _ActiveRender] = {}
        self._engine: Engine | None = None
        self._warm_model: str | None = None

    def run(self, heartbeat_seconds: float) -> None:
        """Say hello and work."""
        self._link.listen(self._on_message)
        device = probe() if self._models.keys() - {registry.TESTCARD} else cpu()
        self._link.send(
            Hello(
                device=device.name,
                memory_bytes=device.memory_bytes,
                problem=device.problem,
            )
        )
        threading.Thread(target=self._beat, args=(heartbeat_seconds,), daemon=True).start()
        while (job := self._waiting.get()) is not None:
            answer = self._perform(job)
            del self._jobs[job.task.job_id]
            self._link.send(answer)

    def _on_message(self, message: Message) -> None:
        match message:
            case Run(task=task):
                # Created before it runs, so that a `Cancel` right after it finds it.
                self._jobs[task.job_id] = job = _ActiveRender(task, self._link)
                self._waiting.put(job)
            case Cancel(job_id=job_id):
                if running := self._jobs.get(job_id):
                    running.token.cancel()
            case Shutdown():
                for unwanted in tuple(self._jobs.values()):
                    unwanted.token.cancel()
                self._waiting.put(None)

    def _beat(self, seconds: float) -> None:
        while True:
            self._link.send(Heartbeat(warm_model=self._warm_model))
            time.sleep(seconds)

    def _perform(self, job: _ActiveRender) -> Message:
        """Render and say how it went; nothing a job does ends the worker."""
        job_id = job.task.job_id
        try:
            manifest = self._render(job)
        except Cancelled:
            return Stopped(job_id=job_id)
        except RushesError as error:
            return Failed.of(error, job_id)
        except Exception as error:  # noqa: BLE001 - the worker loop: a bug fails its job, not the process
            log_bug(_log, "render.bug", error, job=job_id)
            return Failed.of(diagnose(error) or EngineError("worker.bug"), job_id)
        return Done(job_id=job_id, manifest=manifest)

    def _render(self, job: _ActiveRender) -> Manifest:
        task, spec = job.task, job.task.spec
        if spec.model not in self._models:
            raise UserError("model.unknown", name=spec.model, known=list(self._models))
        fault = self._fault.at_attempt(task.attempt) if spec.model == registry.TESTCARD else Fault()
        # Before the weights: a watermark that cannot be drawn fails the job cheaply.
        size = registry.capabilities(spec.model).sizes[spec.resolution, spec.aspect]
        stamp = Stamp.draw(task.watermark, size)
        task.directory.mkdir(parents=True, exist_ok=True)

        def on_step(done: int, total: int, still: Still | None) -> None:
            fault.at_step()
            job.previews.offer(done, fault.at_still(still))
            job.rendering(done, total)

        kept: list[bytes] = []
        monitor = Monitor(on_step=on_step, cancel=job.token, keep=kept.append)
        inputs = Inputs(image=task.image, last=task.last, latents=task.latents)
        encoding = Meter()
        encode = partial(_encode, job, size, stamp, encoding)
        reset_peak()
        started = time.monotonic()
        engine = self._warm_engine(job)
        loaded = time.monotonic()
        job.rendering(0, spec.steps)
        notes: dict[str, None] = {}  # ordered, each once
        with job.previews, EncoderThread(encode) as encoder:
            for made in engine.render(spec, inputs, monitor):
                chunk = fault.at_chunk(made)
                _check_pixels(chunk)
                encoder.put(chunk)
                notes.update(dict.fromkeys(chunk.notes))
                job.token.raise_if_cancelled()
            rendered = time.monotonic()
            encoded = encoder.finish()
        manifest = Manifest(
            name=encoded.path.name,
            size=encoded.size,
            sha256=encoded.sha256,
            width=encoded.width,
            height=encoded.height,
            frames=encoded.frames,
            notes=tuple(notes),
            timings={
                "load": loaded - started,
                **monitor.meter.seconds,
                **encoding.seconds,
                "finish": time.monotonic() - rendered,
            },
            forwards=monitor.meter.forwards,
            peak_bytes=peak_bytes(),
            latents_sha256=_keep(kept[0], task.directory) if kept else None,
        )
        return fault.at_report(manifest, task.directory)

    def _warm_engine(self, job: _ActiveRender) -> Engine:
        """Return the engine of the job's model, loaded; another one's makes room for it."""
        name = job.task.spec.model
        if self._engine is not None and self._warm_model == name:
            return self._engine

        def on_progress(fraction: float, _part: str) -> None:
            job.token.raise_if_cancelled()
            job.loading(fraction)

        self._engine = None
        self._warm_model = None
        gc.collect()
        job.loading(0)
        options = ModelOptions(directory=self._directory, values=self._models[name])
        engine = registry.create(name, options)
        engine.load(on_progress)
        self._engine, self._warm_model = engine, name
        self._link.send(Heartbeat(warm_model=name))
        return engine


def _check_pixels(chunk: FrameChunk) -> None:
    """Check that an engine's frames are pixels.

    Raises:
        EngineError: `worker.not_finite`: they are numbers that never were a picture.
        TypeError: They are of another kind.
    """
    kind = chunk.frames.dtype
    if kind == np.uint8:
        return
    if np.issubdtype(kind, np.inexact) and not np.isfinite(chunk.frames).all():
        raise not_finite("frames")
    raise TypeError(f"frames of {kind}")


def _encode(
    job: _ActiveRender, size: Size, stamp: Stamp, meter: Meter, chunks: Iterator[FrameChunk]
) -> Encoded:
    """Write the chunks to the attempt's file, on the encoder's thread."""
    task = job.task
    if task.spec.frames == 1:
        image = next(chunks, None)
        if image is None:
            raise EngineError("encode.no_frames")
        with meter.stage("encode"):
            return write_image(task.directory / "image.png", image.frames[0], task.recipe)
    with ClipWriter(task.directory / "clip.mp4", size, task.recipe, stamp) as writer:
        written = 0
        for chunk in chunks:
            with meter.stage("encode"):
                writer.write(chunk)
            written += len(chunk.frames)
            job.finishing(written)
    return writer.encoded


def _keep(latents: bytes, directory: Path) -> str | None:
    """Write what a later clip can go on from; return its SHA-256, or None where it was not kept."""
    try:
        write_bytes(directory / LATENTS_NAME, latents)
    except (OSError, EngineError) as error:
        log_bug(_log, "latents.not_kept", error, directory=str(directory))
        return None  # the clip is there, and worth more
    return hashlib.sha256(latents).hexdigest()


def main() -> None:
    """Run the worker on the pipe and with the config given on the command line."""
    link, config = Link.from_arguments()
    models = config["models"]
    fault = Fault.parse(models.get(registry.TESTCARD, {}).get("fail", ""))
    fault.at_attempt(config["start"]).at_start()
    directory = config["models_directory"]
    worker = RenderWorker(
        link,
        models=models,
        directory=None if directory is None else Path(directory),
        fault=fault,
    )
    worker.run(config["heartbeat_seconds"])
    # Skip interpreter shutdown, which would wait forever for blocked threads.
    os._exit(0)


if __name__ == "__main__":
    main()
