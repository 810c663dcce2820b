"""Video model of diffusers: loads the weights of a folder once and renders clips with them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from inference.device_errors import is_out_of_memory
from inference.diffusers_pipelines.call import ClipRequest, class_for
from inference.diffusers_pipelines.compilation import BlockCompiler
from inference.diffusers_pipelines.hooks import Check
from inference.diffusers_pipelines.latent_previews import LearnedPreviews
from inference.diffusers_pipelines.memory_plan import PLANS, Plan, footprint_of, plans_of, stronger
from inference.diffusers_pipelines.pipeline_run import (
    Hooks,
    Piece,
    PipelineRun,
    Resources,
    decode_again,
)
from inference.diffusers_pipelines.placement import Placer
from inference.diffusers_pipelines.prompts import PromptMemory
from inference.diffusers_pipelines.weights.loras import LoraFile, merge_loras
from inference.diffusers_pipelines.weights.parts import LoadProgress, load_parts, make_pipeline
from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.diffusers_pipelines.kept_clip import Pass
    from inference.diffusers_pipelines.weights.folder import Folder

_WAIT_SECONDS = 0.1
"""Poll interval for a full queue, to notice that its consumer has stopped."""
_QUEUED_PIECES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings that a checkpoint does not hold, and options of loading."""

    shift: float | None = None
    """Flow shift of the scheduler."""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    """Scheduler settings that replace the checkpoint's; those that its class has not are left
    out."""
    loras: Mapping[str, tuple[LoraFile, ...]] = field(default_factory=dict)
    """LoRAs to merge, by transformer."""
    compiled: bool = False
    """Whether the transformer's blocks are compiled, if its class lists them."""


Put = Callable[[Piece], None]
"""Receives finished frames; raises if the consumer has stopped."""

Work = Callable[[Plan, Check, Put], None]
"""Renders or decodes with a plan, calling the check often and passing frames on."""


class _AbandonedError(Exception):
    """The consumer of the frames has stopped."""


class VideoModel:
    """A model loaded from a folder, with its pipelines.

    Args:
        folder: Folder, inspected.
        device: Device to compute on.
        settings: Settings of loading and of pipelines.
        previews: Cache of preview maps.
    """

    def __init__(
        self,
        folder: Folder,
        device: torch.device,
        settings: Settings,
        previews: LearnedPreviews | None = None,
    ) -> None:
        self.folder = folder
        self.device = device
        self._settings = settings
        self._parts: dict[str, Any] = {}
        self._pipelines: dict[str, Any] = {}
        self.placer = Placer(device)
        self.memory = PromptMemory()
        self._resources = Resources(
            folder=folder,
            placer=self.placer,
            memory=self.memory,
            preview=(previews or LearnedPreviews()).of(folder),
            compiler=BlockCompiler(wanted=settings.compiled),
        )

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return bool(self._parts)

    def load(self, on_progress: LoadProgress) -> None:
        """Read the weights into host memory; the first clip moves them to the device.

        Raises:
            FolderError: The weights do not match their classes.
        """
        if self.loaded:
            return
        parts = load_parts(self.folder, self._dtypes(), on_progress)
        parts["scheduler"] = _change_scheduler(parts["scheduler"], self._settings)
        merge_loras(self.folder, parts, self._settings.loras)
        self._parts = parts

    def pipeline_for(self, request: ClipRequest) -> Any:
        """Return the pipeline for a request.

        Raises:
            EngineError: `folder.text_only`, `folder.image_only`, `folder.no_last`.
        """
        return self._pipeline(class_for(self.folder, request))

    def _pipeline(self, name: str) -> Any:
        if name not in self._pipelines:
            self._pipelines[name] = make_pipeline(self.folder, self._parts, name)
        return self._pipelines[name]

    def render(
        self, request: ClipRequest, plan: Plan = PLANS[0], hooks: Hooks | None = None
    ) -> Iterator[Piece]:
        """Yield the frames of a clip as soon as they are final.

        If memory runs out before the first frame is yielded, the clip is restarted with the next
        plan. An error leaves no state behind for the next clip.

        Raises:
            EngineError: `worker.out_of_memory`, `worker.not_finite`, `folder.off_grid`, and those
                of `call.class_for`.
            Exception: Raised by `hooks`.
        """
        check_grid(self.folder, request)
        pipeline = self.pipeline_for(request)
        hooks = hooks or Hooks()

        def work(current: Plan, check: Check, put: Put) -> None:
            run = PipelineRun(self._resources, pipeline, request, hooks=hooks, check=check, put=put)
            run.make(current)

        return self._attempts(work, plan, hooks)

    def decode(
        self, passes: Sequence[Pass], plan: Plan = PLANS[0], hooks: Hooks | None = None
    ) -> Iterator[Piece]:
        """Decode a kept clip, yielding its frames.

        Raises:
            EngineError: `latents.unreadable`: the latents are another model's; else see `render`.
        """
        hooks = hooks or Hooks()
        name = next(iter(sorted(self.folder.classes)))
        pipeline = self._pipeline(name)
        self._check_latents(passes)

        def work(current: Plan, check: Check, put: Put) -> None:
            decode_again(
                self._resources, pipeline, passes, current, hooks=hooks, check=check, put=put
            )

        return self._attempts(work, plan, hooks)

    def _attempts(self, work: Work, plan: Plan, hooks: Hooks) -> Iterator[Piece]:
        current: Plan | None = plan
        while current is not None:
            handed = False
            try:
                for piece in self._attempt(partial(work, current), hooks):
                    handed = True
                    yield piece
            except (RuntimeError, MemoryError) as error:
                if handed or not is_out_of_memory(error):
                    raise
            else:
                return
            # Outside the `except`, because the exception keeps the tensors alive.
            current = self._stronger(current) if self._on_gpu else None
        raise EngineError("worker.out_of_memory")

    def _stronger(self, plan: Plan) -> Plan | None:
        return stronger(self.placer.lowest(plan), plans_of(footprint_of(self.folder)))

    def _check_latents(self, passes: Sequence[Pass]) -> None:
        """Check that latents have the shape of this model's VAE.

        Raises:
            EngineError: `latents.unreadable`.
        """
        config = self.folder.parts["vae"].config
        known = [config.get(name) for name in ("z_dim", "latent_channels")]
        channels = next((one for one in known if isinstance(one, int)), None)
        for one in passes:
            shape = one.latents.shape
            if len(shape) != 5 or (channels is not None and shape[1] != channels):  # noqa: PLR2004
                raise EngineError("latents.unreadable")

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _dtypes(self) -> Mapping[str, torch.dtype]:
        if not self._on_gpu:
            return {"default": torch.float32}
        vae = torch.float32 if self.folder.family.fp32_vae else torch.bfloat16
        return {"vae": vae, "default": torch.bfloat16}

    def _attempt(self, work: Callable[[Check, Put], None], hooks: Hooks) -> Iterator[Piece]:
        """Run work in a thread and yield its frames while it decodes."""
        pieces: queue.Queue[Piece | BaseException | None] = queue.Queue(_QUEUED_PIECES)
        abandoned = threading.Event()

        def put(item: Piece | BaseException | None) -> None:
            while True:
                if abandoned.is_set():
                    raise _AbandonedError
                with suppress(queue.Full):
                    pieces.put(item, timeout=_WAIT_SECONDS)
                    return

        def check() -> None:
            hooks.check()
            if abandoned.is_set():
                raise _AbandonedError

        def run() -> None:
            outcome: BaseException | None = None
            try:
                check()
                work(check, put)
            except BaseException as error:  # noqa: BLE001 - raised again in the consumer
                outcome = error
            with suppress(_AbandonedError):
                put(outcome)

        thread = threading.Thread(target=run, name="diffusers", daemon=True)
        thread.start()
        try:
            while isinstance(item := pieces.get(), Piece):
                yield item
            if item is not None:
                raise item
        finally:
            abandoned.set()
            thread.join()


def check_grid(folder: Folder, request: ClipRequest) -> None:
    """Check the size and length of a request; pipelines round illegal ones silently.

    Raises:
        EngineError: `folder.off_grid`, with the nearest legal values.
    """
    multiple, factor = folder.multiple, folder.family.length_step
    width, height = (
        max(multiple, round(side / multiple) * multiple) for side in (request.width, request.height)
    )
    frames = max(0, round((request.frames - 1) / factor)) * factor + 1
    if (width, height, frames) != (request.width, request.height, request.frames):
        raise EngineError(
            "folder.off_grid",
            asked=f"{request.width}x{request.height}",
            count=request.frames,
            nearest=f"{width}x{height}",
            frames=frames,
        )


def _change_scheduler(scheduler: Any, settings: Settings) -> Any:
    """Return a scheduler with the settings that replace the checkpoint's."""
    changes = {
        name: value for name, value in settings.scheduler.items() if name in scheduler.config
    }
    if settings.shift is not None:  # its name varies
        name = "flow_shift" if "flow_shift" in scheduler.config else "shift"
        changes[name] = settings.shift
    return type(scheduler).from_config(scheduler.config, **changes) if changes else scheduler
