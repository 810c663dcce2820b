"""How well nano does what it is asked: prompts through the product's engine, answers from pixels.

    python -m benchmarks.training.evaluate            # the weights that ship
    python -m benchmarks.training.evaluate RUN/weights --scenes 48

Every clip is rendered by the engine, marked, written as mp4 and read back before it is measured.
The pairs of thing and colour are those that training never shows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.training import measure
from benchmarks.training.measure import Frames
from benchmarks.training.reporting import say
from inference.domain.reference import Prepared
from inference.domain.render import LATENTS_NAME
from inference.domain.spec import Aspect, Resolution, Spec
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import Inputs, Monitor
from inference.engines.built_in import NANO
from inference.engines.entry import ModelOptions
from inference.engines.geometry import SIZES
from inference.engines.opensora.models import nano, nano_from
from inference.media.encode import ClipWriter
from inference.media.watermark import Stamp
from inference.nano.captions import draw_scene, plain
from inference.nano.scenes import MOTION_LEVELS, STRAIGHT_MOVES, Move, Scene, render
from inference.opensora.controls import Aesthetic, Camera, Motion
from inference.opensora.geometry import PixelSize
from inference.opensora.presets import NANO as PRESET

_FRAMES = 49
_LAST_FRAMES = 9
"""What the last latents stand for, and the way there."""

_ASPECT = Aspect.WIDE
_UNMARKED = 300
"""Rows without the watermark."""

_WORDS_ALONE = Inputs()
_DRAWN = PixelSize(360, 640)
_AXES = {
    Move.LEFT: "  left or right",
    Move.RIGHT: "  left or right",
    Move.UP: "  up or down",
    Move.DOWN: "  up or down",
}
_CAMERAS = tuple(camera for camera in Camera if camera is not Camera.NONE)
_UNKNOWN = " while quixotic zorbles flumph near the vantablack gazebo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table."""

    what: str
    value: str
    count: int
    """How many clips or comparisons it stands on."""


_OPTIONS = ModelOptions(capabilities=NANO.capabilities)


class Installation:
    """Makes clips the way a job does, and reads them back from the file."""

    def __init__(self, weights: Path | None, folder: Path) -> None:
        """Load the engine.

        Args:
            weights: None for the ones that ship.
            folder: For clips.
        """
        self._engine = nano(_OPTIONS) if weights is None else nano_from(weights)
        self._engine.load(lambda _done, _name: None)
        self._folder = folder

    def shoot(self, scene: Scene, *, inputs: Inputs = _WORDS_ALONE, extra: str = "") -> Frames:
        """Render the plain caption of a scene and return the frames of the mp4.

        Args:
            scene: What to ask for.
            inputs: Pictures to begin or end with.
            extra: Words after the caption.
        """
        return _read(self._render(_spec(scene, extra), inputs, Monitor()))

    def file(self, scene: Scene) -> Path:
        """Render the plain caption of a scene to an mp4, which the next call overwrites."""
        return self._render(_spec(scene), _WORDS_ALONE, Monitor())

    def extend(self, scene: Scene) -> Frames:
        """Render a scene, go on from the end of the clip, and return the frames of the result."""
        kept = self._folder / LATENTS_NAME
        spec = _spec(scene)

        def keep(latents: bytes) -> None:
            kept.write_bytes(latents)

        self._render(spec, _WORDS_ALONE, Monitor(keep=keep))
        longer = replace(
            spec, seed=spec.seed + 1, latents=Prepared(LATENTS_NAME), after_frames=_FRAMES
        )
        return _read(self._render(longer, Inputs(latents=kept), Monitor()))

    def _render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Path:
        size = SIZES[Resolution.P360, _ASPECT]
        path = self._folder / "clip.mp4"
        writer = ClipWriter(path, size, {}, Stamp.draw(WatermarkSettings(), size), fps=24)
        with writer:
            for chunk in self._engine.render(spec, inputs, monitor):
                writer.write(chunk)
        return path


def _read(path: Path) -> Frames:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)


def evaluate(installation: Installation, *, scenes: int, folder: Path) -> Iterator[Line]:
    """Measure everything, yielding lines as they are known.

    Args:
        installation: Makes the clips.
        scenes: How many prompts for thing, colour, place and direction; the rest follows from it.
        folder: For reference pictures.
    """
    random = np.random.default_rng(1)
    drawn = [draw_scene(random, held_out=True) for _ in range(scenes)]
    drawn = [
        replace(scene, motion=Motion.FAIR, aesthetic=Aesthetic.EXCELLENT, camera=Camera.NONE)
        for scene in drawn
    ]
    moving = [replace(scene, move=STRAIGHT_MOVES[i % 4]) for i, scene in enumerate(drawn)]
    half = max(scenes // 2, 1)
    answers = _subjects(installation, moving)
    for what, right in answers.items():
        yield _right(what, right)
    yield _right("colour, first half", answers["colour"][:half])
    yield _right("  with unknown words", _unknown_words(installation, moving[:half]))
    filmed = [
        replace(scene, move=Move.STILL, camera=_CAMERAS[i % len(_CAMERAS)])
        for i, scene in enumerate(drawn[:half])
    ]
    found = [measure.camera_of(installation.shoot(scene)) is scene.camera for scene in filmed]
    yield _right("camera", found)
    quarter = moving[: max(scenes // 4, 1)]
    yield _motion_levels(installation, quarter)
    yield _aesthetic_levels(installation, quarter)
    yield from _given_frames(installation, quarter, folder)
    yield _joints(installation, quarter)
    again = [installation.file(moving[0]).read_bytes() for _ in range(2)]
    yield _right("same seed, same bytes", [again[0] == again[1]])


def _subjects(installation: Installation, scenes: list[Scene]) -> dict[str, list[bool]]:
    """Tell by what is asked whether each scene shows it."""
    answers: dict[str, list[bool]] = {
        name: [] for name in ("colour", "place", "thing", "direction", *_AXES.values())
    }
    for scene in scenes:
        frames = installation.shoot(scene)
        right = measure.direction_of(frames, scene.colour) is scene.move
        answers["colour"].append(measure.colour_of_thing(frames, scene.place) == scene.colour)
        answers["place"].append(measure.place_of(frames) == scene.place)
        answers["thing"].append(measure.thing_of(frames, scene.colour, scene.place) == scene.thing)
        answers["direction"].append(right)
        answers[_AXES[scene.move]].append(right)
    return answers


def _unknown_words(installation: Installation, scenes: list[Scene]) -> list[bool]:
    """Tell whether colours are right in spite of words that nobody has ever seen."""
    shots = (installation.shoot(scene, extra=_UNKNOWN) for scene in scenes)
    return [
        measure.colour_of_thing(frames, scene.place) == scene.colour
        for frames, scene in zip(shots, scenes, strict=True)
    ]


def _motion_levels(installation: Installation, scenes: list[Scene]) -> Line:
    """Rank correlation of the asked level and what changes from frame to frame."""
    correlations = []
    for scene in scenes:
        shots = (installation.shoot(replace(scene, motion=motion)) for motion in MOTION_LEVELS)
        changes = [measure.liveliness(frames) for frames in shots]
        ranks = np.argsort(np.argsort(changes))
        correlations.append(float(np.corrcoef(ranks, np.arange(len(MOTION_LEVELS)))[0, 1]))
    clips = len(scenes) * len(MOTION_LEVELS)
    return Line(what="motion levels, Spearman", value=f"{np.mean(correlations):.2f}", count=clips)


def _aesthetic_levels(installation: Installation, scenes: list[Scene]) -> Line:
    """Compare the saturation of the best and the worst level."""
    ratios = []
    for scene in scenes:
        worst, best = (
            measure.saturation(installation.shoot(replace(scene, aesthetic=level)))
            for level in (Aesthetic.TERRIBLE, Aesthetic.EXCELLENT)
        )
        ratios.append(best / max(worst, 1e-9))
    value = f"{np.median(ratios):.2f} x"
    return Line(what="saturation, excellent to terrible", value=value, count=len(ratios))


def _given_frames(installation: Installation, scenes: list[Scene], folder: Path) -> Iterator[Line]:
    """Compare pictures that clips were to begin and end with, and how smoothly they get there."""
    first, last, margins = list[float](), list[float](), list[float]()
    begin, end = (folder / f"{name}.png" for name in ("begin", "end"))
    for scene in scenes:
        drawn = render(scene, _DRAWN, _FRAMES)
        Image.fromarray(drawn[0]).save(begin)
        Image.fromarray(drawn[-1]).save(end)
        frames = installation.shoot(scene, inputs=Inputs(image=begin))
        first.append(measure.psnr(_small(frames[0]), _small(drawn[0])))
        frames = installation.shoot(scene, inputs=Inputs(image=begin, last=end))
        last.append(measure.psnr(_small(frames[-1]), _small(drawn[-1])))
        margins.append(_margin(frames, slice(-_LAST_FRAMES, None)))
    yield _mean("first frame, PSNR in dB", first)
    yield _mean("last frame, PSNR in dB", last)
    yield _mean("worst step to it against median, dB", margins)


def _joints(installation: Installation, scenes: list[Scene]) -> Line:
    """Compare the step at the joint of an extended clip with those between other frames."""
    joint = slice(_FRAMES - 2, _FRAMES)
    margins = [_margin(installation.extend(scene), joint) for scene in scenes]
    return _mean("joint of Extend against median, dB", margins)


def _margin(frames: Frames, where: slice) -> float:
    """PSNR of the worst step from frame to frame in some place, less the median of all steps."""
    pairs = pairwise(frames[:, :_UNMARKED])
    steps = [measure.psnr(one, other) for one, other in pairs]
    return min(steps[where]) - float(np.median(steps))


def _small(frame: Frames) -> Frames:
    """Scale to the model's own size: what it cannot draw is not held against it."""
    return np.asarray(Image.fromarray(frame).resize((112, 64), Image.Resampling.BOX))


def _mean(what: str, values: list[float]) -> Line:
    return Line(what=what, value=f"{np.mean(values):.1f}", count=len(values))


def _right(what: str, answers: list[bool]) -> Line:
    share = f"{sum(answers)} ({100 * sum(answers) / max(len(answers), 1):.0f} %)"
    return Line(what=what, value=share, count=len(answers))


def _spec(scene: Scene, extra: str = "") -> Spec:
    return Spec(
        prompt=plain(scene).prompt + extra,
        model=NANO.capabilities.name,
        resolution=Resolution.P360,
        aspect=_ASPECT,
        frames=_FRAMES,
        refine=False,
        seed=scene.seed,
        steps=PRESET.steps,
        cfg=PRESET.guidance,
        loops=1,
        options={
            "motion": scene.motion.value,
            "aesthetic": scene.aesthetic.value,
            "camera": scene.camera.value,
            "fps": 24,
        },
    )


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path, nargs="?", help="a folder; without, what ships")
    parser.add_argument("--scenes", type=int, default=24, help="held-out prompts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installation = Installation(options.weights, folder)
        for line in evaluate(installation, scenes=options.scenes, folder=folder):
            say(f"{line.what:36} {line.value:>14} of {line.count}")


if __name__ == "__main__":
    main()
