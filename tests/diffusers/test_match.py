"""Parts of several models in one folder: each is whole, and together they are none."""

import json
import shutil

import pytest
import transformers

from commands.text.messages import error_text
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.vocabularies import check_vocabularies
from tests.diffusers import tiny_models
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
        ("wan-5b", {"vae": "ltx-video"}, {}, "vae"),
    ],
)
def test_a_part_of_another_model_is_named(put_together, name, parts, changes, wrong):
    found = problem(put_together(name, parts, **changes))
    assert (found.code, found.params["part"]) == ("folder.wrong_part", wrong)
    assert wrong in error_text(found, "en")


MADE_TO_FIT = {
    ("hunyuan-1.5", "kandinsky", "text_encoder"),  # the whole of the same Qwen
    ("wan-5b", "wan-14b", "transformer"),  # the tiny ones have as many channels
    ("wan-14b", "wan-5b", "transformer"),
}
"""Parts of another model that do what the own ones do."""


def _entries(place):
    index = json.loads((place / "model_index.json").read_text())
    return {
        part: entry
        for part, entry in index.items()
        if isinstance(entry, list) and entry[0] is not None
    }


def _like(one, other, part):
    """Whether a part of a tiny model is made like that of another one."""
    configs = [inspect_folder(place).parts[part].config for place in (one, other)]
    told = ("_class_name", "model_type", "tokenizer_class", "in_channels", "is_residual")
    told = (*told, "invert_sigmas", "hidden_size", "d_model")
    return all(configs[0].get(name) == configs[1].get(name) for name in told)


def _is_flow(name, other, scheduler):
    return not {name, other} & {"cogvideox", "mochi", "kandinsky"} and scheduler.startswith(
        ("UniPC", "FlowMatch")
    )


@pytest.mark.parametrize("renamed", [False, True], ids=["folder", "folder-and-index"])
@pytest.mark.parametrize("other", list(tiny_models.BUILDERS))
@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
@pytest.mark.cases(10)
def test_each_part_of_each_other_model_is_named(folders, put_together, name, other, renamed):
    place, own = put_together(name), folders(name)
    ours, theirs = _entries(own), _entries(folders(other))
    for part in ours.keys() & theirs.keys():
        if part == "transformer" and "transformer_2" in ours and name != other:
            continue  # one of two
        shutil.rmtree(place / part)
        shutil.copytree(folders(other) / part, place / part)
        index = place / "model_index.json"
        before = index.read_text()
        if renamed:
            index.write_text(json.dumps(json.loads(before) | {part: theirs[part]}))
        if _like(own, folders(other), part) or (name, other, part) in MADE_TO_FIT:
            inspect_folder(place)
        elif renamed and part == "scheduler" and _is_flow(name, other, theirs[part][1]):
            inspect_folder(place)  # another way along the same flow
        else:
            found = problem(place)
            assert found.params["part"] == part
            # Of ByT5's tokenizer there is no vocabulary.
            missing = part == "tokenizer_2" and not renamed and other == "hunyuan-1.5"
            assert found.code == ("folder.part_missing" if missing else "folder.wrong_part")
        index.write_text(before)
        shutil.rmtree(place / part)
        shutil.copytree(own / part, place / part)


@pytest.mark.parametrize(
    ("name", "own", "other"),
    [
        ("wan-14b-image", "CLIPVisionModel", "SiglipVisionModel"),
        ("hunyuan-1.5", "SiglipVisionModel", "CLIPVisionModel"),
    ],
)
@pytest.mark.parametrize("renamed", [False, True])
def test_an_image_encoder_of_another_model_is_named(put_together, name, own, other, renamed):
    part = "image_encoder"
    place = put_together(name)
    encoder = getattr(transformers, other)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    encoder(encoder.config_class(**shape)).save_pretrained(place / part)
    index = place / "model_index.json"
    entry = {part: ["transformers", other if renamed else own]}
    index.write_text(json.dumps(json.loads(index.read_text()) | entry))
    found = problem(place)
    assert (found.code, found.params["part"]) == ("folder.wrong_part", part)


@pytest.mark.parametrize("class_name", ["Gemma3ForCausalLM", "Gemma4ForCausalLM"])
def test_a_text_encoder_without_the_rest_of_its_model_is_itself(put_together, class_name):
    place = put_together("ltx2", text_encoder=["transformers", class_name])
    config = place / "text_encoder" / "config.json"
    inner = json.loads(config.read_text())["text_config"]
    told = getattr(transformers, class_name).config_class.model_type
    config.write_text(json.dumps(inner | {"model_type": told}))
    assert inspect_folder(place).parts["text_encoder"].class_name == class_name


def test_a_whole_encoder_is_not_the_text_model_inside(put_together):
    place = put_together("ltx2")
    config = place / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "gemma3_text"}))
    assert problem(place).params["part"] == "text_encoder"


@pytest.mark.parametrize("words", [16, 4096])
@pytest.mark.parametrize(("name", "part"), [("wan-5b", "tokenizer"), ("hunyuan-1.5", "tokenizer")])
def test_a_tokenizer_of_another_model_is_named(put_together, name, part, words):
    place = put_together(name)
    if name == "wan-5b":
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
        pieces += [(f"word{number}", -3.0) for number in range(words)]
        made = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    else:
        pieces = ["<|endoftext|>", *(f"word{number}" for number in range(words))]
        vocab = {piece: number for number, piece in enumerate(pieces)}
        made = transformers.Qwen2Tokenizer(vocab=vocab, merges=[])
    shutil.rmtree(place / part)
    made.save_pretrained(place / part)
    with pytest.raises(FolderError) as caught:
        load(place)
    assert (caught.value.code, caught.value.params["part"]) == ("folder.wrong_part", part)


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


@pytest.mark.parametrize("name", ["ltx2", "kandinsky"])
@pytest.mark.parametrize(
    ("part", "keys"),
    [("audio_vae", ("mel_bins", "latent_channels")), ("vocoder", ("in_channels", "num_mels"))],
)
def test_a_part_for_sound_of_another_model_is_named(put_together, name, part, keys):
    place = put_together(name)
    config = place / part / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {key: 2 * values[key] for key in keys if key in values}))
    found = problem(place)
    assert (found.code, found.params["part"]) == ("folder.wrong_part", part)


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


def test_a_vocabulary_that_cannot_be_read_is_named(put_together):
    folder = inspect_folder(put_together("wan-5b"))
    place = folder.parts["tokenizer"].path
    for file in place.iterdir():
        file.unlink()
    (place / "spiece.model").symlink_to("/proc/self/mem")  # fails when it is read
    with pytest.raises(FolderError) as caught:
        check_vocabularies(folder)
    assert caught.value.code == "folder.no_permission"
    assert str(place) in caught.value.params["path"]
