"""The slot port: interface of a place that renders claimed jobs, and its task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from inference.domain.render import LATENTS_NAME, Manifest, ProgressCallback
from inference.domain.spec import Spec
from inference.domain.watermark import WatermarkSettings

if TYPE_CHECKING:
    from inference.domain.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTask:
    """Input of a worker for one attempt at a job."""

    job_id: str
    attempt: int
    spec: Spec
    directory: Path
    """Folder of this attempt's files; created by the worker, owned by the artifact store."""
    image: Path | None
    """Prepared reference image for the first frame."""
    watermark: WatermarkSettings
    recipe: dict[str, Any]
    """Recipe to write into the finished file, as JSON data."""
    last: Path | None = None
    """Prepared reference image for the last frame."""
    latents: Path | None = None
    """File that was kept of the clip to extend."""
    pictures: dict[str, Path] = field(default_factory=dict)
    """Prepared pictures of effects, by option name."""


class Slot(Protocol):
    """One device with its worker, which renders one task at a time.

    Use as an async context manager.
    """

    @property
    def name(self) -> str:
        """Name shown to people, unique in its pool: "cuda:1", "cpu #2"."""
        ...

    @property
    def device(self) -> Device | None:
        """Device of the last worker; None before the first worker's hello."""
        ...

    def check_gpu(self, model: str) -> None:
        """Check that the GPU is not lost, for a model that needs one.

        Raises:
            EngineError: `gpu.lost`.
        """
        ...

    @property
    def warm_model(self) -> str | None:
        """Name of the model whose weights are loaded."""
        ...

    @property
    def away(self) -> bool:
        """Whether the last attempt to start a worker failed."""
        ...

    @property
    def restarts(self) -> int:
        """Number of worker restarts."""
        ...

    async def ready(self) -> None:
        """Wait until a worker has started; returns at once if one runs."""
        ...

    async def render(self, task: RenderTask, on_progress: ProgressCallback) -> Manifest:
        """Render a task to a complete file.

        Cancelling the awaiting task also cancels the render, and waits for it.

        Raises:
            Cancelled: The render was cancelled at a step.
            EngineError: The engine failed. The worker continues, or is replaced if its device is
                broken (`device_errors.BROKEN`).
            WorkerLost: The process died, hung or never sent hello; it is being replaced.
        """
        ...

    async def cancel(self, job_id: str) -> None:
        """Request that a running task stops at its next step; unknown ids are ignored."""
        ...

    async def __aenter__(self) -> Self:
        """Start the worker."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Stop the worker; a running render raises `WorkerLost` (`worker.closed`)."""
        ...


def verify_manifest(manifest: Manifest, directory: Path) -> str | None:
    """Compare a manifest with its files; returns the first mismatch, or None.

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
