import pytest

torch = pytest.importorskip("torch")

from inference.opensora.geometry import PixelSize, schedule_ratio, timesteps  # noqa: E402
from inference.opensora.presets import SamplingPreset  # noqa: E402
from inference.opensora.sampler import References, Sampler, branch_conditions  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402
from tests.opensora.original_notation import FrameLevelSampler  # noqa: E402 - needs torch

pytestmark = pytest.mark.model

TOLERANCE = 1e-3


def preset_of(case):
    scheduler, options = case["scheduler"], case["options"]
    oscillation = options.get("osc")
    if oscillation is None:
        oscillation = scheduler.get("use_oscillation_guidance", False)
    return SamplingPreset(
        steps=scheduler["num_sampling_steps"],
        guidance=scheduler["cfg_scale"],
        timestep_shift=None if scheduler.get("use_timestep_transform", False) else 1.0,
        oscillation=oscillation,
        flaw_fix=scheduler.get("use_flaw_fix", False),
        image_guidance=options.get("igs", 1.0),
        image_oscillation=oscillation,
        image_ramp=scheduler.get("scale_image_weight", False),
        sdedit=options.get("sdedit", False),
    )


def levels_of(case, given):
    preset = preset_of(case)
    size = PixelSize(int(given["in/height"][0]), int(given["in/width"][0]))
    ratio = preset.timestep_shift or schedule_ratio(size, case["num_frames"])
    return timesteps(preset.steps, ratio), size


def real_tokens(captions, mask):
    rows = mask.repeat(len(captions) // len(mask), 1) != 0
    return [caption[0][row] for caption, row in zip(captions, rows, strict=True)]


@pytest.mark.parametrize(("folder", "case"), vectors.cases("rflow13"))
def test_noise_levels_equal_the_original(folder, case):
    given = vectors.tensors(folder, "rflow13", case["case"])

    levels, _ = levels_of(case, given)

    torch.testing.assert_close(torch.tensor(levels), given["timesteps"], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("sequential", [False, True], ids=["batched", "one-by-one"])
@pytest.mark.parametrize(("folder", "case"), vectors.cases("rflow13"))
def test_a_whole_run_equals_the_original(folder, case, sequential):
    given = vectors.tensors(folder, "rflow13", case["case"])
    options = case["options"]
    levels, size = levels_of(case, given)
    references = None
    if options.get("i2v") is not None:
        references = References(latents=given["in/z_cond"], frames=tuple(options["i2v"]))
    negative = None
    if options.get("neg"):
        negative = real_tokens(given["in/neg_y"], given["in/neg_mask"])
    model = vectors.transformer(folder)
    noises = iter(given.get("in/step_noise", ()))

    conditions = branch_conditions(
        model,
        given["in/z"].shape,
        real_tokens(given["in/y"], given["in/mask"]),
        fps=float(given["in/fps"][0]),
        size=size,
        negative=negative,
        references=references,
    )
    frame_levels = given.get("in/frame_mask")
    kind = Sampler if frame_levels is None else FrameLevelSampler
    sampler = kind(model, conditions, preset_of(case), references=references, sequential=sequential)
    if frame_levels is None:
        out = sampler.run(given["in/z"], levels, lambda: next(noises))
    else:
        out = sampler.run_with_levels(given["in/z"], levels, lambda: next(noises), frame_levels)

    torch.testing.assert_close(out, given["out"], rtol=0, atol=TOLERANCE)
    assert list(noises) == []
