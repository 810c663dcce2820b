"""A model from elsewhere: flat colours, in lengths and sizes that no built-in model has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inference.domain.capabilities import (
    Capabilities,
    Cost,
    Lengths,
    ModelOption,
    Numbers,
    OptionKind,
)
from inference.domain.spec import Aspect, Mode, Resolution, Size
from inference.engines.base import FrameChunk
from inference.engines.entry import ModelEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.domain.spec import Spec
    from inference.engines.base import Inputs, Monitor, ProgressCallback
    from inference.engines.entry import ModelOptions

SIZES = {
    (Resolution.P540, Aspect.WIDE): Size(960, 540),
    (Resolution.P540, Aspect.TALL): Size(540, 960),
    (Resolution.P1080, Aspect.WIDE): Size(1920, 1080),
}

PAINT = ModelOption(
    name="paint",
    kind=OptionKind.CHOICE,
    choices=("red", "green", "deep blue"),
    default="red",
    texts={"en": "Colour of everything", "ko": "모든 것의 색"},
)

SHINE = ModelOption(
    name="shine",
    kind=OptionKind.NUMBER,
    lowest=0,
    highest=1,
    default=0.5,
    advanced=True,
    texts={"en": "How bright it ends"},
)

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "deep blue": (0, 0, 160)}


class Painter:
    """The engine."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Load nothing."""
        on_progress(1.0, "toy")

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield frames of one colour that grows brighter."""
        size = SIZES[spec.resolution, spec.aspect]
        colour = np.array(COLOURS[str(spec.options["paint"])])
        for step in range(1, spec.steps + 1):
            monitor.cancel.raise_if_cancelled()
            monitor.on_step(step, spec.steps, None)
        for number in range(spec.frames):
            monitor.cancel.raise_if_cancelled()
            light = float(spec.options["shine"]) * (number + 1) / spec.frames
            frame = np.full((1, size.height, size.width, 3), colour * light)
            yield FrameChunk(frames=frame.astype(np.uint8))


def make(_options: ModelOptions) -> Painter:
    """Make the engine."""
    return Painter()


ENTRY = ModelEntry(
    capabilities=Capabilities(
        name="toy",
        title="Toy",
        sizes=SIZES,
        lengths=Lengths.rule(offset=2, step=5, shortest=7, longest=252, image=False),
        modes=frozenset({Mode.TEXT_TO_VIDEO}),
        cost=Cost(load_seconds=0.1, fixed_seconds=0.1, seconds_per_megapixel_frame_step=0.001),
        steps=Numbers(lowest=1, highest=8, default=2),
        cfg=Numbers.fixed(1),
        options=(PAINT, SHINE),
        defaults={"resolution": "540p", "frames": 12},
        file_fps=25,
    ),
    factory=make,
    needs_card=False,
    uses_torch=False,
)
