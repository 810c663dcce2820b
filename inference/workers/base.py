"""The executor port: where a claimed job is rendered, and what comes back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from inference.media.watermark import WatermarkSettings
from inference.spec import Spec


class Stage(StrEnum):
    """What the worker is doing with the job."""

    LOADING = "loading"
    """Bringing the model's weights in."""
    RENDERING = "rendering"
    """Sampling, step by step."""
    FINISHING = "finishing"
    """All steps done: decoding, watermark, encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running job stands."""

    stage: Stage
    done: int
    """Steps done (percent while loading)."""
    total: int


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTask:
    """Everything the worker needs for one attempt at one job."""

    job_id: str
    attempt: int
    spec: Spec
    directory: Path
    """Where this attempt's files go; made by the worker, owned by the artifact store."""
    image: Path | None
    """The prepared reference image."""
    watermark: WatermarkSettings
    recipe: dict[str, Any]
    """JSON written into the finished file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A finished file, complete on disk: written, fsynced and renamed before this is sent."""

    name: str
    """File name inside the attempt's directory: `clip.mp4` or `image.png`."""
    size: int
    """Bytes."""
    sha256: str
    width: int
    height: int
    frames: int
    notes: tuple[str, ...] = ()
    """Catalog codes of remarks for the person, from the engine."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds per stage: load, render, finish; total is all but load, as the line measured it."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a manifest from `as_dict`.

        Raises:
            TypeError: A member is missing or unknown.
        """
        return cls(**{**data, "notes": tuple(data.get("notes", ()))})


class Executor(Protocol):
    """Renders one task at a time on one device."""

    @property
    def warm_model(self) -> str | None:
        """Name of the model whose weights are on the device now."""
        ...

    async def render(self, task: RenderTask, on_progress: ProgressCallback) -> Manifest:
        """Render a task to a complete file.

        Cancelling the awaiting task asks the worker to stop too, and waits for it.

        Raises:
            Cancelled: `cancel` reached the worker at a step boundary.
            EngineError: The engine failed and said how; the worker lives on.
            WorkerLost: The process died, hung or never spoke; it is being replaced.
        """
        ...

    async def cancel(self, job_id: str) -> None:
        """Ask for the running task to stop at its next step; unknown ids are ignored."""
        ...


def verify(manifest: Manifest, directory: Path) -> bool:
    """Return whether the file a manifest speaks of is there, whole and unchanged.

    Reads the whole file: call it from a thread.
    """
    if Path(manifest.name).name != manifest.name:
        return False
    try:
        with (directory / manifest.name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell() == manifest.size and digest == manifest.sha256
    except OSError:
        return False
