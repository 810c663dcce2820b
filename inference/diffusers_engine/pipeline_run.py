"""One call of a pipeline: watched, measured, stoppable; its frames are handed on in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from inference.diffusers_engine.call import ClipRequest, build_call, guided, token_limit
from inference.diffusers_engine.kept_clip import Pass
from inference.diffusers_engine.latent_previews import LearnedPreview, States
from inference.diffusers_engine.memory import Placement, Plan
from inference.diffusers_engine.pixels import decoding
from inference.diffusers_engine.prompts import is_too_long
from inference.diffusers_engine.sound import Waveform, read_waveform
from inference.diffusers_engine.watch import (
    Check,
    cached,
    counted,
    denoisers,
    networks,
    steps_reported,
    stoppable,
)
from inference.diffusers_engine.weights.folder import FolderError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from inference.diffusers_engine.compilation import BlockCompiler
    from inference.diffusers_engine.placement import Placer
    from inference.diffusers_engine.prompts import PromptMemory
    from inference.diffusers_engine.weights.folder import Folder

    Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive frames, uint8 [frames, height, width, 3]; the first may bring the sound."""

    frames: Pixels
    sound: Waveform | None = None
    shortened: bool = False
    """Whether the model read only the beginning of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a render reports to, called from the thread that it computes in."""

    on_step: Callable[[int, int, Callable[[], Pixels] | None], None] = lambda *_: None
    """Steps done, steps in all, and what draws the clip so far."""
    check: Check = lambda: None
    """Called before each block; raises to stop."""
    on_forwards: Callable[[int], None] = lambda _count: None
    """Called with the size of the batch of each evaluation."""
    on_pass: Callable[[Pass], None] = lambda _pass: None
    """Called with what the decoder made the frames from, once all of them are handed on."""
    on_eager: Callable[[], None] = lambda: None
    """Called before the first frame where blocks were to be compiled and could not."""
    stage: Callable[[str], AbstractContextManager[None]] | None = None
    """Measures the time of "text", "sample" and "decode"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the calls of one model share."""

    folder: Folder
    placer: Placer
    memory: PromptMemory
    preview: LearnedPreview
    compiler: BlockCompiler


class PipelineRun:
    """One call of a pipeline, in its thread.

    Args:
        model: What its calls share.
        pipeline: With the weights.
        request: Of the clip.
        hooks: What it reports to.
        check: Raises to stop it.
        put: Takes the frames; may raise.
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
        """Held back: of clips with sound, and the first ones, which the preview learns from."""
        self._seen = 0
        self._made = 0
        """Frames that were decoded."""
        self._shortened = False
        self._stages = ExitStack()
        self._stage: ExitStack | None = None

    def make(self, plan: Plan) -> None:
        """Make the clip, and leave everything as it was before, whatever happens."""
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
        except BaseException:
            self._clean_up()
            raise
        finally:
            self._stages.close()

    @contextmanager
    def _set_up(self, plan: Plan) -> Iterator[dict[str, Any]]:
        """Attach everything that watches the call; yields its arguments."""
        model, pipeline, request = self._model, self._pipeline, self._request
        family = model.folder.family
        with ExitStack() as stack:
            enter = stack.enter_context
            if not self._streams_layers:  # there it would break up the blocks
                enter(model.compiler.over(denoisers(pipeline)))
            if request.cache and family.caches:
                enter(cached(denoisers(pipeline)))
            enter(steps_reported(pipeline, self._on_step))
            enter(stoppable(networks(pipeline), self._check_inside))
            enter(counted(denoisers(pipeline), self._on_forward))
            placer = model.placer
            enter(model.memory.over(pipeline, lambda encoding: placer.encode(pipeline, encoding)))
            streams = family.streams and not plan.tiled
            enter(
                decoding(
                    pipeline.vae,
                    streams=streams,
                    on_frames=self._on_frames,
                    before=self._before_decoding,
                    after=self._decoded.append,
                )
            )
            guider = guided(pipeline, request)
            if guider is not None:
                enter(_replaced(pipeline, "guider", guider))
            watching = enter(self._states.watched(pipeline))
            yield build_call(pipeline, family, request) | watching

    def _enter(self, name: str) -> None:
        """Begin to measure a stage, and end the one before."""
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
        """Keep the first frames until there are enough to fit the preview to."""
        preview = self._model.preview
        wanted = min(preview.frames_to_learn, self._request.frames)
        if not wanted or (self._request.begins_with_frames and self._model.folder.makes_from_text):
            return  # where both are the same weights, given frames may not be in the latents
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
                Piece(
                    frames=frames,
                    sound=None if index else sound,
                    shortened=self._shortened,
                )
            )

    def _clean_up(self) -> None:
        self._frames.clear()
        clean_up(self._pipeline, self._model.placer.device)


def _other_frames() -> FolderError:
    """Return the error for a decoder whose frames are not those that were asked for."""
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
    """Hand on the frames of a kept clip, each once.

    Args:
        model: What its calls share.
        pipeline: Whose decoder made them.
        passes: Of the clip.
        plan: How to save memory.
        hooks: What it reports to.
        check: Raises to stop it.
        put: Takes the frames; may raise.

    Raises:
        EngineError: `latents.unreadable`: they are another model's.
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
                stoppable([vae], check),
                decoding(vae, streams=streams, on_frames=take, before=check),
            ):
                timestep = () if one.timestep is None else (one.timestep.to(device),)
                vae.decode(one.latents.to(device), *timestep, return_dict=False)
    finally:
        clean_up(pipeline, device)


def clean_up(pipeline: Any, device: torch.device) -> None:
    """Do what a pipeline does at its end only: drop caches, send networks back."""
    pipeline.maybe_free_model_hooks()
    if hasattr(pipeline.vae, "clear_cache"):
        pipeline.vae.clear_cache()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
