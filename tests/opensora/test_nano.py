"""The shipped model, end to end, on the CPU."""

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from inference.domain.errors import Cancelled  # noqa: E402
from inference.engines.base import Inputs, Monitor  # noqa: E402
from inference.opensora.geometry import nano_size  # noqa: E402
from inference.opensora.pipeline import ClipRequest, OpenSoraPipeline  # noqa: E402
from inference.opensora.sampler import Hooks  # noqa: E402
from tests.fakes.models import MODELS  # noqa: E402
from tests.fakes.orders import a_spec  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def loaded():
    """The pipeline and what loading it reported."""
    reported = []
    pipeline = OpenSoraPipeline.load_nano(
        vectors.NANO, lambda _done, _total, name: reported.append(name)
    )
    return pipeline, reported


@pytest.fixture(scope="module")
def pipeline(loaded):
    return loaded[0]


def request(prompt="a red ball in the night sky", **changes):
    values = {
        "prompt": prompt,
        "size": nano_size("16:9"),
        "frames": 1,
        "seed": 1,
        "motion": "fair",
        "aesthetic": "excellent",
    }
    return ClipRequest(**values | changes)


def frames_of(pipeline, *args, **kwargs):
    return np.concatenate(list(pipeline.generate(*args, **kwargs)))


def share_of(frames, channel):
    """Share of pixels in which one colour channel dominates clearly."""
    values = frames.astype(int)
    others = np.delete(values, channel, axis=-1).max(axis=-1)
    return (values[..., channel] - others > 80).mean()


def test_loading_reads_every_part_once(loaded):
    _, reported = loaded
    assert len(reported) == len(set(reported))
    assert {"t_block.1.bias", "decoder.conv_in.conv.bias", "shared.weight"} <= set(reported)


@pytest.mark.parametrize(
    ("prompt", "channel"),
    [("a red ball moving right in the night sky", 0), ("a blue star on a snowy field", 2)],
)
@pytest.mark.cases(1)
def test_a_clip_shows_the_colour_it_was_asked_for(pipeline, prompt, channel):
    frames = frames_of(pipeline, request(prompt, frames=17))

    assert frames.shape == (17, 64, 112, 3)
    assert frames.dtype == np.uint8
    shares = [share_of(frames, which) for which in range(3)]
    assert shares[channel] > 0.02
    assert shares[channel] == max(shares)


def test_things_move_in_a_clip(pipeline):
    frames = frames_of(pipeline, request("a red ball moving right at sunset", frames=17))
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 2


@pytest.mark.parametrize("aspect", ["16:9", "9:16", "4:3", "3:4", "1:1"])
def test_an_image_has_the_native_size_of_its_aspect(pipeline, aspect):
    size = nano_size(aspect)
    frames = frames_of(pipeline, request(size=size, steps=1))
    assert frames.shape == (1, size.height, size.width, 3)


def test_a_seed_means_the_same_frames_and_another_seed_others(pipeline):
    first = frames_of(pipeline, request(steps=3))
    again = frames_of(pipeline, request(steps=3))
    other = frames_of(pipeline, request(steps=3, seed=2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
def test_a_clip_starts_from_its_image(pipeline):
    colours = {"night": (15, 15, 70), "sand": (220, 190, 120)}
    asked = request("a red square moving left", frames=17)

    starts = {}
    for name, colour in colours.items():
        image = Image.new("RGB", (200, 100), colour)
        image.paste((230, 20, 20), (80, 30, 120, 70))
        starts[name] = frames_of(pipeline, asked, image=image)[0].mean((0, 1))

    for name, other in (("night", "sand"), ("sand", "night")):
        distance = np.abs(starts[name] - colours[name]).sum()
        assert distance * 3 < np.abs(starts[name] - colours[other]).sum()


@pytest.mark.slow
def test_passes_are_joined_without_a_jump(pipeline):
    reported = []
    frames = frames_of(
        pipeline,
        request(frames=33, loops=2, steps=4),
        hooks=Hooks(on_step=lambda *step: reported.append(step[:2])),
    )
    assert len(frames) == 49
    assert reported == [(step, 8) for step in range(1, 9)]


def test_a_clip_is_extended_from_its_latents(pipeline):
    asked = request(frames=17, steps=2)
    captions = pipeline.encode(asked)
    first = pipeline.sample(asked, captions)

    longer = pipeline.sample(
        request(frames=33, steps=2, seed=9), captions, previous=first.to(torch.bfloat16)
    )

    assert longer.shape[2] == 10
    assert torch.equal(longer[:, :, :5], first.to(torch.bfloat16).float())


def test_a_negative_prompt_changes_the_picture(pipeline):
    plain = frames_of(pipeline, request(steps=3))
    steered = frames_of(pipeline, request(steps=3, negative="a blue sky, the sea"))
    assert not np.array_equal(plain, steered)


def test_the_frame_rate_and_the_guidance_matter(pipeline):
    def latents(**changes):
        asked = request(frames=17, steps=2, **changes)
        return pipeline.sample(asked, pipeline.encode(asked))

    base = latents()
    assert not torch.equal(base, latents(fps=8))
    assert not torch.equal(base, latents(guidance=1.0))


def test_an_image_has_neither_motion_nor_camera_nor_frame_rate(pipeline):
    still = request(frames=1, camera="zoom in")
    assert still.suffix() == " The aesthetic score is excellent."
    moving = request(frames=17, camera="zoom in")
    assert moving.suffix() == (
        " The aesthetic score is excellent. The motion strength is fair. camera motion: zoom in."
    )


def test_cancelling_ends_the_run_before_the_next_evaluation(pipeline):
    steps, checks = [], []

    def check():
        checks.append(1)
        if len(steps) == 2:
            raise Cancelled

    hooks = Hooks(on_step=lambda *step: steps.append(step[:2]), check=check)
    with pytest.raises(Cancelled):
        frames_of(pipeline, request(), hooks=hooks)
    assert steps == [(1, 14), (2, 14)]


def test_cancelling_ends_the_decoding_between_chunks(pipeline):
    latents = torch.zeros(1, 16, 15, 4, 4)
    checks = []

    def check():
        checks.append(1)
        if len(checks) == 3:
            raise Cancelled

    received = []
    with pytest.raises(Cancelled):
        received.extend(pipeline.decode(latents, hooks=Hooks(check=check)))
    assert [len(chunk) for chunk in received] == [9, 16]  # the rest waits for the next border
    chunks = pipeline.decode(latents)
    assert len(next(chunks)) == 9
    # a waiting generator must not leave its caller in inference mode
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    "changes", [{"frames": 2}, {"frames": 48}, {"frames": 0}, {"loops": 2}, {"loops": 0}]
)
def test_impossible_requests_are_refused(pipeline, changes):
    with pytest.raises(ValueError, match=r"frames|passes|pass"):
        frames_of(pipeline, request(steps=1, **changes))


def test_an_image_from_an_image_is_refused(pipeline):
    with pytest.raises(ValueError, match="text alone"):
        frames_of(pipeline, request(), image=Image.new("RGB", (8, 8)))


def test_a_long_prompt_is_shortened_and_its_suffix_kept(pipeline):
    words = " ".join(f"ball{number}" for number in range(400))
    asked = request(words, frames=17, camera="zoom in")

    caption = pipeline.encode(asked).prompt

    assert caption.shortened
    assert caption.text.endswith("the motion strength is fair. camera motion: zoom in.")
    assert caption.text.startswith("ball0 ball1 ball2 ")
    assert 280 < len(caption.tokens) <= 300


def test_a_long_prompt_without_spaces_is_shortened_too(pipeline):
    caption = pipeline.encode(request("구" * 1500, frames=17)).prompt
    assert caption.shortened
    assert caption.text.endswith("the motion strength is fair.")
    assert len(caption.tokens) <= 300


def test_a_short_prompt_is_left_alone(pipeline):
    caption = pipeline.encode(request("A Red Ball")).prompt
    assert not caption.shortened
    assert caption.text == "a red ball the aesthetic score is excellent."


def test_a_suffix_beyond_the_limit_is_refused(pipeline):
    with pytest.raises(ValueError, match="suffix"):
        pipeline.text_encoder.encode("a ball", " word" * 400)


def test_leaving_out_the_padding_changes_no_token(pipeline):
    """The original pads to 300 tokens and masks the padding."""
    encoder = pipeline.text_encoder
    caption = encoder.encode("a red ball in the night sky")

    padded = encoder.tokenizer(
        caption.text, padding="max_length", max_length=300, truncation=True, return_tensors="pt"
    )
    states = encoder.model(**padded).last_hidden_state[0]

    kept = states[padded.attention_mask[0] != 0]
    torch.testing.assert_close(kept, caption.tokens, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_korean_words_that_are_unwanted_are_avoided_as_the_english_ones():
    engine = MODELS.create("nano")
    engine.load(lambda _fraction, _part: None)

    def still(negative):
        spec = a_spec(
            model="nano",
            prompt="a red ball",
            negative=negative,
            frames=1,
            steps=2,
            cfg=4.0,
            resolution="360p",
        )
        monitor = Monitor()
        [chunk] = engine.render(spec, Inputs(), monitor)
        return chunk.frames

    english = still("in the snow, in the night sky")
    assert np.array_equal(still("눈, 밤"), english)
    assert not np.array_equal(still("on the sea"), english)
