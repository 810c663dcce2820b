"""The slot port: where a claimed job is rendered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from inference.domain.render import (
    LATENTS_NAME,
    Manifest,
    ProgressCallback,
)
from inference.domain.spec import Spec
from inference.domain.watermark import WatermarkSettings

if TYPE_CHECKING:
    from inference.domain.device import Device


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
    pictures: dict[str, Path] = field(default_factory=dict)
    """The prepared pictures of effects, by option."""


class Slot(Protocol):
    """One worker on one device, which renders one task at a time.

    Entered as an async context manager before it is used.
    """

    @property
    def name(self) -> str:
        """Unique in its pool, as shown to people: "cuda:1", "cpu #2"."""
        ...

    @property
    def device(self) -> Device | None:
        """What it renders on; None until the first worker has said so."""
        ...

    def check_gpu(self, model: str) -> None:
        """Refuse a model that needs the GPU that got lost.

        Raises:
            EngineError: `gpu.lost`.
        """
        ...

    @property
    def warm_model(self) -> str | None:
        """Name of the model whose weights are on the device now."""
        ...

    @property
    def away(self) -> bool:
        """Whether the last worker did not start, and none has started since."""
        ...

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        ...

    async def ready(self) -> None:
        """Wait until a worker has started, if the last one did not or none has yet."""
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

    async def __aenter__(self) -> Self:
        """Start it."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Stop its worker; a render under way ends with `WorkerLost` (`worker.closed`)."""
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
