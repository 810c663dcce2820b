"""Evaluation of nano: renders prompts with its engine and measures the clips by their pixels.

    python -m benchmarks.training.evaluate            # the bundled weights
    python -m benchmarks.training.evaluate RUN/weights --scenes 26 --list

Every clip is rendered, watermarked, written as mp4 and read back before it is measured. The pairs
of thing and colour are held out from training.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.training import measure
from benchmarks.training.measure import Frames
from benchmarks.training.prompts import COUNT, NAMED, NEW_THINGS, Question, held_out, typed
from benchmarks.training.reporting import Report, say
from benchmarks.training.world.backgrounds import PLAIN, UNNAMED
from benchmarks.training.world.captions import plain
from benchmarks.training.world.scenes import HIDING, MOTION_LEVELS, Move, Scene, render
from benchmarks.training.world.shapes import OUTLINES
from inference.domain.reference import Prepared
from inference.domain.render import LATENTS_NAME
from inference.domain.spec import Aspect, Resolution, Spec
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import Inputs, Monitor
from inference.engines.built_in import NANO
from inference.engines.entry import ModelOptions
from inference.engines.geometry import SIZES
from inference.engines.opensora_adapter.models import nano, nano_from
from inference.media.encode import ClipWriter
from inference.media.watermark import Stamp
from inference.opensora.controls import Aesthetic, Camera
from inference.opensora.geometry import PixelSize
from inference.opensora.presets import NANO as PRESET

_FRAMES = 49
_LAST_FRAMES = 9
"""Frames at the end that a last picture changes: those of the last latents, and the transition."""

_ASPECT = Aspect.WIDE
_UNMARKED = 300
"""Rows of a frame above the watermark."""

_WORDS_ALONE = Inputs()
_DRAWN = PixelSize(360, 640)
_AXES = {
    Move.LEFT: "  left or right",
    Move.RIGHT: "  left or right",
    Move.UP: "  up or down",
    Move.DOWN: "  up or down",
}
_CAMERAS = tuple(camera for camera in Camera if camera is not Camera.NONE)
_UNKNOWN = (
    " while quixotic zorbles flumph near the vantablack gazebo",
    " under my grandmother's umbrella",
    ", bokeh, octane render, trending",
    " despite yesterday's election",
)
_FEW = 12
"""Most scenes for measurements that need several clips of each."""

_ASPECTS = ("colour", "place", "thing", "direction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the result table."""

    what: str
    value: str
    count: int
    """Number of clips or comparisons that it is based on."""


_OPTIONS = ModelOptions(capabilities=NANO.capabilities)


class Installation:
    """Renders clips as a job does, and reads them back from the file."""

    def __init__(self, weights: Path | None, folder: Path) -> None:
        """Load the engine.

        Args:
            weights: Folder of weights; None for the bundled ones.
            folder: Folder for clips.
        """
        self._engine = nano(_OPTIONS) if weights is None else nano_from(weights, NANO.capabilities)
        self._engine.load(lambda _done, _name: None)
        self._folder = folder

    def shoot(
        self, scene: Scene, *, inputs: Inputs = _WORDS_ALONE, prompt: str | None = None
    ) -> Frames:
        """Render a scene and return the frames of the mp4.

        Args:
            scene: The scene.
            inputs: Pictures for the first and last frame.
            prompt: Prompt; None for the plain caption of the scene.
        """
        return _read(self._render(_spec(scene, prompt), inputs, Monitor()))

    def file(self, scene: Scene) -> Path:
        """Render the plain caption of a scene to an mp4; the next call overwrites it."""
        return self._render(_spec(scene), _WORDS_ALONE, Monitor())

    def extend(self, scene: Scene) -> Frames:
        """Render a scene, extend the clip, and return the frames of the result."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which aspects of a question its clip shows."""

    question: Question
    right: frozenset[str]
    """Aspects that match the question."""


def evaluate(
    installation: Installation, *, scenes: int, folder: Path, report: Report | None = None
) -> Iterator[Line]:
    """Run all measurements, yielding rows as they are completed.

    Args:
        installation: Renders the clips.
        scenes: Number of held-out prompts, from which all other numbers follow.
        folder: Folder for reference pictures.
        report: Receives each prompt with its seed and result.
    """
    judge = partial(_judged, installation, report=report)
    asked = held_out(scenes)
    verdicts = [judge(question) for question in asked]
    yield from _table(verdicts)
    yield _right("unknown words harmless", _unknown_words(verdicts, judge))
    said = [judge(question) for question in typed()[:scenes]]
    for aspect in _ASPECTS:
        yield _right(f"as people type it: {aspect}", _having(said, aspect))
    moving = [question.scene for question in asked]
    half = moving[: max(scenes // 2, 1)]
    filmed = [_filmed(scene, number) for number, scene in enumerate(half)]
    found = [measure.camera_of(installation.shoot(scene)) is scene.camera for scene in filmed]
    yield _right("camera", found)
    few = moving[: max(min(scenes // 4, _FEW), 1)]
    yield _motion_levels(installation, few)
    yield _aesthetic_levels(installation, few)
    yield from _given_frames(installation, few, folder)
    yield _joints(installation, few)
    again = [installation.file(moving[0]).read_bytes() for _ in range(2)]
    yield _right("same seed, same bytes", [again[0] == again[1]])


def _judged(
    installation: Installation, question: Question, *, report: Report | None = None
) -> Verdict:
    """Render a question's clip and return which aspects match."""
    scene = question.scene
    frames = installation.shoot(scene, prompt=question.prompt)
    shown = {
        "colour": measure.colour_of_thing(frames, scene.place) == scene.colour,
        "place": measure.place_of(frames) == scene.place,
        "thing": measure.thing_of(frames, scene.colour, scene.place) == scene.thing,
        "direction": measure.direction_of(frames, scene.colour) is scene.move,
    }
    right = frozenset(aspect for aspect, is_right in shown.items() if is_right)
    if report:
        wrong = ", ".join(aspect for aspect in _ASPECTS if aspect not in right)
        report(f"  {scene.seed} {question.prompt}: {'wrong ' + wrong if wrong else 'right'}")
    return Verdict(question=question, right=right)


def _having(verdicts: Iterable[Verdict], aspect: str) -> list[bool]:
    return [aspect in verdict.right for verdict in verdicts]


def _table(verdicts: list[Verdict]) -> Iterator[Line]:
    """Yield rows with the share of matches, by what was asked."""

    def those(what: str, aspect: str, field: str, asked: Container[str]) -> Line:
        chosen = [one for one in verdicts if getattr(one.question.scene, field) in asked]
        return _right(what, _having(chosen, aspect))

    yield _right("colour", _having(verdicts, "colour"))
    yield _right("thing", _having(verdicts, "thing"))
    yield those("  first 14 things", "thing", "thing", OUTLINES.keys() - NEW_THINGS)
    yield those("  12 new things", "thing", "thing", NEW_THINGS)
    yield _right("direction", _having(verdicts, "direction"))
    for axis in dict.fromkeys(_AXES.values()):
        along = frozenset(move for move in _AXES if _AXES[move] == axis)
        yield those(axis, "direction", "move", along)
    yield those("place", "place", "place", NAMED)
    yield those("plain background", "place", "place", PLAIN)
    yield those("no background named", "place", "place", {UNNAMED})


def _unknown_words(verdicts: list[Verdict], judge: Callable[[Question], Verdict]) -> list[bool]:
    """Return whether matching aspects still match with unknown words in the prompt."""
    answers = []
    for number, before in enumerate(verdicts):
        question = before.question
        odd = question.prompt + _UNKNOWN[number % len(_UNKNOWN)]
        answers.append(before.right <= judge(replace(question, prompt=odd)).right)
    return answers


def _filmed(scene: Scene, number: int) -> Scene:
    """Return a scene with a still thing and a moving camera, in a place where that is visible."""
    places = (NAMED[(number + step) % len(NAMED)] for step in range(len(NAMED)))
    place = next(one for one in places if (scene.colour, one) not in HIDING)
    camera = _CAMERAS[number % len(_CAMERAS)]
    return replace(scene, move=Move.STILL, camera=camera, place=place)


def _motion_levels(installation: Installation, scenes: list[Scene]) -> Line:
    """Measure the rank correlation of the motion level and the change between frames."""
    correlations = []
    for scene in scenes:
        shots = (installation.shoot(replace(scene, motion=motion)) for motion in MOTION_LEVELS)
        changes = [measure.liveliness(frames) for frames in shots]
        ranks = np.argsort(np.argsort(changes))
        correlations.append(float(np.corrcoef(ranks, np.arange(len(MOTION_LEVELS)))[0, 1]))
    clips = len(scenes) * len(MOTION_LEVELS)
    return Line(what="motion levels, Spearman", value=f"{np.mean(correlations):.2f}", count=clips)


def _aesthetic_levels(installation: Installation, scenes: list[Scene]) -> Line:
    """Compare the saturation of the best and the worst aesthetic level."""
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
    """Compare first and last frames with their reference pictures, and measure the transitions."""
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
    """Compare the change at the joint of extended clips with that between other frames."""
    joint = slice(_FRAMES - 2, _FRAMES)
    margins = [_margin(installation.extend(scene), joint) for scene in scenes]
    return _mean("joint of Extend against median, dB", margins)


def _margin(frames: Frames, where: slice) -> float:
    """Return the PSNR of the largest change between frames in a range, minus the clip's median."""
    pairs = pairwise(frames[:, :_UNMARKED])
    steps = [measure.psnr(one, other) for one, other in pairs]
    return min(steps[where]) - float(np.median(steps))


def _small(frame: Frames) -> Frames:
    """Scale frames to the model's size, to leave out details that it cannot draw."""
    return np.asarray(Image.fromarray(frame).resize((112, 64), Image.Resampling.BOX))


def _mean(what: str, values: list[float]) -> Line:
    return Line(what=what, value=f"{np.mean(values):.1f}", count=len(values))


def _right(what: str, answers: list[bool]) -> Line:
    share = f"{sum(answers)} ({100 * sum(answers) / max(len(answers), 1):.0f} %)"
    return Line(what=what, value=share, count=len(answers))


def _spec(scene: Scene, prompt: str | None = None) -> Spec:
    return Spec(
        prompt=plain(scene).prompt if prompt is None else prompt,
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
    """Run the evaluation from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path, nargs="?", help="a folder; without, what ships")
    parser.add_argument("--scenes", type=int, default=COUNT, help="held-out prompts")
    parser.add_argument("--list", action="store_true", help="show each prompt with its seed")
    options = parser.parse_args()
    report = say if options.list else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installation = Installation(options.weights, folder)
        table = evaluate(installation, scenes=options.scenes, folder=folder, report=report)
        for line in table:
            say(f"{line.what:36} {line.value:>14} of {line.count}")


if __name__ == "__main__":
    main()
