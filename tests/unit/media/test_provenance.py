import tempfile
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.domain.errors import UserError
from inference.domain.spec import Size
from inference.media.encode import open_mp4, write_image
from inference.media.provenance import read_recipe, recipe_comment
from tests.unit.media.media_samples import plain

SMALL = Size(32, 32)
LONG = {"prompt": "붉은 여우 🦊 “runs” \\ 'through' <snow>\n\t" * 60, "seed": 2**32 - 1}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
recipes = st.dictionaries(st.text(st.characters()), json_values, max_size=4)


def write_clip(path, recipe):
    with open_mp4(path, SMALL, comment=recipe_comment(recipe), options={}) as mp4:
        mp4.encode(av.VideoFrame.from_ndarray(plain(1, SMALL, 90)[0], format="rgb24"))


def write_png(path, recipe):
    write_image(path, plain(1, SMALL, 90)[0], recipe)


@pytest.mark.parametrize(("name", "write"), [("a.mp4", write_clip), ("a.png", write_png)])
@given(recipe=recipes)
@settings(max_examples=30, deadline=None)
def test_any_recipe_comes_back_exactly(name, write, recipe):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        write(path, recipe)
        assert read_recipe(path) == recipe


@pytest.mark.parametrize(("name", "write"), [("a.mp4", write_clip), ("a.png", write_png)])
def test_long_prompts_come_back_exactly(tmp_path, name, write):
    write(tmp_path / name, LONG)
    assert len(LONG["prompt"]) > 2000
    assert read_recipe(tmp_path / name) == LONG


def test_what_is_in_a_file_counts_and_not_its_name(tmp_path):
    write_png(tmp_path / "clip.mp4", {"seed": 1})
    assert read_recipe(tmp_path / "clip.mp4") == {"seed": 1}


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\x00\x00\x00\x18ftypisom"]
)
def test_other_files_are_unreadable(tmp_path, content):
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_recipe(path)
    assert caught.value.code == "file.unreadable"
    assert caught.value.params == {"path": str(path)}


def test_a_missing_file_is_unreadable(tmp_path):
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "missing.mp4")
    assert caught.value.code == "file.unreadable"


@pytest.mark.parametrize("comment", ["", "shot on my phone", "[1]", "[" * 100_000])
def test_comments_of_other_programs_are_no_recipe(tmp_path, comment):
    path = tmp_path / "clip.mp4"
    with open_mp4(path, SMALL, comment=comment, options={}) as mp4:
        mp4.encode(av.VideoFrame.from_ndarray(plain(1, SMALL, 90)[0], format="rgb24"))
    with pytest.raises(UserError) as caught:
        read_recipe(path)
    assert caught.value.code == "file.no_recipe"


def test_a_plain_png_has_no_recipe(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "a.png")
    assert caught.value.code == "file.no_recipe"


def test_a_recipe_that_is_not_json_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        recipe_comment({"cfg": float("nan")})
