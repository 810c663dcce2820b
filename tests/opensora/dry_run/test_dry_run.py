"""What the engine of the official models does on a GPU, without one."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from inference.domain.spec import Resolution  # noqa: E402
from inference.engines import memory_plan  # noqa: E402
from inference.engines.built_in import OPENSORA_FOOTPRINT  # noqa: E402
from inference.engines.memory_plan import (  # noqa: E402
    ClipShape,
    Saving,
    decoding_bytes,
    peak_bytes,
    sampling_bytes,
)
from inference.opensora import sampler  # noqa: E402
from inference.opensora.controls import Speed  # noqa: E402
from inference.opensora.geometry import official_size  # noqa: E402
from inference.opensora.networks import convolution, transformer  # noqa: E402
from tests.fakes.models import MODELS  # noqa: E402
from tests.opensora.dry_run import card  # noqa: E402
from tests.opensora.dry_run.engine import (  # noqa: E402
    FULL,
    DryEngine,
    case,
    dry_vae,
)

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(card.missing() is not None, reason=str(card.missing())),
]

CASES = {
    "text": (case(negative="dull and grey"), Saving.RESIDENT),
    "image": (case(frames=1), Saving.TEXT_ASIDE),
    "fast": (case(steps=3, speed=Speed.FAST), Saving.RESIDENT),
    "between": (case(image=True, last=True), Saving.SEQUENTIAL),
    "longer": (case(latents="x", after_frames=49, loops=2, steps=6), Saving.ALONE),
}
"""A render of each kind, each with another saving."""

SLOW = ("between", "longer")

ASKED = {
    "local_scalar_dense: fp8.is_supported": "once, whether the GPU multiplies FP8",
    "upload: text.TextEncoder.encode": "the words of a prompt",
    "upload: vae.VideoVae._statistics": "once for each picture and clip",
    "upload: vae.VideoVae.moments.<locals>.<listcomp>.<listcomp>": "a given picture",
    "download: pipeline.OpenSoraPipeline._latent": "a given picture",
    "upload: transformer.STDiT3.prepare": "once for each pass",
    "upload: attention.TextContext.build": "lengths of two prompts, once for each pass",
    "upload: sampler.Sampler.run": "given frames, once for each pass",
    "download: pipeline.OpenSoraPipeline.sample": "the end of one pass for the next",
    "upload: pipeline.OpenSoraPipeline.sample": "the beginning, before the next pass",
    "download: preview.LatentPreview.still": "a preview, when somebody wants one",
    "is_nonzero: pipeline.OpenSoraPipeline.sample": "whether all numbers are finite, at the end",
    "synchronize: stages.RenderStages.sample": "for the time that the stage took",
    "synchronize: weight_swap.Resident.bring": "weights",
    "download: engine.OpenSoraEngine.render": "latents to keep",
    "is_nonzero: pipeline.OpenSoraPipeline.decode": "whether a chunk is finite",
    "download: pipeline.OpenSoraPipeline.decode": "the frames of a chunk",
}
"""Where the host has to wait for the GPU; nowhere once a step."""

BEFORE_STEPS = [wait for wait in ASKED if "sampler" in wait or "attention" in wait]
"""Where a wait could hide in a step."""

KERNELS = ["_add_gated", "_add_norm_modulate", "_norm_rotate", "_scaled", "_statistics"]

T5_NORM = "mul: text.TextEncoder.encode"
"""It computes in fp32, as its authors wanted."""


@pytest.fixture(autouse=True)
def no_room_for_graphs(monkeypatch):
    """None are recorded here, and room for them would hide a plan that is too small."""
    monkeypatch.setattr(memory_plan, "GRAPHS_BYTES", 0)


@pytest.fixture(scope="module")
def dry():
    return DryEngine()


@pytest.fixture(scope="module")
def with_kernels():
    """The engine on a card where Triton works."""
    pytest.importorskip("triton")
    return DryEngine(with_kernels=True)


def rendered(dry, wanted, saving):
    """Render with a saving on a card that holds what is planned with it, and no byte more."""
    dry.ledger.memory_bytes = peak_bytes(dry.footprint, wanted.shape, saving)
    return dry.render(wanted, saving)


def leaks(report):
    return report.leaks.keys() - {T5_NORM}


@pytest.mark.parametrize(
    "name",
    ["text", "image", "fast", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def test_every_kind_of_render_does_on_a_gpu_what_it_should(dry, name):
    wanted, saving = CASES[name]
    check(rendered(dry, wanted, saving), wanted)


@pytest.mark.parametrize(
    "name", ["image", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fast", "between"))]
)
def test_with_kernels_every_kind_of_render_does_so_too(with_kernels, name):
    wanted, saving = CASES[name]
    report = rendered(with_kernels, wanted, saving)
    check(report, wanted)
    assert sorted(report.launches) == KERNELS


def check(report, wanted):
    assert report.frames == wanted.spec.total_frames
    assert report.savings == []
    assert report.stills
    for stage, (size, where) in report.peaks.items():
        assert size <= report.planned[stage], f"{stage} in {where}"
    assert not report.waits.keys() - ASKED.keys()
    assert sum(report.waits[wait] for wait in BEFORE_STEPS) < wanted.spec.steps
    assert report.ahead == 1
    assert not leaks(report)
    assert not report.overlong


@functools.cache
def large_decoding(frames):
    """Decode a clip of 720p, so many frames at a time; return the ledger and the bytes it took."""
    with dry_vae(FULL) as (vae, ledger):
        weights = ledger.alive
        vae.work_in_slices(frames=frames, rows=1024)
        assert decoded(vae) == (1, 3, 17, 720, 1280)
        return ledger, ledger.peak - weights


IN_SLICES = [None, pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("frames", IN_SLICES)
def test_no_convolution_of_a_720p_clip_sees_more_than_its_kernels_can_count(frames):
    ledger, _ = large_decoding(frames)
    assert not ledger.overlong
    assert ledger.seconds["", "convolutions"] > 0


@pytest.mark.parametrize("frames", IN_SLICES)
def test_a_720p_clip_is_decoded_with_what_was_planned_and_hardly_less(frames):
    """Too little is a clip that fails; too much sets weights aside on a card that has room."""
    size = MODELS.capabilities("opensora").sizes[Resolution.P720, "16:9"]
    shape = ClipShape(size=size, frames=17, total_frames=17, references=False)
    plain = replace(OPENSORA_FOOTPRINT, fused=False)
    planned = decoding_bytes(plain, shape, sliced=frames is not None)
    _, taken = large_decoding(frames)
    assert 0.95 * planned <= taken <= planned


@pytest.fixture(scope="module")
def large():
    """The engine at full size, on a card where Triton works."""
    pytest.importorskip("triton")
    return DryEngine(FULL, with_kernels=True)


@pytest.mark.slow
@pytest.mark.parametrize("saving", [Saving.RESIDENT, Saving.ALONE])
def test_a_720p_clip_takes_what_was_planned_with_kernels_and_hardly_less(large, saving):
    clip = case(resolution=Resolution.P720, frames=97, steps=1)
    report = large.render(clip, saving, chunks=2)
    alone = saving is Saving.ALONE
    beside_weights = {
        "sample": sampling_bytes(large.footprint, clip.shape, sequential=alone),
        "decode": decoding_bytes(large.footprint, clip.shape, sliced=alone),
    }
    for stage, planned in beside_weights.items():
        size, where = report.peaks[stage]
        taken = size - (report.planned[stage] - planned)
        assert 0.9 * planned <= taken <= planned, where


def decoded(vae):
    height, width = (side // 8 for side in official_size(Resolution.P720, "16:9"))
    [chunk, last] = vae.decode_chunks(torch.zeros(1, 16, 5, height, width, device="cuda"))
    return torch.cat((chunk, last), 2).shape


def test_weights_that_leave_and_come_back_are_counted(dry):
    text, ledger = dry.text, dry.ledger
    with dry.card.present():
        for _ in range(2):
            text.leave()
            without = ledger.alive
            text.bring()
            assert ledger.alive - without == dry.footprint.text_bytes


def test_kernels_are_chosen_when_the_model_is_loaded(dry, with_kernels):
    assert with_kernels.kernels is not None
    assert dry.kernels is None
    # what is planned with, whatever was assumed when the job was taken
    assert with_kernels.footprint.fused
    assert not dry.footprint.fused


# Each of the above, with a fault.

SHORT = case(frames=1, steps=2)


def before_each_block(monkeypatch, fault):
    """Let a fault happen before each block of the transformer."""
    forward = transformer.Block.forward

    def faulty(block, tokens, *args):
        tokens.x = fault(tokens.x)
        forward(block, tokens, *args)

    monkeypatch.setattr(transformer.Block, "forward", faulty)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("item", lambda x: x * x.amax().item()),
        ("is_nonzero", lambda x: x if x.isfinite().all() else x + 1),
        ("download", lambda x: x * x.cpu().shape[0]),
        ("upload", lambda x: x + torch.ones(1, dtype=x.dtype).to(x.device)),
        ("synchronize", lambda x: torch.cuda.synchronize() or x),
    ],
)
def test_a_wait_that_nobody_asked_for_is_found(dry, monkeypatch, name, fault):
    before_each_block(monkeypatch, fault)
    report = rendered(dry, SHORT, Saving.RESIDENT)
    found = report.waits.keys() - ASKED.keys()
    assert [one.split(":")[0] for one in found] == [name]


@pytest.mark.slow
def test_a_leak_of_precision_is_found_and_its_operation_named(dry, monkeypatch):
    wide = torch.float32
    before_each_block(monkeypatch, lambda x: (x * x.new_ones(288, dtype=wide)).to(torch.bfloat16))
    [leak] = leaks(rendered(dry, SHORT, Saving.RESIDENT))
    assert leak.startswith("mul: ")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda x: x.float(), "float32"),
        (lambda x: x + torch.ones(288, dtype=x.dtype), "devices"),
    ],
)
def test_another_type_or_device_raises(dry, monkeypatch, fault, words):
    before_each_block(monkeypatch, fault)
    with pytest.raises((TypeError, RuntimeError), match=words):
        rendered(dry, SHORT, Saving.RESIDENT)


def test_a_kernel_that_is_given_what_is_not_on_the_gpu_raises(with_kernels, monkeypatch):
    kernels = with_kernels.kernels
    launch = kernels.add_gated
    monkeypatch.setattr(kernels, "add_gated", lambda x, gate, *rest: launch(x, gate.cpu(), *rest))
    with pytest.raises(TypeError, match="_add_gated of devices"):
        rendered(with_kernels, SHORT, Saving.RESIDENT)


@pytest.mark.slow
def test_a_convolution_that_sees_too_much_is_found(monkeypatch):
    monkeypatch.setattr(convolution, "LARGEST", 10**12)
    with dry_vae(FULL) as (vae, ledger):
        decoded(vae)
    assert ledger.overlong


@pytest.mark.slow
def test_a_host_that_runs_ahead_is_found(dry, monkeypatch):
    monkeypatch.setattr(sampler._Pace, "step", lambda _: None)
    assert rendered(dry, case(frames=1, steps=8), Saving.RESIDENT).ahead > 1


@pytest.mark.parametrize(("name", "stage"), [("_EVALUATION", "sample"), ("_DECODING", "decode")])
def test_a_plan_that_is_too_small_is_found(dry, monkeypatch, name, stage):
    monkeypatch.setattr(memory_plan, name, getattr(memory_plan, name) * 0.7)
    dry.ledger.memory_bytes = 10**12
    report = dry.render(SHORT)
    size, where = report.peaks[stage]
    assert size > report.planned[stage], where


@pytest.mark.slow
def test_a_plan_that_takes_too_much_is_gone_down_as_far_as_it_takes(dry):
    dry.ledger.memory_bytes = 10**12
    clip = case(steps=1)
    dry.ledger.memory_bytes = dry.render(clip, Saving.ALONE).peak
    report = dry.render(clip, Saving.RESIDENT)
    assert report.frames == clip.spec.total_frames
    assert report.savings == [Saving.TEXT_ASIDE, Saving.SEQUENTIAL, Saving.ALONE]
