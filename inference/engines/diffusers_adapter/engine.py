"""Engine for video models in Diffusers layout: passes, extension, and plans for memory."""

from __future__ import annotations

import gc
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from inference.diffusers_pipelines.call import ClipRequest
from inference.diffusers_pipelines.kept_clip import KeptClip
from inference.diffusers_pipelines.latent_previews import LearnedPreviews
from inference.diffusers_pipelines.memory_plan import PLANS, Plan, footprint_of, host_memory
from inference.diffusers_pipelines.pipeline import Settings, VideoModel
from inference.diffusers_pipelines.pipeline_run import Hooks
from inference.diffusers_pipelines.sound import join_sound
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.loras import LoraFile
from inference.domain.errors import EngineError, UserError
from inference.engines.base import FrameChunk, Inputs, Monitor, ProgressCallback, Sound
from inference.engines.device import available
from inference.engines.diffusers_adapter.memory_check import least_bytes, plan_for
from inference.engines.diffusers_adapter.video_model import (
    DiffusersTable,
    VideoModelEntry,
    entry_of,
    few_loras,
    folders_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from inference.diffusers_pipelines.kept_clip import Pass
    from inference.diffusers_pipelines.pipeline_run import Piece
    from inference.diffusers_pipelines.sound import Waveform
    from inference.diffusers_pipelines.traits import Preset
    from inference.domain.capabilities import Capabilities
    from inference.domain.spec import Spec
    from inference.engines.base import Still
    from inference.engines.entry import ModelOptions


_PREVIEWS = LearnedPreviews()
"""Preview maps of this process, kept while weights are unloaded and read again."""


def make_engine(preset: str | None, options: ModelOptions) -> DiffusersEngine:
    """Create the engine of a model from its registry entry.

    Raises:
        CheckpointError: The weights are not downloaded.
        FolderError: The folder cannot be used.
    """
    table = DiffusersTable(**options.values)
    entry = entry_of(options.capabilities.name, table, preset)
    folders = folders_of(entry, options.directory)
    return DiffusersEngine(entry, folders, options.capabilities, options.directory)


class DiffusersEngine:
    """Engine with the weights of one folder, or of one for text and one for images.

    Args:
        entry: The model's entry.
        folders: Folders by the input that clips are made from: "text", "image", or "any".
        capabilities: The model's capabilities.
        directory: Directory of downloaded weights.
    """

    def __init__(
        self,
        entry: VideoModelEntry,
        folders: Mapping[str, Path],
        capabilities: Capabilities,
        directory: Path | None = None,
    ) -> None:
        self._directory = directory
        self._entry = entry
        self._folders = dict(folders)
        self._capabilities = capabilities
        self._model: VideoModel | None = None
        self._use: str | None = None
        """Input that the loaded weights are for; None if weights must be read."""
        self._loaded = False

    def load(self, on_progress: ProgressCallback) -> None:
        """Load the weights: the only ones, or those for clips from text.

        Raises:
            FolderError: The weights cannot be used.
        """
        if not self._loaded:
            for path in self._folders.values():  # check all before reading one
                inspect_folder(path, self._entry.gguf)
            self._bring(next(iter(self._folders)), on_progress)
            self._loaded = True

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield the clip's frames; with sound, all of them come after the last step.

        Each further pass begins with the last frames of the pass (or the clip) before it; those
        repeated frames are dropped.
        """
        if not self._loaded:
            raise EngineError("model.not_loaded", name=spec.model)
        clip = _Clip(self._capabilities, spec)
        pieces = self._pieces(clip, spec, inputs, monitor)
        has_sound = self._capabilities.sound and spec.options.get("sound", "on") != "off"
        joined = spec.loops > 1 or inputs.latents is not None
        if has_sound or (joined and self._entry.table.compile):
            # A file's sound and recipe are written first, so all frames are decoded before.
            pieces = iter(list(pieces))
        sound = clip.sound
        for piece in pieces:
            yield FrameChunk(
                frames=piece.frames,
                notes=("shortened",) if piece.shortened else (),
                sound=None if sound is None else Sound(samples=sound.samples, rate=sound.rate),
            )
            sound = None

    def _pieces(self, clip: _Clip, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[Piece]:
        """Yield the frames of all passes; their sound is collected in `clip`."""
        if inputs.latents is not None:
            kept = clip.begin_with(inputs.latents)
            yield from clip.remember_frames(self._decoded(kept, spec, monitor))
            clip.check_begun()
        for number in range(spec.loops):
            yield from clip.skip_repeated(self._pass(clip, spec, inputs, monitor, number))
        if self._capabilities.extends and spec.frames > 1:
            monitor.keep(clip.pack())

    # These must not reference a model when the next pass loads other weights: both would not fit.

    def _decoded(self, kept: tuple[Pass, ...], spec: Spec, monitor: Monitor) -> Iterator[Piece]:
        model = self._model_for("image", monitor)
        return model.decode(kept, self._plan(spec, model), _hooks(monitor))

    def _pass(
        self, clip: _Clip, spec: Spec, inputs: Inputs, monitor: Monitor, number: int
    ) -> Iterator[Piece]:
        """Return a lazy iterator over the frames of a pass."""
        begins = inputs.image is not None if not clip.frames else True
        model = self._model_for("image" if begins else "text", monitor)
        request = self._request(spec, inputs, clip, number)
        hooks = replace(_hooks(monitor, number, spec.loops), on_pass=clip.add_pass)
        return model.render(request, self._plan(spec, model), hooks)

    def _model_for(self, use: str, monitor: Monitor) -> VideoModel:
        """Return the model with weights for clips from text or from images, loading them if needed.

        Raises:
            EngineError: `folder.text_only`, `folder.image_only`.
        """
        use = "any" if "any" in self._folders else use
        if use not in self._folders:
            raise EngineError("folder.text_only" if use == "image" else "folder.image_only")
        if use != self._use:
            with monitor.meter.stage("swap"):
                self._bring(use, lambda *_: monitor.cancel.raise_if_cancelled())
        assert self._model is not None  # noqa: S101 - `_bring` sets it
        return self._model

    def _bring(self, use: str, on_progress: ProgressCallback) -> None:
        self._model = self._use = None  # freed before the new weights are read
        gc.collect()  # diffusers' transformers and hooks are reference cycles
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cuda":
            torch.cuda.empty_cache()
        folder = inspect_folder(self._folders[use], self._entry.gguf)
        model = VideoModel(folder, device, self._settings(use), _PREVIEWS)
        model.load(lambda done, total, part: on_progress(done / total if total else 0.0, part))
        self._model, self._use = model, use

    def _settings(self, use: str) -> Settings:
        entry, preset = self._entry, self._entry.preset
        loras = {
            name: [LoraFile(Path(one.file), one.weight) for one in files]
            for name, files in entry.table.group_loras().items()
        }
        for name, file in few_loras(entry, use, self._directory).items():
            loras[name].append(LoraFile(file))
        settings = Settings(
            loras={name: tuple(files) for name, files in loras.items()},
            scheduler={
                **({} if preset is None else preset.scheduler),
                **({} if entry.few is None else entry.few.scheduler),
            },
            compiled=entry.table.compile,
        )
        if preset is None:
            return settings
        shift = preset.shift_image if use == "image" else None
        return replace(settings, shift=shift or preset.shift)

    def _request(self, spec: Spec, inputs: Inputs, clip: _Clip, number: int) -> ClipRequest:
        """Return the request for a pass; only the first one gets the image, the last one `last`."""
        preset, size = self._entry.preset, self._capabilities.sizes[spec.resolution, spec.aspect]
        guidance, low = _guidance(spec.cfg, preset, str(self._use))
        references = [use for use in spec.effects if use.reference_weight is not None]
        pictures = [inputs.pictures[name] for use in references for name in use.pictures]
        return ClipRequest(
            prompt=spec.prompt,
            negative=_negative(spec, None if preset is None else preset.negative),
            width=size.width,
            height=size.height,
            frames=spec.frames,
            fps=self._capabilities.file_fps,
            steps=spec.steps,
            sigmas=None if preset is None else preset.sigmas,
            guidance=guidance,
            guidance_low=low,
            seed=spec.seed + number,  # the same noise would repeat the pass before
            image=None if clip.frames else _opened(inputs.image),
            last=_opened(inputs.last) if number == spec.loops - 1 else None,
            lead=clip.lead(),
            references=tuple(filter(None, map(_opened, pictures))),
            reference_weight=max((use.reference_weight or 0.0 for use in references), default=1.0),
            sound=spec.options.get("sound", "on") != "off",
            cache=spec.options.get("cache", "off") == "on",
        )

    def _plan(self, spec: Spec, model: VideoModel) -> Plan:
        """Choose the memory plan of a render.

        Raises:
            UserError: `memory.*`: it does not fit.
        """
        if model.device.type == "cpu":
            return _on_cpu(spec, self._capabilities, model)
        return plan_for(
            spec,
            self._capabilities,
            model.folder.family,
            footprint_of(model.folder),
            device=available(),
            host=host_memory(),
        )


class _Clip:
    """State of a clip during its render, pass by pass."""

    def __init__(self, capabilities: Capabilities, spec: Spec) -> None:
        self._size = capabilities.sizes[spec.resolution, spec.aspect]
        self._overlap = capabilities.overlap_frames
        self._spec = spec
        self._passes: list[Pass] = []
        self._tail: list[npt.NDArray[np.uint8]] = []
        self.frames = 0
        """Number of frames yielded so far."""
        self.sound: Waveform | None = None

    def begin_with(self, path: Path) -> tuple[Pass, ...]:
        """Start with a kept clip, which is extended; returns its passes.

        Raises:
            EngineError: `latents.unreadable`.
        """
        kept = KeptClip.read(path)
        if kept.frames != self._spec.after_frames:
            raise EngineError("latents.unreadable")
        self._passes, self.sound = list(kept.passes), kept.sound
        return kept.passes

    def check_begun(self) -> None:
        """Check that the kept clip has decoded to its declared length.

        Raises:
            EngineError: `latents.unreadable`.
        """
        if self.frames != self._spec.after_frames:
            raise EngineError("latents.unreadable")

    def remember_frames(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Yield pieces, and remember the last frames.

        Raises:
            EngineError: `latents.unreadable`: frames of another size than the clip's.
        """
        for piece in pieces:
            if piece.frames.shape[1:3] != (self._size.height, self._size.width):
                raise EngineError("latents.unreadable")
            self.frames += len(piece.frames)
            self._tail = [*self._tail, *piece.frames][-self._overlap :]
            yield replace(piece, sound=None)

    def skip_repeated(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Yield the pieces of a pass without the frames that it repeats."""
        before, skipped = self.frames, self._overlap if self.frames else 0
        fps = self._spec.file_fps
        for piece in pieces:
            if piece.sound is not None:
                self.sound = (
                    piece.sound
                    if not before
                    else join_sound(
                        self.sound, piece.sound, until=before / fps, overlap=skipped / fps
                    )
                )
            kept, skipped = piece.frames[skipped:], max(0, skipped - len(piece.frames))
            if len(kept):
                yield from self.remember_frames(iter([replace(piece, frames=kept)]))

    def lead(self) -> tuple[Image.Image, ...]:
        """Return the frames that the next pass begins with; none for the first pass."""
        return tuple(Image.fromarray(frame) for frame in self._tail)

    def add_pass(self, made: Pass) -> None:
        """Keep the latents and sound of a pass."""
        skipped = self._overlap if self._passes else 0
        self._passes.append(replace(made, skipped=skipped))

    def pack(self) -> bytes:
        """Return the bytes of a file that lets a later clip extend this one."""
        return KeptClip(passes=tuple(self._passes), sound=self.sound).pack()


def _hooks(monitor: Monitor, number: int = 0, passes: int = 1) -> Hooks:
    """Return the callbacks of a pass, which count its steps after those of earlier passes."""

    def on_step(done: int, total: int, still: Still | None) -> None:
        monitor.on_step(number * total + done, passes * total, still)

    return Hooks(
        on_step=on_step,
        check=monitor.cancel.raise_if_cancelled,
        on_forwards=monitor.meter.count_forwards,
        on_eager=lambda: monitor.without("compile"),
        stage=monitor.meter.stage,
    )


def _on_cpu(spec: Spec, capabilities: Capabilities, model: VideoModel) -> Plan:
    """Return the plan for a machine without a GPU, for models that are small enough.

    Raises:
        UserError: `gpu.needed`.
    """
    needed = footprint_of(model.folder, on_cpu=True).total_bytes
    if needed > available().memory_bytes:
        least = least_bytes(spec, capabilities, model.folder.family, footprint_of(model.folder))
        raise UserError("gpu.needed", model=capabilities.title, needed=math.ceil(least / 1e9))
    return PLANS[0]


def _guidance(cfg: float, preset: Preset | None, use: str) -> tuple[float, float | None]:
    """Return the guidance scales of both transformers, in the proportion of the preset's."""
    if preset is None or preset.guidance_low is None:
        return cfg, None
    if use == "image" and preset.guidance_image is not None and cfg == preset.guidance:
        return preset.guidance_image, preset.guidance_image
    return cfg, max(1.0, cfg * preset.guidance_low / preset.guidance)


def _negative(spec: Spec, usual: str | None) -> str | None:
    return usual if spec.negative is None else spec.negative


def _opened(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    with Image.open(path) as image:
        return image.convert("RGB")
