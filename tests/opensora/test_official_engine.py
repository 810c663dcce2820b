"""The engine of the official models, with checkpoints in miniature, on the CPU."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from inference.device_errors import diagnose  # noqa: E402
from inference.domain.errors import EngineError  # noqa: E402
from inference.domain.spec import Aspect  # noqa: E402
from inference.engines.base import Inputs, Monitor  # noqa: E402
from inference.engines.memory_plan import Saving  # noqa: E402
from inference.engines.opensora_adapter.engine import OpenSoraEngine  # noqa: E402
from inference.engines.opensora_adapter.stages import Loaded, ModelVariant  # noqa: E402
from inference.engines.registry import Models  # noqa: E402
from inference.engines.weights import I2V, OPENSORA, T2V_360P, T2V_720P, VAE  # noqa: E402
from inference.opensora import checkpoint  # noqa: E402
from inference.opensora.files import CheckpointError, checkpoint_path  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402
from inference.opensora.pipeline import ClipRequest, OpenSoraPipeline  # noqa: E402
from inference.opensora.weight_swap import Resident  # noqa: E402
from tests.fakes.models import MODELS  # noqa: E402
from tests.fakes.orders import a_spec  # noqa: E402
from tests.opensora import official  # noqa: E402

pytestmark = pytest.mark.model

ROUNDING = 3
"""In colours: random networks make more of the last bit than trained ones."""

SIZE = PixelSize(32, 32)
SPEC = a_spec(
    prompt="a red ball", model="opensora", aspect=Aspect.CLASSIC, frames=17, seed=3, steps=2
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    official.write(folder)
    return folder


def transformer(directory, part):
    return checkpoint.load_transformer(checkpoint_path(part.source, directory))


def load(directory):
    """Load the miniature as the product does, in fp32 on the CPU."""
    device = torch.device("cpu")
    network = transformer(directory, T2V_360P)
    resident = Resident(network, device, name=T2V_360P.source)
    for part in (T2V_720P, I2V):
        resident.add(part.source, transformer(directory, part))
    vae = checkpoint.load_vae(checkpoint_path(VAE.source, directory))
    text = checkpoint.load_text_encoder(checkpoint_path(OPENSORA[-1].source, directory))
    return Loaded(
        pipeline=OpenSoraPipeline(transformer=network, vae=vae, text_encoder=text),
        text=Resident(text.model, device),
        transformer=resident,
        vae=Resident(vae, device),
    )


def test_swapped_weights_give_what_separate_networks_give(directory):
    loaded = load(directory)
    network, pipeline = loaded.pipeline.transformer, loaded.pipeline
    blocks = list(network.modules())
    picture = Image.new("RGB", (32, 32), "orange")
    request = ClipRequest(prompt="a red ball", size=SIZE, frames=17, seed=1, steps=2)
    captions = pipeline.encode(request)

    for part, image in ((T2V_360P, None), (T2V_720P, None), (I2V, picture), (T2V_360P, None)):
        loaded.transformer.bring(part.source)
        swapped = pipeline.sample(request, captions, image=image)

        alone = OpenSoraPipeline(
            transformer=transformer(directory, part),
            vae=pipeline.vae,
            text_encoder=pipeline.text_encoder,
        )
        assert torch.equal(swapped, alone.sample(request, captions, image=image))
        assert all(a is b for a, b in zip(network.modules(), blocks, strict=True))


class Watched(OpenSoraEngine):
    """The engine on small clips, and what it loaded."""

    def __init__(self, loaded):
        super().__init__(
            ModelVariant(
                capabilities=MODELS.capabilities("nano"),
                plans_memory=False,  # these networks fit anywhere
                load=lambda _progress: loaded,
                size=lambda _spec: SIZE,
                weights=lambda spec, references: (
                    I2V.source
                    if references
                    else {"360p": T2V_360P, "720p": T2V_720P}[spec.resolution].source
                ),
            )
        )
        self.load(lambda *_: None)


def render(engine, spec=SPEC, **inputs):
    monitor = Monitor()
    chunks = [chunk.frames for chunk in engine.render(spec, Inputs(**inputs), monitor)]
    return np.concatenate(chunks), monitor.meter


def test_a_vae_without_a_map_for_previews_gets_one_from_its_first_clip(directory):
    engine = Watched(load(directory))
    stills = []

    def watch(_done, _total, still):
        stills.append(still and still())

    frames = [
        np.concatenate([chunk.frames for chunk in engine.render(SPEC, Inputs(), monitor)])
        for monitor in (Monitor(on_step=watch), Monitor(on_step=watch))
    ]

    first, second = stills[: SPEC.steps], stills[SPEC.steps :]
    assert first == [None] * SPEC.steps
    # the last estimate is the clip itself, which is the one that the map was fitted to
    shown = np.asarray(Image.fromarray(second[-1]).resize((32, 32)))
    drawn = np.asarray(Image.fromarray(frames[1][8]).resize((32, 32)))
    mean_error = np.abs(shown.astype(int) - drawn).mean()
    assert mean_error < np.abs(drawn - drawn.mean((0, 1))).mean()


@pytest.mark.slow
def test_an_image_teaches_the_map_for_previews_too(directory):
    stills = []
    engine, image = Watched(load(directory)), replace(SPEC, frames=1)
    for _ in range(2):
        monitor = Monitor(on_step=lambda _done, _total, still: stills.append(still))
        assert len(next(engine.render(image, Inputs(), monitor)).frames) == 1
    assert [still is None for still in stills] == [True, True, False, False]


def test_a_second_pass_takes_the_weights_for_continuing(directory):
    loaded = load(directory)
    frames, meter = render(Watched(loaded), replace(SPEC, loops=2, frames=33))

    assert len(frames) == replace(SPEC, loops=2, frames=33).total_frames
    assert loaded.transformer.ready(I2V.source)
    assert meter.seconds["swap"] > 0
    assert meter.seconds["sample"] > 0


def test_the_product_loads_the_checkpoints_of_its_directory(directory):
    engine = Models(directory=directory).create("opensora")
    reported = []
    engine.load(lambda done, _name: reported.append(done))
    assert reported == sorted(reported)
    assert reported[-1] == pytest.approx(1)


def test_a_missing_checkpoint_is_named(directory, tmp_path):
    engine = Models(directory=tmp_path).create("opensora")
    with pytest.raises(CheckpointError) as caught:
        engine.load(lambda *_: None)
    assert caught.value.params["source"] == T2V_360P.source


@pytest.mark.parametrize(
    "values", [{"compile": True}, {"attention_rows": -1}, {"attention_rows": 1.5}, {"speed": 1}]
)
def test_an_option_that_does_not_exist_is_refused(values):
    with pytest.raises(EngineError) as caught:
        Models({"opensora": values}).create("opensora")
    assert caught.value.code == "model.bad_option"


RAN_OUT = torch.OutOfMemoryError("CUDA out of memory")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
CUDNN = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


class RunsOut:
    """Stands before a method of a network and runs out of memory at some of its calls."""

    def __init__(self, method, *, calls, error=RAN_OUT):
        self.method, self.calls, self.error, self.count = method, calls, error, 0

    def __call__(self, *args, **kwargs):
        self.count += 1
        if self.count in self.calls:
            raise self.error
        return self.method(*args, **kwargs)


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("place", "call", "error"),
    [
        ("text", 1, CUBLAS),
        ("transformer", 2, RAN_OUT),
        ("decoder", 1, CUDNN),
        ("decoder", 2, RAN_OUT),
    ],
)
def test_a_stage_that_runs_out_of_memory_is_tried_again_with_less(directory, place, call, error):
    loaded = load(directory)
    engine = Watched(loaded)
    spec = replace(SPEC, frames=33)
    wanted, _ = render(engine, spec)
    network = {
        "text": loaded.pipeline.text_encoder.model,
        "transformer": loaded.pipeline.transformer.final_layer,
        "decoder": loaded.pipeline.vae.decoder,
    }[place]
    network.forward = RunsOut(network.forward, calls={call}, error=error)

    frames, _ = render(engine, spec)

    assert network.forward.count > call
    assert frames.shape == wanted.shape
    assert np.abs(frames.astype(int) - wanted).max() <= ROUNDING


@pytest.mark.parametrize("error", [RAN_OUT, CUBLAS, CUDNN], ids=str)
def test_memory_that_runs_out_while_loading_is_told_as_such_and_loading_tried_again(
    directory, monkeypatch, error
):
    engine = Models(directory=directory).create("opensora")
    with monkeypatch.context() as patched:
        patched.setattr(Resident, "bring", RunsOut(Resident.bring, calls={1}, error=error))
        with pytest.raises(type(error)) as caught:
            engine.load(lambda *_: None)
    assert diagnose(caught.value).code == "worker.out_of_memory"
    with pytest.raises(EngineError, match=r"model\.not_loaded"):
        next(engine.render(SPEC, Inputs(), Monitor()))
    engine.load(lambda *_: None)


def test_memory_that_runs_out_at_every_step_of_the_plan_fails_the_job_and_not_the_next(directory):
    loaded = load(directory)
    engine = Watched(loaded)
    wanted, _ = render(engine)
    decoder = loaded.pipeline.vae.decoder
    decoder.forward = RunsOut(decoder.forward, calls=set(range(1, len(Saving) + 1)))

    with pytest.raises(EngineError) as caught:
        render(engine)
    assert caught.value.code == "worker.out_of_memory"
    assert not caught.value.transient

    assert np.array_equal(render(engine)[0], wanted)


@pytest.mark.cases(1)
@pytest.mark.parametrize("times", range(1, len(Saving)))
@pytest.mark.slow
def test_memory_that_runs_out_is_answered_with_every_step_of_the_plan(directory, times):
    loaded = load(directory)
    engine = Watched(loaded)
    wanted, _ = render(engine)
    decoder = loaded.pipeline.vae.decoder
    decoder.forward = RunsOut(decoder.forward, calls=set(range(1, times + 1)))

    frames, _ = render(engine)

    assert np.abs(frames.astype(int) - wanted).max() <= ROUNDING


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["transformer", "decoder"])
@pytest.mark.cases(1)
def test_a_number_that_is_none_fails_the_render_and_keeps_no_latents(directory, place, bad):
    loaded = load(directory)
    engine = Watched(loaded)
    network = {
        "transformer": loaded.pipeline.transformer.final_layer,
        "decoder": loaded.pipeline.vae.decoder,
    }[place]
    network.register_forward_hook(lambda _module, _given, made: made * bad)
    kept, preview = [], engine._preview

    with pytest.raises(EngineError) as caught:
        list(engine.render(SPEC, Inputs(), Monitor(keep=kept.append)))

    assert (caught.value.code, caught.value.transient) == ("worker.not_finite", True)
    assert kept == [] or place == "decoder"
    assert engine._preview is preview


@pytest.mark.slow
def test_a_map_for_previews_that_cannot_be_fitted_fails_nothing_and_is_tried_anew(
    directory, monkeypatch
):
    engine = Watched(load(directory))
    with monkeypatch.context() as patched:
        patched.setattr(torch.linalg, "lstsq", lambda *_: (_ for _ in ()).throw(RuntimeError("no")))
        frames, _ = render(engine)
        assert engine._preview is None
    render(engine)
    assert len(frames) == SPEC.frames
    assert engine._preview.sound


@pytest.mark.slow
def test_every_saving_gives_the_same_clip(directory):
    engine = Watched(load(directory))
    wanted, _ = render(engine)
    for saving in Saving:
        engine._plan = lambda *_, saving=saving: saving
        frames, _ = render(engine)
        assert np.abs(frames.astype(int) - wanted).max() <= ROUNDING


def at_speed(speed, **changes):
    return replace(SPEC, options={**SPEC.options, "speed": speed}, **changes)


def rendered(engine, spec):
    """Return the frames, the notes and what the recipe will say instead."""
    instead = {}
    monitor = Monitor(instead=instead.__setitem__)
    chunks = list(engine.render(spec, Inputs(), monitor))
    return np.concatenate([chunk.frames for chunk in chunks]), chunks[0].notes, instead


def test_fast_is_balanced_and_says_so_where_the_device_has_no_fp8(directory):
    engine = Watched(load(directory))

    balanced = rendered(engine, at_speed("balanced", steps=9))
    fast = rendered(engine, at_speed("fast", steps=9))

    assert balanced[1:] == ((), {})
    assert fast[1:] == (("no_fp8",), {"speed": "balanced"})
    assert np.array_equal(fast[0], balanced[0])
    assert not np.array_equal(balanced[0], rendered(engine, at_speed("exact", steps=9))[0])


def test_clips_of_several_passes_skip_steps_in_each(directory):
    engine = Watched(load(directory))

    forwards = {
        speed: render(engine, at_speed(speed, steps=9, loops=2))[1].forwards
        for speed in ("exact", "balanced")
    }

    # without oscillation in nine steps: 2 branches each, then 3; the ramp ends at one of them less
    assert forwards["exact"] == 9 * 2 + 9 * 3 - 1
    assert forwards["balanced"] < forwards["exact"] * 0.85
