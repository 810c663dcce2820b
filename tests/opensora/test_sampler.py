"""The sampler's short cuts change no result, and its hooks are asked and told."""

import pytest

torch = pytest.importorskip("torch")

from dataclasses import replace  # noqa: E402

from inference.opensora.geometry import PixelSize, timesteps  # noqa: E402
from inference.opensora.presets import NANO, OFFICIAL_I2V, OFFICIAL_T2V  # noqa: E402
from inference.opensora.sampler import (  # noqa: E402
    Hooks,
    References,
    Sampler,
    branch_conditions,
)
from tests.opensora import opensora_vectors as vectors  # noqa: E402
from tests.opensora.original_notation import FrameLevelSampler  # noqa: E402

pytestmark = pytest.mark.model

SHAPE = (1, 16, 5, 4, 6)
SIZE = PixelSize(32, 48)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    return vectors.random_transformer()


@pytest.fixture(scope="module")
def references():
    return References(latents=noise(*SHAPE, seed=5), frames=(0,))


def prepared(model, references=None, shape=SHAPE, captions=None):
    captions = captions or [noise(4, 12, seed=3)]
    return branch_conditions(model, shape, captions, fps=24, size=SIZE, references=references)


def run(model, preset, references=None, hooks=None, *, sequential=False):
    sampler = Sampler(
        model,
        prepared(model, references),
        preset,
        references=references,
        hooks=hooks,
        sequential=sequential,
    )
    source = torch.Generator().manual_seed(1)
    return sampler.run(
        noise(*SHAPE), timesteps(preset.steps), lambda: torch.randn(SHAPE, generator=source)
    )


@pytest.mark.parametrize(
    ("preset", "has_references", "evaluations"),
    [
        (OFFICIAL_T2V, False, 50),
        (OFFICIAL_I2V, True, 70),
        (NANO, False, 28),
        (NANO, True, 42),
        (replace(NANO, guidance=1.0), False, 14),
        (replace(NANO, guidance=1.0, image_guidance=1.0), True, 14),
        (replace(NANO, image_guidance=1.0), True, 28),
        (replace(NANO, guidance=1.0), True, 42),
    ],
)
def test_only_branches_that_count_are_evaluated(
    model, references, preset, has_references, evaluations
):
    checks = []
    run(
        model,
        preset,
        references if has_references else None,
        Hooks(check=lambda: checks.append(1)),
        sequential=True,
    )
    # the ramp of the image guidance ends at 1 everywhere, which spares one more
    assert evaluations - 1 <= len(checks) <= evaluations


def all_branches(model, preset, references):
    """The guidance as it is written down, with all three branches at every step."""
    z, conditions = noise(*SHAPE), prepared(model, references)
    levels = timesteps(preset.steps)
    for step, level in enumerate(levels):
        out = model.denoise(z.repeat(3, 1, 1, 1, 1), torch.full((3,), level), conditions)
        prompted, plain, unseeing = out[:, :16].chunk(3)
        odd = step >= 10 and step % 2
        text = 1.0 if odd and preset.oscillation else preset.guidance
        image = 1.0 if odd and preset.image_oscillation else preset.image_guidance
        velocity = unseeing + image * (plain - unseeing) + text * (prompted - plain)
        z = z + velocity / preset.steps
    return z


@pytest.mark.parametrize(("text", "image"), [(3.0, 2.0), (1.0, 2.0), (3.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("oscillation", [False, True])
def test_leaving_out_branches_changes_nothing(model, references, text, image, oscillation):
    preset = replace(
        NANO,
        guidance=text,
        image_guidance=image,
        oscillation=oscillation,
        image_oscillation=oscillation,
        keep_references=False,
    )
    torch.testing.assert_close(
        run(model, preset, references), all_branches(model, preset, references), rtol=0, atol=1e-4
    )


def test_samples_of_a_batch_are_independent(model):
    preset = replace(OFFICIAL_T2V, steps=4)
    shape = (2, *SHAPE[1:])
    captions = [noise(4, 12, seed=3), noise(4, 12, seed=4)]
    start = noise(*shape)

    both = Sampler(model, prepared(model, None, shape, captions), preset).run(
        start, timesteps(4), lambda: start
    )

    for row, caption in enumerate(captions):
        conditions = prepared(model, None, SHAPE, [caption])
        alone = Sampler(model, conditions, preset).run(
            start[row : row + 1], timesteps(4), lambda: start
        )
        torch.testing.assert_close(both[row : row + 1], alone, rtol=0, atol=1e-4)


def test_frames_at_level_zero_stay_as_they_are(model):
    levels = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.5]])
    start = noise(*SHAPE)
    sampler = FrameLevelSampler(model, prepared(model), replace(NANO, steps=3))

    out = sampler.run_with_levels(start, timesteps(3), lambda: noise(*SHAPE, seed=9), levels)

    changed = (out != start).flatten(3).any(dim=(0, 1, 3))
    assert changed.tolist() == [False, True, True, False, True]


def test_steps_are_reported(model):
    reported = []
    run(model, replace(NANO, steps=3), hooks=Hooks(on_step=lambda *step: reported.append(step[:2])))
    assert reported == [(1, 3), (2, 3), (3, 3)]


class Stop(Exception):
    pass


def test_a_hook_ends_the_run_within_a_step(model):
    checks = []

    def check():
        checks.append(1)
        if len(checks) == 4:
            raise Stop

    reported = []
    with pytest.raises(Stop):
        run(
            model,
            NANO,
            hooks=Hooks(check=check, on_step=lambda *step: reported.append(step[:2])),
            sequential=True,
        )
    assert reported == [(1, 14)]
