"""What every engine must do, run on each of them. A new engine joins with a line in ENGINES."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.domain.errors import Cancelled, EngineError
from inference.domain.reference import Prepared
from inference.domain.spec import Mode, Size, Spec
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.registry import Models
from tests.fakes.models import MODELS

pytestmark = pytest.mark.deep


@dataclass(frozen=True)
class Case:
    """An engine and the options that make it quick."""

    model: str
    options: dict[str, Any] = field(default_factory=dict)


ENGINES = [
    pytest.param(Case("testcard", {"step_seconds": 0}), id="testcard"),
    pytest.param(Case("nano"), id="nano", marks=pytest.mark.model),
]


def ignore(*_):
    pass


@pytest.fixture(params=ENGINES, scope="module")
def case(request):
    return request.param


@pytest.fixture(scope="module")
def capabilities(case):
    return MODELS.capabilities(case.model)


@pytest.fixture(scope="module")
def engine(case):
    if case.model != "testcard":
        pytest.importorskip("torch")
    engine = Models({case.model: case.options}).create(case.model)
    engine.load(ignore)
    return engine


@pytest.fixture
def spec(case, capabilities):
    """The smallest clip the model makes."""
    return Spec(
        prompt="a red fox running through snow",
        model=case.model,
        resolution=capabilities.resolutions[0],
        aspect=capabilities.aspects[0],
        frames=next(frames for frames in capabilities.lengths if frames > 1),
        options={"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
        refine=False,
        seed=42,
        steps=3,
        cfg=7.0,
        loops=1,
    )


NOTHING = Inputs()


class Render:
    """One render, chunk by chunk, with the steps it reported."""

    def __init__(self, engine, spec, inputs=NOTHING, *, cancel_at=None):
        self.steps = []
        self.token = CancelToken()
        self._cancel_at = cancel_at
        self.kept = []
        self.stills = []
        self.monitor = Monitor(on_step=self._on_step, cancel=self.token, keep=self.kept.append)
        self.chunks = engine.render(spec, inputs, self.monitor)

    def _on_step(self, done, total, still):
        self.steps.append((done, total))
        if still is not None:
            self.stills.append(still())
        if done == self._cancel_at:
            self.token.cancel()

    def frames(self):
        return np.concatenate([chunk.frames for chunk in self.chunks])


def test_frames_have_the_announced_count_size_and_type(engine, spec, capabilities):
    frames = Render(engine, spec).frames()

    size = capabilities.sizes[spec.resolution, spec.aspect]
    assert frames.shape == (spec.frames, size.height, size.width, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 1


def test_an_image_is_one_frame(engine, spec, capabilities):
    if Mode.TEXT_TO_IMAGE not in capabilities.modes:
        pytest.skip("this model makes no images")

    assert len(Render(engine, replace(spec, frames=1)).frames()) == 1


@pytest.mark.cases(1)
def test_chunks_handed_over_are_not_written_to_any_more(engine, spec):
    chunks, copies = [], []
    for chunk in Render(engine, spec).chunks:
        chunks.append(chunk.frames)
        copies.append(chunk.frames.copy())

    assert all((chunk == copy).all() for chunk, copy in zip(chunks, copies, strict=True))


@pytest.mark.cases(1)
def test_steps_are_counted_up_to_the_total(engine, spec):
    render = Render(engine, spec)
    render.frames()

    total = len(render.steps)
    assert render.steps == [(done, total) for done in range(1, total + 1)]
    assert total >= 1


@pytest.mark.cases(1)
def test_the_same_seed_gives_the_same_frames(engine, spec):
    assert (Render(engine, spec).frames() == Render(engine, spec).frames()).all()


@pytest.mark.parametrize("cancel_at", [1, 2])
def test_cancelling_stops_within_a_step(engine, spec, cancel_at):
    render = Render(engine, spec, cancel_at=cancel_at)

    with pytest.raises(Cancelled):
        render.frames()
    assert len(render.steps) <= cancel_at + 1


def test_a_render_cancelled_beforehand_takes_no_step(engine, spec):
    render = Render(engine, spec)
    render.token.cancel()

    with pytest.raises(Cancelled):
        render.frames()
    assert len(render.steps) <= 1


@pytest.mark.cases(1)
def test_a_cancelled_render_leaves_the_engine_usable(engine, spec):
    with pytest.raises(Cancelled):
        Render(engine, spec, cancel_at=1).frames()

    assert len(Render(engine, spec).frames()) == spec.frames


def test_loading_twice_is_allowed(engine):
    engine.load(ignore)


def test_the_data_beside_the_engine_is_consistent(case, capabilities):
    assert capabilities.name == case.model
    assert case.model in MODELS.names()
    assert list(capabilities.lengths) == sorted(set(capabilities.lengths))
    assert (1 in capabilities.lengths) == (Mode.TEXT_TO_IMAGE in capabilities.modes)
    for resolution in capabilities.resolutions:
        for aspect in capabilities.aspects:
            size = capabilities.sizes[resolution, aspect]
            assert isinstance(size, Size)
            assert size.width % 2 == size.height % 2 == 0
            wide, high = map(int, aspect.split(":"))
            assert size.width / size.height == pytest.approx(wide / high, rel=0.05)


@pytest.mark.cases(1)
def test_loops_make_one_clip_of_the_announced_length(engine, spec):
    assert len(Render(engine, replace(spec, loops=2, steps=1)).frames()) == 2 * spec.frames - 17


@pytest.mark.cases(1)
def test_stills_are_small_pictures_of_the_clip(engine, spec, capabilities):
    render = Render(engine, spec)
    render.frames()

    for still in render.stills:
        assert still.dtype == np.uint8
        assert still.shape[2] == 3
        size = capabilities.sizes[spec.resolution, spec.aspect]
        assert still.shape[1] / still.shape[0] == pytest.approx(size.width / size.height, rel=0.05)


@pytest.mark.cases(1)
def test_what_it_cost_is_measured(engine, spec):
    render = Render(engine, spec)
    render.frames()

    meter = render.monitor.meter
    assert {"sample", "decode"} <= set(meter.seconds)
    assert min(meter.seconds.values()) >= 0
    assert meter.forwards >= len(render.steps)


@pytest.mark.cases(2)
def test_a_clip_goes_on_from_what_was_kept(engine, spec, capabilities, tmp_path):
    if not capabilities.extends:
        pytest.skip("this model keeps nothing")
    first = Render(engine, spec)
    frames = first.frames()
    (kept,) = first.kept
    (tmp_path / "latents.bin").write_bytes(kept)

    more = replace(spec, seed=43, latents=Prepared("latents.bin"), after_frames=spec.frames)
    longer = Render(engine, more, Inputs(latents=tmp_path / "latents.bin"))
    extended = longer.frames()

    assert len(extended) == more.total_frames == 2 * spec.frames - 17
    before = extended[: spec.frames].astype(float)
    assert psnr(before[::8], frames[::8]) > 25, "the clip begins as it did"
    assert len(longer.kept) == 1, "and can be extended again"


def test_what_cannot_be_gone_on_from_is_said(engine, spec, capabilities, tmp_path):
    if not capabilities.extends:
        pytest.skip("this model keeps nothing")
    path = tmp_path / "latents.bin"
    path.write_bytes(b"not latents")

    with pytest.raises(EngineError, match=r"latents\.unreadable"):
        Render(engine, replace(spec, latents=Prepared(path.name)), Inputs(latents=path)).frames()


def test_of_an_image_nothing_is_kept(engine, spec, capabilities):
    if Mode.TEXT_TO_IMAGE not in capabilities.modes:
        pytest.skip("this model makes no images")
    render = Render(engine, replace(spec, frames=1))
    render.frames()

    assert render.kept == []


@pytest.mark.cases(1)
def test_a_clip_ends_with_its_last_image(engine, spec, capabilities, tmp_path):
    if not capabilities.last_image:
        pytest.skip("this model has no way to")
    paths = {}
    for name, colour in {"image": (40, 80, 230), "last": (230, 30, 30)}.items():
        paths[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (640, 360), colour).save(paths[name])
    spec = replace(spec, image=Prepared("image.png"), last=Prepared("last.png"))

    frames = Render(engine, spec, Inputs(**paths)).frames()
    alone = Render(engine, replace(spec, last=None), Inputs(image=paths["image"])).frames()

    wanted = np.asarray(Image.open(paths["last"]))
    assert psnr(frames[-1], wanted) > psnr(alone[-1], wanted)


def psnr(frames, others):
    return 10 * np.log10(255**2 / max(((frames.astype(float) - others) ** 2).mean(), 1e-9))
