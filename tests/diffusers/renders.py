"""Rendering with tiny models in tests."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image

from inference.diffusers_pipelines.call import ClipRequest
from inference.diffusers_pipelines.memory_plan import PLANS
from inference.diffusers_pipelines.pipeline import Settings, VideoModel
from inference.diffusers_pipelines.pipeline_run import Hooks
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from tests.diffusers.tiny_models import FRAMES, SIDE

STEPS = 3


class Stop(Exception):
    """Raised where a person cancels."""


def load(folder, settings=None, device="cpu"):
    model = VideoModel(inspect_folder(folder), torch.device(device), settings or Settings())
    model.load(lambda *_: None)
    return model


def picture(colour="red", size=(50, 40)):
    return Image.new("RGB", size, colour)


def request(name, **changes):
    """The smallest clip of a model."""
    side = SIDE.get(name, 16)
    made = ClipRequest(
        prompt="a red ball",
        width=side,
        height=side,
        frames=FRAMES.get(name, 9),
        fps=24,
        steps=STEPS,
        guidance=4.0,
        seed=7,
        image=picture() if name.endswith("image") else None,
    )
    return replace(made, **changes)


@dataclass
class Seen:
    """What one render reported and returned."""

    frames: np.ndarray
    steps: list = field(default_factory=list)
    stills: list = field(default_factory=list)
    pieces: list = field(default_factory=list)
    forwards: int = 0

    @property
    def sound(self):
        return self.pieces[0].sound


def render(model, wanted, *, check=lambda: None, on_step=lambda _done: None, plan=PLANS[0]):
    seen = Seen(np.empty(0))

    def step(done, total, still):
        seen.steps.append((done, total))
        if still is not None:
            with suppress(ValueError):  # the latents are not finite
                seen.stills.append(still())
        on_step(done)

    def forwards(count):
        seen.forwards += count

    hooks = Hooks(on_step=step, check=check, on_forwards=forwards)
    seen.pieces = list(model.render(wanted, plan, hooks))
    seen.frames = np.concatenate([piece.frames for piece in seen.pieces])
    return seen
