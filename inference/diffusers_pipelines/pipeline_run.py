"""One pipeline call, with progress, metering and cancellation; passes its frames on in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
import torch

from inference.bug_report import log_bug
from inference.device_errors import diagnose
from inference.diffusers_pipelines.call import ClipRequest, build_call, make_guider, token_limit
from inference.diffusers_pipelines.hooks import (
    Check,
    cache_blocks,
    count_evaluations,
    denoisers,
    networks,
    report_steps,
    stop_between_blocks,
)
from inference.diffusers_pipelines.kept_clip import Pass
from inference.diffusers_pipelines.latent_previews import LearnedPreview, States
from inference.diffusers_pipelines.memory_plan import Placement, Plan
from inference.diffusers_pipelines.pixels import intercept_decoder
from inference.diffusers_pipelines.prompts import is_too_long
from inference.diffusers_pipelines.sound import Waveform, read_waveform
from inference.diffusers_pipelines.weights.bad_values import first_bad_value
from inference.diffusers_pipelines.weights.folder import FolderError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from inference.diffusers_pipelines.compilation import BlockCompiler
    from inference.diffusers_pipelines.placement import Placer
    from inference.diffusers_pipelines.prompts import PromptMemory
    from inference.diffusers_pipelines.weights.folder import Folder

    Pixels = npt.NDArray[np.uint8]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive frames, uint8 [frames, height, width, 3]; the first piece may have the sound."""

    frames: Pixels
    sound: Waveform | None = None
    shortened: bool = False
    """Whether the prompt was longer than the model's token limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Callbacks of a render, called in the thread that computes."""

    on_step: Callable[[int, int, Callable[[], Pixels] | None], None] = lambda *_: None
    """Called with steps done, steps in all, and a function that draws a preview, or None."""
    check: Check = lambda: None
    """Called before each block; raises to stop the render."""
    on_forwards: Callable[[int], None] = lambda _count: None
    """Called with the batch size of each evaluation."""
    on_pass: Callable[[Pass], None] = lambda _pass: None
    """Called with the decoder's inputs after all their frames were passed on."""
    on_eager: Callable[[], None] = lambda: None
    """Called before the first frame if blocks should have been compiled but could not."""
    stage: Callable[[str], AbstractContextManager[None]] | None = None
    """Context manager that measures a stage: "text", "sample" or "decode"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resources that all calls of one model share."""

    folder: Folder
    placer: Placer
    memory: PromptMemory
    preview: LearnedPreview
    compiler: BlockCompiler


class PipelineRun:
    """One pipeline call, which runs in the calling thread.

    Args:
        model: Resources of the model.
        pipeline: Pipeline with loaded weights.
        request: The clip to render.
        hooks: Callbacks.
        check: Raises to stop the call.
        put: Receives the frames; may raise.
    """

    def __init__(
        self,
        model: Resources,
        pipeline: Any,
        request: ClipRequest,
        *,
        hooks: Hooks,
        check: Check,
        put: Callable[[Piece], None],
    ) -> None:
        self._model = model
        self._pipeline = pipeline
        self._request = replace(request, sound=request.sound and model.folder.sound)
        self._hooks = hooks
        self._check = check
        self._put = put
        self._states = States(model.folder, request)
        self._decoded: list[Pass] = []
        self._frames: list[Pixels] = []
        """Frames kept until the end of clips with sound, or until the preview map is fitted."""
        self._seen = 0
        self._made = 0
        """Number of decoded frames."""
        self._shortened = False
        self._stages = ExitStack()
        self._stage: ExitStack | None = None

    def make(self, plan: Plan) -> None:
        """Render the clip; the pipeline's state is restored afterwards, also after errors."""
        model, pipeline = self._model, self._pipeline
        self._check()
        plan = model.placer.apply(pipeline, plan)
        try:
            self._enter("text")
            self._shortened = is_too_long(pipeline, self._request.prompt, token_limit(pipeline))
            with self._set_up(plan) as arguments:
                result = pipeline(**arguments)
            self._finish(result)
            for one in self._decoded:
                self._hooks.on_pass(one)
        except BaseException as error:
            self._clean_up()
            if known := self._cause(error):
                file, key = known.params["file"], known.params["key"]
                log_bug(_log, "clip.bad_value", error, file=file, key=key)  # a guess hides no bug
                raise known from error
            raise
        finally:
            self._stages.close()

    def _cause(self, error: BaseException) -> FolderError | None:
        """Return the config value that an error of a class most likely comes from, if any."""
        of_a_class = isinstance(error, (ArithmeticError, LookupError, TypeError, ValueError))
        if not of_a_class and type(error) is not RuntimeError:
            return None
        if diagnose(error) is not None:  # the device's, or out of memory
            return None
        made = getattr(self._pipeline, "components", {})
        parts = self._model.folder.parts
        return first_bad_value(parts, {name: type(made[name]) for name in parts if name in made})

    @contextmanager
    def _set_up(self, plan: Plan) -> Iterator[dict[str, Any]]:
        """Install all hooks for the call; yields its keyword arguments."""
        model, pipeline, request = self._model, self._pipeline, self._request
        family = model.folder.family
        with ExitStack() as stack:
            enter = stack.enter_context
            if not self._streams_layers:  # offloading hooks would split the compiled blocks
                enter(model.compiler.over(denoisers(pipeline)))
            if request.cache and family.caches:
                enter(cache_blocks(denoisers(pipeline)))
            enter(report_steps(pipeline, self._on_step))
            enter(stop_between_blocks(networks(pipeline), self._check_inside))
            enter(count_evaluations(denoisers(pipeline), self._on_forward))
            placer = model.placer
            enter(model.memory.over(pipeline, lambda encoding: placer.encode(pipeline, encoding)))
            streams = family.streams and not plan.tiled
            enter(
                intercept_decoder(
                    pipeline.vae,
                    streams=streams,
                    on_frames=self._on_frames,
                    before=self._before_decoding,
                    after=self._decoded.append,
                )
            )
            guider = make_guider(pipeline, request)
            if guider is not None:
                enter(_replace_attribute(pipeline, "guider", guider))
            watching = enter(self._states.watch(pipeline))
            yield build_call(pipeline, family, request) | watching

    def _enter(self, name: str) -> None:
        """End the measurement of the current stage and start that of the next."""
        self._stages.close()
        if self._hooks.stage is not None:
            self._stages.enter_context(self._hooks.stage(name))

    def _before_decoding(self) -> None:
        self._enter("decode")
        compiler = self._model.compiler
        if compiler.wanted and (self._streams_layers or not compiler.active):
            self._hooks.on_eager()

    def _check_inside(self) -> None:
        if self._model.placer.complete or not self._streams_layers:
            self._check()

    @property
    def _streams_layers(self) -> bool:
        plan = self._model.placer.plan
        return plan is not None and plan.placement is Placement.GROUP_OFFLOAD

    def _on_forward(self, count: int) -> None:
        if not self._seen:
            self._seen = 1
            self._enter("sample")
        self._hooks.on_forwards(count)

    def _on_step(self, done: int, total: int) -> None:
        self._model.placer.complete = True
        self._check()
        still = self._model.preview.still(self._states, self._pipeline.scheduler)
        self._hooks.on_step(done, total, still)
        self._check()

    def _on_frames(self, frames: Pixels) -> None:
        self._check()
        self._made += len(frames)
        if frames.shape[1:] != (self._request.height, self._request.width, 3):
            raise _other_frames()
        if self._request.sound:
            self._frames.append(frames)
            return
        self._learn(frames)
        self._put(Piece(frames=frames, shortened=self._shortened))

    def _learn(self, frames: Pixels) -> None:
        """Collect the first frames until there are enough to fit the preview map."""
        preview = self._model.preview
        wanted = min(preview.frames_to_learn, self._request.frames)
        if not wanted or (self._request.begins_with_frames and self._model.folder.makes_from_text):
            return  # with shared weights, reference frames may be missing from the latents
        self._frames.append(frames)
        if sum(map(len, self._frames)) >= wanted:
            preview.learn(self._states.last(), np.concatenate(self._frames)[:wanted])
            self._frames.clear()

    def _finish(self, result: Any) -> None:
        if self._made != self._request.frames:
            raise _other_frames()
        if not self._frames or not self._request.sound:
            return
        held, self._frames = self._frames, []
        sound = read_waveform(self._pipeline, getattr(result, "audio", None))
        for index, frames in enumerate(held):
            self._learn(frames)
            self._put(
                Piece(frames=frames, sound=None if index else sound, shortened=self._shortened)
            )

    def _clean_up(self) -> None:
        self._frames.clear()
        clean_up(self._pipeline, self._model.placer.device)


def _other_frames() -> FolderError:
    """Return the error for decoded frames of another number or size than requested."""
    return FolderError("folder.unreadable", file="vae/config.json")


def decode_again(
    model: Resources,
    pipeline: Any,
    passes: Sequence[Pass],
    plan: Plan,
    *,
    hooks: Hooks,
    check: Check,
    put: Callable[[Piece], None],
) -> None:
    """Decode a kept clip and pass its frames on, each once.

    Args:
        model: Resources of the model.
        pipeline: Pipeline with the decoder.
        passes: Decoder inputs of the clip.
        plan: The memory plan.
        hooks: Callbacks.
        check: Raises to stop decoding.
        put: Receives the frames; may raise.

    Raises:
        EngineError: `latents.unreadable`: the latents are another model's.
    """
    vae, device = pipeline.vae, model.placer.device
    plan = model.placer.apply(pipeline, plan)
    streams = model.folder.family.streams and not plan.tiled
    try:
        for one in passes:
            left = one.skipped

            def take(frames: Pixels) -> None:
                nonlocal left
                check()
                kept, left = frames[left:], max(0, left - len(frames))
                if len(kept):
                    put(Piece(frames=kept))

            stage = hooks.stage("decode") if hooks.stage is not None else nullcontext()
            with (
                stage,
                torch.no_grad(),
                stop_between_blocks([vae], check),
                intercept_decoder(vae, streams=streams, on_frames=take, before=check),
            ):
                timestep = () if one.timestep is None else (one.timestep.to(device),)
                vae.decode(one.latents.to(device), *timestep, return_dict=False)
    finally:
        clean_up(pipeline, device)


def clean_up(pipeline: Any, device: torch.device) -> None:
    """Free caches and move networks back, as a pipeline does at the end of a successful call."""
    pipeline.maybe_free_model_hooks()
    if hasattr(pipeline.vae, "clear_cache"):
        pipeline.vae.clear_cache()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def _replace_attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
