import os
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.domain.errors import UserError
from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.media.encode import open_mp4, write_image
from inference.media.provenance import (
    _SOURCE_TYPE,
    AI_MADE,
    is_whole,
    read_recipe,
    read_source_type,
    recipe_comment,
)
from inference.media.size_reduction import fit, fit_still
from inference.media.watermark import Stamp
from tests.unit.media.media_samples import moving, plain

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
    with open_mp4(path, SMALL, rate=24, comment=recipe_comment(recipe), options={}) as mp4:
        mp4.encode(av.VideoFrame.from_ndarray(plain(1, SMALL, 90)[0], format="rgb24"))


def write_png(path, recipe):
    write_image(path, plain(1, SMALL, 90)[0], recipe)


@pytest.mark.parametrize(("name", "write"), [("a.mp4", write_clip), ("a.png", write_png)])
@given(recipe=recipes)
@settings(max_examples=settings.default.max_examples // 3)
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


@pytest.mark.parametrize("name", ["a:b.mp4", "http:fox.mp4", "-x", "50%.mp4"])
@pytest.mark.parametrize("write", [write_clip, write_png])
def test_a_name_is_a_file_and_no_address(tmp_path, monkeypatch, name, write):
    """FFmpeg takes what stands before a colon for a protocol."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, {"seed": 1})
    assert read_recipe(Path(name)) == {"seed": 1}
    assert read_source_type(Path(name)) == AI_MADE


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (Path.mkdir, "file.unreadable"),
        (os.mkfifo, "file.unreadable"),  # nobody waits for what comes out of it
        (lambda path: path.symlink_to(path), "file.unreadable"),
        (lambda path: path.symlink_to("nowhere"), "file.not_found"),
        (lambda path: Image.new("RGB", (8, 8)).save(path, "JPEG"), "file.no_recipe"),
        (lambda path: Image.new("RGB", (8, 8)).save(path, "GIF"), "file.no_picture"),
    ],
)
def test_what_is_no_file_of_ours_is_named(tmp_path, make, code):
    make(tmp_path / "odd")
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "odd")
    assert (caught.value.code, caught.value.params) == (code, {"path": str(tmp_path / "odd")})


def test_a_place_below_a_file_is_not_there(tmp_path):
    write_clip(tmp_path / "clip", {})
    for read in (read_recipe, read_source_type):
        with pytest.raises(UserError, match=r"file\.not_found"):
            read(tmp_path / "clip" / "clip.mp4")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\x00\x00\x00\x18ftypisom"]
)
def test_other_files_are_no_clip(tmp_path, content):
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_recipe(path)
    assert caught.value.code == "file.no_picture"
    assert caught.value.params == {"path": str(path)}


@pytest.mark.parametrize(("name", "write"), [("a.mp4", write_clip), ("a.png", write_png)])
def test_a_file_without_its_end_is_not_whole(tmp_path, name, write):
    write(tmp_path / name, {"seed": 1})
    assert is_whole(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for missing in (1, 12, 13, 20):
        (tmp_path / name).write_bytes(content[:-missing])
        assert not is_whole(tmp_path / name)


def test_a_png_with_a_damaged_middle_is_not_whole(tmp_path):
    write_png(tmp_path / "a.png", {"seed": 1})
    content = bytearray((tmp_path / "a.png").read_bytes())
    middle = content.index(b"IDAT") + 8
    content[middle : middle + 8] = bytes(8)
    (tmp_path / "a.png").write_bytes(content)
    assert not is_whole(tmp_path / "a.png")


@pytest.mark.parametrize(
    "written",
    ['="trainedAlgorithmicMedia"/>', ">trainedAlgorithmicMedia</x>", "='digsrctype:compositeX'/>"],
)
def test_the_short_form_of_the_source_type_counts_too(written):
    found = _SOURCE_TYPE.search(f"<a Iptc4xmpExt:DigitalSourceType{written}".encode())
    assert found is not None
    assert found[1] in {AI_MADE.encode(), b"compositeX"}


def test_a_folder_is_unreadable(tmp_path):
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path)
    assert caught.value.code == "file.unreadable"


def test_a_missing_file_is_called_that(tmp_path):
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "missing.mp4")
    assert caught.value.code == "file.not_found"


@pytest.mark.parametrize("comment", ["", "shot on my phone", "[1]", "[" * 100_000])
def test_comments_of_other_programs_are_no_recipe(tmp_path, comment):
    path = tmp_path / "clip.mp4"
    with open_mp4(path, SMALL, rate=24, comment=comment, options={}) as mp4:
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


@pytest.mark.parametrize(("name", "write"), [("a.mp4", write_clip), ("a.png", write_png)])
def test_every_file_says_that_it_is_made_by_ai(tmp_path, name, write):
    write(tmp_path / name, {"seed": 1})
    assert read_source_type(tmp_path / name) == AI_MADE
    assert read_recipe(tmp_path / name) == {"seed": 1}


def test_smaller_copies_and_stills_say_it_too(tmp_path):
    size, clip = Size(320, 180), tmp_path / "clip.mp4"
    with open_mp4(clip, size, rate=24, comment="{}", options={"crf": "1"}) as mp4:
        for frame in moving(8, size):
            mp4.encode(av.VideoFrame.from_ndarray(frame, format="rgb24"))
    fitted = fit(clip, clip.stat().st_size // 2, tmp_path)
    assert fitted.path.suffix == ".mp4"
    assert read_source_type(fitted.path) == AI_MADE
    assert fitted.path.stat().st_size <= clip.stat().st_size // 2
    assert read_source_type(fit_still(clip, 30_000, tmp_path).path) == AI_MADE


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_of_somebody_else_says_nothing(tmp_path, kind):
    Image.new("RGB", (8, 8)).save(tmp_path / "mine", kind)
    assert read_source_type(tmp_path / "mine") is None


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_its_boxes_are_read_to_an_end(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        path.write_bytes(b"\0\0\0\x0cftypmp42" + data)
        assert read_source_type(path) is None


def test_boxes_that_claim_the_whole_disk_are_read_to_an_end(tmp_path):
    (tmp_path / "a.mp4").write_bytes(
        b"\0\0\0\x0cftypmp42" + b"\0\0\0\x01free" + b"\xff" * 8 + b"\0\0\0\0uuid" + b"\xbe" * 16
    )
    assert read_source_type(tmp_path / "a.mp4") is None


def test_an_image_carries_the_mark_that_it_is_given(tmp_path):
    size = Size(640, 360)
    frame = plain(1, size, 90)[0]
    write_image(tmp_path / "a.png", frame, {}, Stamp.draw(WatermarkSettings(), size))
    write_image(tmp_path / "b.png", frame, {})
    assert (np.asarray(Image.open(tmp_path / "b.png")) == frame).all()
    marked = np.asarray(Image.open(tmp_path / "a.png"))
    assert (marked != frame).any()
    assert (marked[:180] == frame[:180]).all()
    assert (frame == 90).all()
