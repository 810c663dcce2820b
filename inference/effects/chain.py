"""Effect chain: applies the effects of a render to its frames, and validates what they return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import structlog
from PIL import Image

from inference.bug_report import log_bug
from inference.device_errors import is_out_of_memory
from inference.domain.errors import Cancelled, EngineError, RushesError
from inference.effects.base import EffectContext

if TYPE_CHECKING:
    from inference.domain.effect_use import EffectUse
    from inference.domain.spec import Size, Spec
    from inference.effects.base import Effect, EffectEntry, Frames
    from inference.effects.registry import Effects
    from inference.engines.base import CancelToken, FrameChunk
    from inference.engines.meter import Meter

FRAMES = 8
"""Given to an effect at once: few, so that a cancel is prompt and little memory is needed."""

LIMIT_SECONDS = 60.0
"""For one chunk of frames, and for making an effect: longer, and it hangs."""

Made = TypeVar("Made")

_log = structlog.get_logger(__name__)


class EffectChain:
    """The effects of one render, made and ready.

    Args:
        spec: Names them.
        effects: That this process knows.
        pictures: Prepared files of the options that are pictures.
        size: Of the frames.
        cancel: Stops them.
        meter: Measures them as `effects`.
        job: Its id, for the log.
        hung: Called from another thread with `effect.hung` for one that exceeds `LIMIT_SECONDS`:
            nothing can stop it but the end of the process.

    Raises:
        EngineError: `effect.missing`: one is not installed; `effect.changed`: the release that is
            installed now takes a value no more; `effect.failed`: one cannot be made.
    """

    def __init__(
        self,
        spec: Spec,
        effects: Effects,
        pictures: Mapping[str, Path],
        *,
        size: Size,
        cancel: CancelToken,
        meter: Meter,
        job: str = "",
        hung: Callable[[EngineError], None] = lambda _: None,
    ) -> None:
        self._hung = hung
        self._job = job
        self._cancel = cancel
        self._meter = meter
        uses = [use for use in spec.effects if use.changes_frames]
        entries = [_entry(use, effects) for use in uses]
        context = EffectContext(
            values={},
            pictures={},
            size=size,
            fps=spec.file_fps,
            frames=spec.total_frames,
            seed=spec.seed,
            cancelled=lambda: cancel.cancelled,
        )
        self._links: list[tuple[EffectUse, Effect, EffectContext]] = []
        for stored, entry in zip(uses, entries, strict=True):
            use = _current(stored, entry)
            own = replace(
                context,
                values=use.values,
                pictures={name: _read(pictures[name]) for name in use.pictures},
                config=entry.config,
            )
            made = self._guarded(use, partial(entry.make, own))
            self._links.append((use, made, own))

    @property
    def uses(self) -> tuple[EffectUse, ...]:
        """The effects in order, with their installed releases and all values."""
        return tuple(use for use, _effect, _context in self._links)

    def apply(
        self, chunks: Iterable[FrameChunk], report: Callable[[int], None]
    ) -> Iterator[FrameChunk]:
        """Yield the chunks with all effects applied; sound and remarks stay as they are.

        Args:
            chunks: In order.
            report: Called with the number of frames that are done.

        Raises:
            EngineError: `effect.failed`, with the effect and its package.
            Cancelled: The render was cancelled.
        """
        done = 0
        for chunk in chunks:
            parts = []
            for start in range(0, len(chunk.frames), FRAMES):
                part = chunk.frames[start : start + FRAMES]
                for link in self._links:
                    self._cancel.raise_if_cancelled()
                    part = self._apply(*link, part)
                parts.append(part)
                done += len(part)
                report(done)
            frames = np.concatenate(parts) if parts else chunk.frames
            yield replace(chunk, frames=frames)

    def _apply(
        self, use: EffectUse, effect: Effect, context: EffectContext, frames: Frames
    ) -> Frames:
        """Apply one effect to a copy, so that it cannot keep hold of what comes after it."""
        given = frames.copy()
        with self._meter.stage("effects"):
            made = self._guarded(use, partial(effect.apply, given, context))
        if problem := _problem(made, frames):
            log = self._log_of(use)
            log.error("effect.failed", problem=problem)
            raise _effect_error(use, problem)
        return np.ascontiguousarray(made)

    def _guarded(self, use: EffectUse, call: Callable[[], Made]) -> Made:
        """Call an effect within the time limit and translate its exceptions.

        Raises:
            EngineError: `effect.failed`; `worker.out_of_memory`.
        """
        watch = threading.Timer(LIMIT_SECONDS, self._give_up, (use,))
        watch.daemon = True
        watch.start()
        try:
            return call()
        except Cancelled:
            raise
        except (Exception, SystemExit) as error:
            if self._cancel.cancelled:
                raise Cancelled from error
            if is_out_of_memory(error):
                raise EngineError("worker.out_of_memory", transient=True) from error
            if isinstance(error, RushesError):
                raise
            log_bug(self._log_of(use), "effect.failed", error)
            raise _effect_error(use, type(error).__name__) from error
        finally:
            watch.cancel()

    def _log_of(self, use: EffectUse) -> Any:
        """Return a logger whose entries name the job and an effect."""
        return _log.bind(job=self._job, effect=use.name, package=use.package, version=use.version)

    def _give_up(self, use: EffectUse) -> None:
        log = self._log_of(use)
        log.error("effect.hung", seconds=LIMIT_SECONDS)
        seconds = round(LIMIT_SECONDS)
        self._hung(
            EngineError("effect.hung", effect=use.name, package=use.package, seconds=seconds)
        )


def _entry(use: EffectUse, effects: Effects) -> EffectEntry:
    entry = effects.entry(use.name)
    if entry is None:
        raise EngineError("effect.missing", effect=use.name, package=use.package)
    return entry


def _current(use: EffectUse, entry: EffectEntry) -> EffectUse:
    """Return a stored use as the installed release of its plugin takes it.

    A job that waits while a plugin is upgraded keeps its values. New options have their default.

    Raises:
        EngineError: `effect.changed`.
    """
    values = {
        option.name: use.values.get(option.name, option.default)
        for option in entry.options
        if option.name not in use.pictures
    }
    for option in entry.options:
        if option.name in use.values and not option.takes(value := use.values[option.name]):
            raise EngineError(
                "effect.changed",
                effect=use.name,
                package=entry.package,
                option=f"--{option.name}",
                value=value,
            )
    return replace(use, package=entry.package, version=entry.version, values=values)


def _effect_error(use: EffectUse, problem: str) -> EngineError:
    return EngineError("effect.failed", effect=use.name, package=use.package, problem=problem)


def _problem(made: object, frames: Frames) -> str | None:
    """Return the problem with the frames that an effect returned, or None."""
    if not isinstance(made, np.ndarray):
        return f"{type(made).__name__} instead of an array"
    if made.shape != frames.shape:
        return f"shape {list(made.shape)} instead of {list(frames.shape)}"
    if made.dtype != np.uint8:
        finite = not np.issubdtype(made.dtype, np.inexact) or bool(np.isfinite(made).all())
        return f"{made.dtype} instead of uint8" + ("" if finite else ", not all of it finite")
    return None


def _read(path: Path) -> Frames:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
