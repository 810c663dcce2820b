import pytest

torch = pytest.importorskip("torch")

from dataclasses import astuple  # noqa: E402

import numpy as np  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from inference.opensora.conditioning import (  # noqa: E402
    ReferenceKind,
    continue_clip,
    fit_image,
    place_references,
    to_pixels,
    to_uint8,
)
from inference.opensora.geometry import PixelSize  # noqa: E402
from inference.opensora.prompts import (  # noqa: E402
    aesthetic_label,
    clean,
    motion_label,
    suffix,
)
from tests.opensora import opensora_vectors as vectors  # noqa: E402
from tests.opensora.original_notation import (  # noqa: E402
    LoopPrompts,
    MaskRule,
    apply_mask_strategy,
    nearest_start,
    parse_mask_strategy,
    split_json_suffix,
)

pytestmark = pytest.mark.model


@pytest.fixture(params=vectors.sets())
def folder(request):
    return request.param


@pytest.fixture
def texts(folder):
    return vectors.read_json(folder / "text_and_conditioning.json")


def ramp(frames, start=1):
    """A reference latent whose frames are numbered, [1, frames, 1, 1]."""
    return torch.arange(start, start + frames, dtype=torch.float32)[None, :, None, None]


def test_prompts_are_cleaned_like_the_original(texts):
    assert [clean(entry["input"]) for entry in texts["clean"]] == [
        entry["twice"] for entry in texts["clean"]
    ]


def test_suffixes_are_assembled_like_the_original(texts):
    for entry in texts["append_score"]:
        prompt = entry["input"]
        appended = prompt + suffix(
            prompt, aesthetic=entry["aes"], motion=entry["flow"], camera=entry["camera_motion"]
        )
        assert appended == entry["appended"]
        assert clean(appended) == entry["final"]


def test_numbers_become_labels_like_the_original(texts):
    for score, label in texts["aes_labels"]:
        assert aesthetic_label(score) == label
    for score, label in texts["motion_labels"]:
        assert motion_label(score) == label


def test_prompts_per_pass_are_read_like_the_original(texts):
    for entry in texts["loop_prompts"]:
        parsed = LoopPrompts.parse(entry["input"])
        assert list(parsed.texts) == entry["segments"]
        assert (list(parsed.starts) if parsed.starts else None) == entry["loop_idx"]
        appended = [
            text + suffix(text, aesthetic="excellent", motion="fair") for text in parsed.texts
        ]
        assert appended == entry["appended"]
        cleaned = LoopPrompts(texts=tuple(map(clean, appended)), starts=parsed.starts)
        assert cleaned.merge() == entry["merged"]
        per_loop = [cleaned.at(loop) for loop in range(len(entry["per_loop"]))]
        assert per_loop == entry["per_loop"]


def test_json_suffixes_are_read_like_the_original(texts):
    for entry in texts["json_suffix"]:
        found = split_json_suffix(entry["input"])
        assert [[found.text], [found.reference_path], [found.mask_strategy]] == entry[
            "prompts_refs_masks"
        ]


def test_mask_strategies_are_read_like_the_original(texts):
    for entry in texts["mask_strategy_parse"]:
        rules = parse_mask_strategy(entry["input"])
        assert [list(astuple(rule)) for rule in rules] == entry["parsed"]


def test_starts_snap_like_the_original(texts):
    for entry in texts["nearest_point"]:
        assert nearest_start(entry["value"], entry["point"], entry["max"]) == entry["out"]


def test_mask_strategies_are_applied_like_the_original(texts):
    for entry in texts["apply_mask_strategy"]:
        references = [ramp(frames, 1 + 100 * i) for i, frames in enumerate(entry["ref_T"])]
        latents, levels = apply_mask_strategy(
            torch.zeros(1, entry["T"], 1, 1),
            references,
            parse_mask_strategy(entry["mask_strategy"]),
            entry["loop"],
            entry["align"],
        )
        assert levels.tolist() == entry["mask"]
        assert latents.flatten().tolist() == entry["z"]


def test_references_are_placed_like_the_original(texts):
    for entry in texts["prep_ref_and_mask"]:
        references = [ramp(frames, 1 + 100 * i) for i, frames in enumerate(entry["ref_T"])]
        placed = place_references(ReferenceKind(entry["cond_type"]), references, entry["T"])
        assert list(placed.frames) == entry["mask_index"]
        assert placed.latents.flatten().tolist() == entry["ref"]


def test_passes_continue_like_the_original(texts):
    for entry in texts["update_ref_in_loop"]:
        frames = len(entry["ref"])
        tail = None
        if frames - 1 in entry["mask_index"]:
            tail = torch.full((1, 1, 1), entry["ref"][-1])
        following = continue_clip(ramp(frames)[None], frames, tail)
        assert list(following.frames) == entry["mask_index"]
        assert following.latents.flatten().tolist() == entry["ref"]


def test_pictures_are_fitted_like_the_original(folder):
    stored = load_file(folder / "image_io.safetensors")
    for name in [key.removesuffix("/out_uint8") for key in stored if key.endswith("/out_uint8")]:
        expected = stored[f"{name}/out_uint8"]
        picture = Image.fromarray(stored[f"{name}/in"].numpy())
        fitted = fit_image(picture, PixelSize(*expected.shape[:2]))
        np.testing.assert_array_equal(np.array(fitted), expected.numpy())
        assert torch.equal(to_pixels(fitted), stored[f"{name}/out"])


def test_frames_become_bytes_like_the_original(folder):
    stored = load_file(folder / "image_io.safetensors")
    assert torch.equal(to_uint8(stored["to_uint8/in"]), stored["to_uint8/out"])


@pytest.mark.parametrize(
    "prompt", ['a {"reference_path": "b"} {}', "a {", 'a {"steps": 3}'], ids=["two", "cut", "key"]
)
def test_a_bad_json_suffix_is_refused(prompt):
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        split_json_suffix(prompt)


def test_a_mask_strategy_with_too_many_numbers_is_refused():
    with pytest.raises(ValueError, match="six"):
        parse_mask_strategy("0,0,0,0,1,0,7")


def test_rules_of_other_passes_are_skipped():
    latents, levels = apply_mask_strategy(
        torch.zeros(1, 5, 1, 1), [ramp(5)], [MaskRule(loop=1)], loop=0
    )
    assert latents.sum() == 0
    assert levels.tolist() == [1] * 5


@given(
    st.lists(st.text("abc .", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=5),
    st.data(),
)
def test_prompts_per_pass_survive_being_written_and_read(texts, data):
    later = data.draw(
        st.lists(st.integers(1, 20), unique=True, min_size=len(texts) - 1, max_size=len(texts) - 1)
    )
    prompts = LoopPrompts(texts=tuple(texts), starts=(0, *sorted(later)))
    assert LoopPrompts.parse(prompts.merge()) == prompts
