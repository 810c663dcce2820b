"""Rendering of one task to a complete file.

The engine renders in the calling thread; watermark and encoding (`encoder`) and previews
(`previews`) run in other threads.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from inference.bug_report import log_bug
from inference.device_errors import not_finite
from inference.domain.errors import EngineError, UserError
from inference.domain.render import LATENTS_NAME, Manifest, Progress, ProgressCallback, Stage
from inference.effects.chain import EffectChain
from inference.effects.registry import Effects
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.device import peak_bytes, reset_peak
from inference.engines.faults import Fault
from inference.engines.meter import Meter
from inference.engines.registry import ModelEntry, Models
from inference.media.atomic_files import write_bytes
from inference.media.encode import ClipWriter, Encoded, write_image
from inference.media.watermark import Stamp
from inference.workers.encoder import EncoderThread
from inference.workers.previews import Previews
from inference.workers.slot import RenderTask

if TYPE_CHECKING:
    from inference.domain.effect_use import EffectUse
    from inference.domain.spec import OptionValue, Size, Spec
    from inference.engines.base import Engine, FrameChunk, Still

_log = structlog.get_logger(__name__)


class Engines:
    """Engines of a process, of which the last one used stays loaded.

    Args:
        models: Registry of the installed models.
        on_warm: Called with the name of a model once it is loaded.
    """

    def __init__(
        self, models: Models, *, on_warm: Callable[[str], None] = lambda _name: None
    ) -> None:
        self._models = models
        self._on_warm = on_warm
        self.effects = Effects(models.plugins)
        self._engine: Engine | None = None
        self.warm_model: str | None = None
        """Name of the model whose weights are loaded."""

    def size(self, task: RenderTask) -> Size:
        """Return the pixel size of a task's file.

        Raises:
            UserError: `model.unknown`: the model is not installed.
        """
        spec = task.spec
        return self._entry(spec.model).capabilities.sizes[spec.resolution, spec.aspect]

    def spec(self, task: RenderTask) -> Spec:
        """Return a task's spec, limited to the options that the model has now.

        Raises:
            EngineError: `effect.no_references`: the model does not support reference images now.
        """
        capabilities = self._entry(task.spec.model).capabilities
        for use in task.spec.effects:
            if not use.changes_frames and not capabilities.references:
                raise EngineError("effect.no_references", effect=use.name, model=capabilities.title)
        return capabilities.fill_options(task.spec)

    def recipe(self, task: RenderTask) -> dict[str, Any]:
        """Return the recipe of a task's file, with the settings of its model."""
        made_with = self._entry(task.spec.model).recipe
        return task.recipe | ({"made_with": dict(made_with)} if made_with else {})

    def fault(self, task: RenderTask) -> Fault:
        """Return the injected fault of a task."""
        fault = self._entry(task.spec.model).values.get("fail", "")
        return Fault.parse(str(fault)).at_attempt(task.attempt)

    def _entry(self, name: str) -> ModelEntry:
        """Return the entry of an installed model.

        Raises:
            UserError: `model.unknown`, with the installed models.
        """
        if name not in self._models.tables:
            raise UserError("model.unknown", name=name, known=list(self._models.tables))
        return self._models.entry(name)

    def load(self, name: str, on_progress: Callable[[float], None]) -> Engine:
        """Return a model's engine with its weights loaded.

        Args:
            name: Name of the model.
            on_progress: Called with the loaded fraction; raises to stop.

        Raises:
            EngineError: It cannot be loaded.
        """
        if self._engine is not None and self.warm_model == name:
            return self._engine
        self._engine = self.warm_model = None
        gc.collect()
        on_progress(0)
        engine = self._models.create(name)
        engine.load(lambda fraction, _part: on_progress(fraction))
        self._engine, self.warm_model = engine, name
        self._on_warm(name)
        return engine


def render_task(
    task: RenderTask,
    engines: Engines,
    report: ProgressCallback,
    cancel: CancelToken | None = None,
    hung: Callable[[EngineError], None] = lambda _: None,
) -> Manifest:
    """Render a task to a file, which is complete and fsynced on return.

    Args:
        task: The task.
        engines: Engines of this process.
        report: Called with every change of progress, from two threads but never concurrently.
        cancel: Cancellation flag, checked at every step.
        hung: Called from another thread if an effect hangs; see `EffectChain`.

    Raises:
        Cancelled: `cancel` was set.
        RushesError: The render failed with a known error.
        Exception: A bug, or an error of a library (`device_errors.diagnose`).
    """
    cancel = cancel or CancelToken()
    # Before weights are loaded, so that a watermark that cannot be drawn fails quickly.
    size, spec, fault = engines.size(task), engines.spec(task), engines.fault(task)
    task = replace(task, recipe=engines.recipe(task))
    stamp = Stamp.draw(task.watermark, size)
    encoding = Meter()
    # The same for effects. They are not applied to latents, so an extending clip starts without.
    chain = EffectChain(
        spec,
        engines.effects,
        task.pictures,
        size=size,
        cancel=cancel,
        meter=encoding,
        job=task.job_id,
        hung=hung,
    )
    task = replace(task, recipe=_with_effects(task.recipe, chain.uses))
    task.directory.mkdir(parents=True, exist_ok=True)
    previews = Previews(task.directory)
    progress = _Progress(task, previews, report)

    def on_load(fraction: float) -> None:
        cancel.raise_if_cancelled()
        progress.loading(fraction)

    def on_step(done: int, total: int, still: Still | None) -> None:
        fault.at_step()
        previews.offer(done, fault.at_still(still))
        progress.rendering(done, total)

    kept: list[bytes] = []
    monitor = Monitor(
        on_step=on_step,
        cancel=cancel,
        keep=kept.append,
        without=partial(_leave_out, task.recipe),
        instead=partial(_name_instead, task.recipe),
    )
    inputs = Inputs(image=task.image, last=task.last, latents=task.latents, pictures=task.pictures)
    encode = partial(_encode, task, size, stamp, effects=chain, meter=encoding, progress=progress)
    reset_peak()
    started = time.monotonic()
    engine = engines.load(spec.model, on_load)
    loaded = time.monotonic()
    progress.rendering(0, spec.steps)
    notes: dict[str, None] = {}  # ordered, each once
    with previews, EncoderThread(encode) as encoder:
        for made in engine.render(spec, inputs, monitor):
            chunk = fault.at_chunk(made)
            _check_pixels(chunk)
            encoder.put(chunk)
            notes.update(dict.fromkeys(chunk.notes))
            cancel.raise_if_cancelled()
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
        effects={use.name: use.release for use in chain.uses},
        latents_sha256=_keep(kept[0], task.directory) if kept else None,
    )
    return fault.at_report(manifest, task.directory)


def _with_effects(recipe: dict[str, Any], uses: Iterable[EffectUse]) -> dict[str, Any]:
    """Return a recipe with the versions and values of the applied effects."""
    applied = {
        use.name: {"package": use.package, "version": use.version, "values": dict(use.values)}
        for use in uses
    }
    effects = [each | applied.get(each["name"], {}) for each in recipe.get("effects", ())]
    return recipe | {"effects": effects} if effects else recipe


def _leave_out(recipe: dict[str, Any], switch: str) -> None:
    """Remove a setting from a recipe that was not applied to the clip."""
    made_with = recipe.get("made_with", {})
    made_with.pop(switch, None)
    if not made_with:
        recipe.pop("made_with", None)


def _name_instead(recipe: dict[str, Any], option: str, value: OptionValue) -> None:
    """Replace an option in a recipe by the value that was used."""
    recipe["options"] = {**recipe.get("options", {}), option: value}


class _Progress:
    """Progress of a task; reports each change once."""

    def __init__(self, task: RenderTask, previews: Previews, report: ProgressCallback) -> None:
        self._task = task
        self._previews = previews
        self._tell = report
        self._last: Progress | None = None
        self._stepped = False
        self._has_effects = any(use.changes_frames for use in task.spec.effects)

    def loading(self, fraction: float) -> None:
        """Report the loaded fraction of the model."""
        self._report(Stage.LOADING, round(100 * fraction), 100)

    def rendering(self, done: int, total: int) -> None:
        """Report the number of completed steps."""
        self._report(Stage.RENDERING, done, total)
        if done == total:
            self._stepped = True
            self.effects(0)
            self.finishing(0)

    def effects(self, frames: int) -> None:
        """Report the number of frames with effects applied; see `finishing`."""
        if self._stepped and self._has_effects:
            self._report(Stage.EFFECTS, frames, self._task.spec.total_frames)

    def finishing(self, frames: int) -> None:
        """Report the number of encoded frames, after all steps are completed.

        With effects, which take longer than encoding, only the last frame is reported.
        """
        total = self._task.spec.total_frames
        if self._stepped and (frames >= total or not self._has_effects):
            self._report(Stage.FINISHING, frames, total)

    def _report(self, stage: Stage, done: int, total: int) -> None:
        previews = self._previews.count
        progress = Progress(stage=stage, done=done, total=total, previews=previews)
        if progress != self._last:
            self._last = progress
            self._tell(progress)


def _check_pixels(chunk: FrameChunk) -> None:
    """Check that an engine's frames are uint8.

    Raises:
        EngineError: `worker.not_finite`: they are floats with NaN or infinity.
        TypeError: They have another type.
    """
    kind = chunk.frames.dtype
    if kind == np.uint8:
        return
    if np.issubdtype(kind, np.inexact) and not np.isfinite(chunk.frames).all():
        raise not_finite("frames")
    raise TypeError(f"frames of {kind}")


def _encode(
    task: RenderTask,
    size: Size,
    stamp: Stamp,
    made: Iterator[FrameChunk],
    *,
    effects: EffectChain,
    meter: Meter,
    progress: _Progress,
) -> Encoded:
    """Apply effects to the chunks and encode them in the encoder thread."""
    chunks = _begun(effects.apply(made, progress.effects))
    if task.spec.frames == 1:
        image = next(chunks)
        with meter.stage("encode"):
            mark = stamp if task.watermark.images else None
            return write_image(task.directory / "image.png", image.frames[0], task.recipe, mark)
    path, fps = task.directory / "clip.mp4", task.spec.file_fps
    with ClipWriter(path, size, task.recipe, stamp, fps=fps) as writer:
        written = 0
        for chunk in chunks:
            with meter.stage("encode"):
                writer.write(chunk)
            written += len(chunk.frames)
            progress.finishing(written)
    return writer.encoded


def _begun(chunks: Iterator[FrameChunk]) -> Iterator[FrameChunk]:
    """Wait for the first chunk and return an iterator over all: then the recipe is final.

    Raises:
        EngineError: `encode.no_frames`.
    """
    first = next(chunks, None)
    if first is None:
        raise EngineError("encode.no_frames")
    return chain((first,), chunks)


def _keep(latents: bytes, directory: Path) -> str | None:
    """Write the file for extending the clip; returns its SHA-256, or None if it failed."""
    try:
        write_bytes(directory / LATENTS_NAME, latents)
    except (OSError, EngineError) as error:
        log_bug(_log, "latents.not_kept", error, directory=str(directory))
        return None  # the clip is complete and can be delivered without
    return hashlib.sha256(latents).hexdigest()
