"""Balanced speed: some steps take the velocity that the evaluated ones before them point to."""

import pytest

torch = pytest.importorskip("torch")

import math  # noqa: E402
from dataclasses import replace  # noqa: E402

from PIL import Image  # noqa: E402

from inference.opensora.controls import Speed  # noqa: E402
from inference.opensora.geometry import PixelSize, timesteps  # noqa: E402
from inference.opensora.pipeline import ClipRequest, OpenSoraPipeline  # noqa: E402
from inference.opensora.presets import NANO, OFFICIAL_I2V, OFFICIAL_T2V  # noqa: E402
from inference.opensora.sampler import Hooks, References, Sampler  # noqa: E402
from inference.opensora.step_plan import branch_counts, find_skipped_steps  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402
from tests.opensora.test_sampler import SHAPE, noise, prepared  # noqa: E402

pytestmark = pytest.mark.model

CASES = {
    "official": (OFFICIAL_T2V, False),
    "official, from an image": (OFFICIAL_I2V, True),
    "nano": (NANO, False),
    "nano, from an image": (NANO, True),
    "no guidance": (replace(NANO, guidance=1.0), False),
    "no guidance, from an image": (replace(NANO, guidance=1.0, image_guidance=1.0), True),
    "guidance by the image only": (replace(NANO, guidance=1.0), True),
    "guidance by the text only": (replace(NANO, image_guidance=1.0), True),
}


@pytest.fixture(scope="module")
def model():
    return vectors.random_transformer()


class Straight:
    """A network whose velocities are straight lines in noise level, another one for each row."""

    device = torch.device("cpu")

    def denoise(self, x, timestep, _conditions):
        rows = torch.arange(1.0, len(x) + 1).reshape(-1, 1, 1, 1, 1)
        slope = torch.linspace(-1, 1, x[0].numel()).reshape(x.shape[1:])
        return rows + rows.square() * slope * timestep.reshape(-1, 1, 1, 1, 1) / 1000


def run(model, case, *, steps=None, skips, sequential=False, hooks=None, shape=SHAPE):
    preset, given = CASES[case]
    preset = replace(preset, steps=steps or preset.steps)
    references = References(latents=noise(*shape, seed=5), frames=(0,)) if given else None
    real = vectors.random_transformer() if isinstance(model, Straight) else model
    sampler = Sampler(
        model,
        prepared(real, references, shape),
        preset,
        references=references,
        sequential=sequential,
        skips=skips,
        hooks=hooks,
    )
    source = torch.Generator().manual_seed(1)
    drawn = []

    def fresh():
        drawn.append(1)
        return torch.randn(shape, generator=source)

    out = sampler.run(noise(*shape), timesteps(preset.steps), fresh)
    return out, len(drawn)


@pytest.mark.parametrize("case", CASES)
def test_a_straight_way_is_found_exactly(case):
    exact, drawn = run(Straight(), case, skips=False)
    balanced, drawn_too = run(Straight(), case, skips=True)

    torch.testing.assert_close(balanced, exact, rtol=0, atol=1e-4)
    assert drawn_too == drawn  # the seed means the same noise


@pytest.mark.parametrize("case", CASES)
def test_as_much_is_evaluated_as_was_planned(model, case):
    preset, given = CASES[case]
    counts = branch_counts(preset, preset.steps, references=given)
    left_out = find_skipped_steps(counts)
    forwards, reported = {True: [], False: []}, []

    for skips in (True, False):
        hooks = Hooks(
            on_forwards=forwards[skips].append,
            on_step=lambda *step: reported.append(step[:2]),
        )
        run(model, case, skips=skips, hooks=hooks)

    assert forwards[False] == list(counts)
    assert forwards[True] == [count for step, count in enumerate(counts) if step not in left_out]
    left = preset.steps - len(left_out)
    assert left < preset.steps
    assert reported[:left] == [(step + 1, left) for step in range(left)]


@pytest.mark.parametrize("case", ["official", "official, from an image"])
def test_one_branch_at_a_time_gives_the_same(model, case):
    together, _ = run(model, case, skips=True)
    apart, _ = run(model, case, skips=True, sequential=True)

    torch.testing.assert_close(apart, together, rtol=0, atol=1e-4)


def test_few_steps_are_all_evaluated(model):
    exact, _ = run(model, "nano", steps=5, skips=False)
    balanced, _ = run(model, "nano", steps=5, skips=True)

    assert torch.equal(balanced, exact)


def test_given_frames_stay_as_they_are(model):
    out, _ = run(model, "nano, from an image", skips=True)

    assert torch.equal(out[:, :, 0], noise(*SHAPE, seed=5)[:, :, 0])


PROMPTS = (
    "a red ball moving to the left in the snow",
    "a blue fish moving up on the sea",
    "a yellow star bouncing in the night sky",
    "a green tree growing on a meadow",
    "an orange cat jumping in the desert",
    "a white bird moving right in the sky",
    "a purple flower spinning on a meadow",
    "a black car moving right in the city",
)


@pytest.fixture(scope="module")
def nano():
    return OpenSoraPipeline.load_nano(vectors.NANO)


def psnr(pipeline, request, **given):
    """Return the PSNR in decibels of a balanced clip against the exact one, and its forwards."""
    forwards, clips = [], []
    for speed in (Speed.EXACT, Speed.BALANCED):
        forwards.append(0)

        def count(branches):
            forwards[-1] += branches

        wanted = replace(request, speed=speed)
        latents = pipeline.sample(
            wanted, pipeline.encode(wanted), hooks=Hooks(on_forwards=count), **given
        )
        with torch.inference_mode():
            clips.append(torch.cat(list(pipeline.vae.decode_chunks(latents)), dim=2))
    error = (clips[0] - clips[1]).square().mean().item()
    return 10 * math.log10(4 / error), forwards


@pytest.mark.slow
def test_two_thirds_of_nanos_evaluations_make_nearly_the_same_clip(nano):
    found = []
    for seed, prompt in enumerate(PROMPTS):
        request = ClipRequest(
            prompt=prompt, size=PixelSize(64, 112), frames=17, seed=seed + 1, steps=30
        )
        decibels, forwards = psnr(nano, request)
        found.append(decibels)
        assert forwards == [60, 40]

    assert min(found) >= 45, found


@pytest.mark.slow
def test_so_do_two_thirds_of_those_from_an_image(nano):
    """Three branches each; of the eight prompts the one that comes off worst."""
    request = ClipRequest(prompt=PROMPTS[1], size=PixelSize(64, 112), frames=17, seed=2, steps=30)
    [[picture]] = nano.generate(replace(request, frames=1, steps=14))

    decibels, forwards = psnr(nano, request, image=Image.fromarray(picture))

    assert forwards == [90, 60]
    assert decibels >= 45
