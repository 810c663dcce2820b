"""The executor port: where a claimed job is rendered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from inference.domain.render import (
    LATENTS_NAME,
    Manifest,
    ProgressCallback,
)
from inference.domain.spec import Spec
from inference.domain.watermark import WatermarkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTask:
    """Input of the worker for one attempt at a job."""

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
    last: Path | None = None
    """The prepared image of the last frame."""
    latents: Path | None = None
    """What was kept of the clip to go on from."""


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
            EngineError: The engine failed and said how. The worker lives on, or is replaced where
                its device cannot be trusted any more (`diagnosis.BROKEN`).
            WorkerLost: The process died, hung or never spoke; it is being replaced.
        """
        ...

    async def cancel(self, job_id: str) -> None:
        """Ask for the running task to stop at its next step; unknown ids are ignored."""
        ...


@runtime_checkable
class Supervised(Protocol):
    """Executor that restarts its workers, and may be without one for a while."""

    @property
    def away(self) -> bool:
        """Whether the last worker did not start, and none has started since."""
        ...

    async def ready(self) -> None:
        """Wait until `away` is false."""
        ...


def verify_manifest(manifest: Manifest, directory: Path) -> str | None:
    """Compare a manifest with its files; return what does not match, or None.

    Reads whole files: call it from a thread.
    """
    path = directory / manifest.name
    inside = Path(manifest.name).name == manifest.name
    try:
        if not inside or path.is_symlink() or not path.is_file():
            return "file"
        if path.stat().st_size != manifest.size:
            return "size"
        if digest(path) != manifest.sha256:
            return "sha256"
        kept = manifest.latents_sha256
        if kept is not None and digest(directory / LATENTS_NAME) != kept:
            return "latents"
    except OSError:
        return "file"
    return None


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
