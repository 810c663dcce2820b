"""Parts of several models in one folder: each is whole, and together they are none."""

import json
import shutil

import pytest

from commands.text.messages import error_text
from inference.diffusers_engine.weights.folder import FolderError
from inference.diffusers_engine.weights.inspection import inspect_folder
from tests.diffusers.renders import load, render, request


@pytest.fixture
def put_together(folders, tmp_path):
    """Return a copy of a model with parts of another one, and changes of its index."""

    def made(name, parts=None, **changes):
        place = shutil.copytree(folders(name), tmp_path / "model")
        for part, other in (parts or {}).items():
            shutil.rmtree(place / part)
            shutil.copytree(folders(other) / part, place / part)
        index = place / "model_index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | changes))
        return place

    return made


def problem(folder):
    with pytest.raises(FolderError) as caught:
        inspect_folder(folder)
    return caught.value


TO_IMAGE = {"_class_name": "WanImageToVideoPipeline"}


@pytest.mark.parametrize(
    ("name", "parts", "changes", "wrong"),
    [
        ("wan-14b", {}, TO_IMAGE, "transformer"),
        ("wan-14b", {}, {"_class_name": "LTXPipeline"}, "transformer"),
        ("wan-14b-image", {}, {"_class_name": "WanPipeline"}, "transformer"),
        ("wan-14b-image", {"transformer_2": "wan-14b"}, {}, "transformer_2"),
        ("cogvideox", {}, {"_class_name": "CogVideoXImageToVideoPipeline"}, "transformer"),
        ("wan-vace", {}, {"_class_name": "WanPipeline"}, "transformer"),
        (
            "wan-5b",
            {"vae": "ltx-video"},
            {"vae": ["diffusers", "AutoencoderKLLTXVideo"]},
            "vae",
        ),
        ("wan-5b", {"vae": "ltx-video"}, {}, "transformer"),
    ],
)
def test_a_part_of_another_model_is_named(put_together, name, parts, changes, wrong):
    found = problem(put_together(name, parts, **changes))
    assert (found.code, found.params["part"]) == ("folder.wrong_part", wrong)
    assert wrong in error_text(found, "en")


@pytest.mark.parametrize("name", ["wan-5b", "ltx-video", "hunyuan-1.5", "cogvideox", "mochi"])
def test_a_text_encoder_of_another_width_is_named(put_together, name):
    place = put_together(name)
    config = place / "text_encoder" / "config.json"
    values = json.loads(config.read_text())
    key = "d_model" if "d_model" in values else "hidden_size"
    config.write_text(json.dumps(values | {key: 2 * values[key]}))
    found = problem(place)
    assert (found.code, found.params["part"]) == ("folder.wrong_part", "text_encoder")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ltx2", "connectors"),
        ("ltx2", "audio_vae"),
        ("ltx2", "vocoder"),
        ("kandinsky", "text_encoder_2"),
        ("hunyuan-1.5", "guider"),
        ("hunyuan-1.5", "tokenizer_2"),
    ],
)
def test_a_part_that_the_class_needs_is_named(put_together, name, part):
    found = problem(put_together(name, **{part: [None, None]}))
    assert (found.code, found.params["part"]) == ("folder.part_missing", part)


def test_kandinsky_without_its_sound_is_silent(put_together):
    place = put_together("kandinsky", audio_vae=[None, None], vocoder=[None, None])
    assert not inspect_folder(place).sound
    made = render(load(place), request("kandinsky"))
    assert len(made.frames) == request("kandinsky").frames


def test_a_class_for_images_needs_its_encoder(put_together):
    place = put_together("hunyuan-1.5", _class_name="HunyuanVideo15ImageToVideoPipeline")
    assert problem(place).params["part"] == "image_encoder"


def test_a_scheduler_for_weights_that_predict_otherwise(put_together):
    place = put_together("kandinsky")
    config = place / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"n_grid": 10}))
    with pytest.raises(FolderError) as caught:
        load(place)
    assert (caught.value.code, caught.value.params["part"]) == ("folder.wrong_part", "scheduler")
