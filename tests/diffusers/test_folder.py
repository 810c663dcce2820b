"""Folders: what they hold is read without torch, and what is wrong with one is said."""

import codecs
import inspect
import json
import os
import shutil
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from structlog.testing import capture_logs

from commands.text.messages import error_text
from inference.diffusers_pipelines.families import FAMILIES
from inference.diffusers_pipelines.weights.classes import silence
from inference.diffusers_pipelines.weights.folder import PART_NAMES, FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.repository import verify_parts
from inference.domain.errors import UserError
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.registry import Models
from tests.diffusers import tiny_models
from tests.diffusers.damage import edit, problem
from tests.diffusers.renders import load

_TEXT_ONLY = {"wan-14b", "wan-vace", "hunyuan-1.5", "cogvideox", "mochi"}


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_a_whole_folder_is_understood(folders, name):
    found = inspect_folder(folders(name))

    index = json.loads((folders(name) / "model_index.json").read_text())
    assert found.pipeline_class == index["_class_name"]
    assert found.size_bytes == sum(file.stat().st_size for file in folders(name).glob("*/*.saf*"))
    assert found.makes_from_image == (name not in _TEXT_ONLY)
    assert found.makes_from_text == (not name.endswith("image"))
    assert found.takes_last == (name in {"wan-14b-image", "ltx-video", "ltx2"})
    assert found.sound == (name in {"ltx2", "kandinsky"})


@pytest.mark.parametrize(
    ("room", "takes", "needs"), [(None, False, False), (514, True, True)], ids=["i2v", "flf2v"]
)
def test_wan_21_takes_one_picture_or_needs_two(folders, tmp_path, room, takes, needs):
    place = shutil.copytree(folders("wan-14b-image"), tmp_path / "model")
    edit(place / "transformer" / "config.json", image_dim=1280, pos_embed_seq_len=room)
    assert problem(place).params["part"] == "image_encoder"
    shutil.copytree(place / "text_encoder", place / "image_encoder")
    edit(place / "image_encoder" / "config.json", model_type="clip_vision_model", d_model=1280)
    shutil.copytree(place / "scheduler", place / "image_processor")
    edit(
        place / "model_index.json",
        image_encoder=["transformers", "CLIPVisionModel"],
        image_processor=["transformers", "CLIPImageProcessor"],
    )
    found = inspect_folder(place)
    assert (found.takes_last, found.needs_last) == (takes, needs)
    known = capabilities_of(entry_of("mine", DiffusersTable(path=str(place))))
    assert known.needs_last == needs
    assert known.extends != needs  # a later pass would have no last frame


def test_files_of_the_config_become_whole_paths(folders, monkeypatch):
    place = folders("wan-5b")
    monkeypatch.chdir(place.parent)
    table = {"engine": "diffusers", "path": place.name, "loras": ["ink.safetensors"]}
    values = Models({"mine": table}).entry("mine").values
    assert values == {
        "path": str(place),
        "loras": [{"file": str(place.parent / "ink.safetensors")}],
    }


def test_wans_5b_wants_sides_of_32(folders):
    assert inspect_folder(folders("wan-5b")).multiple == 32
    assert inspect_folder(folders("wan-14b")).multiple == 16


def test_later_cogvideox_has_clips_of_its_own_kind(folders, tmp_path):
    place = shutil.copytree(folders("cogvideox"), tmp_path / "model")

    def known():
        model = capabilities_of(entry_of("mine", DiffusersTable(path=str(place))))
        return model.file_fps, max(model.lengths)

    assert known() == (8, 49)
    edit(place / "transformer" / "config.json", patch_size_t=2)
    assert known() == (16, 81)


@pytest.mark.parametrize(("name", "fps"), [("wan-5b", 24), ("wan-14b", 16)])
def test_a_folder_of_wan_has_the_rate_of_its_model(folders, name, fps):
    known = capabilities_of(entry_of("mine", DiffusersTable(path=str(folders(name)))))
    assert known.file_fps == fps


def test_looking_at_a_folder_needs_no_torch(folders):
    code = (
        "import sys; from pathlib import Path;"
        "from inference.diffusers_pipelines.weights.inspection import inspect_folder;"
        "from inference.diffusers_pipelines.memory_plan import choose_plan, footprint_of;"
        f"footprint_of(inspect_folder(Path({str(folders('ltx2'))!r})));"
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_folder(tmp_path):
    assert problem(tmp_path / "none").code == "folder.missing"


@pytest.mark.parametrize("name", ["model_index.json", "transformer/config.json"])
def test_a_byte_order_mark_is_told(folder, name):
    path = folder / name
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    found = problem(folder)
    assert (found.code, found.params) == ("folder.byte_order_mark", {"file": name})


def test_no_index(folder):
    (folder / "model_index.json").unlink()
    assert problem(folder).code == "folder.no_index"


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "[" * 100_000], ids=range(5))
def test_damaged_index(folder, text):
    (folder / "model_index.json").write_text(text, encoding="latin-1")
    assert problem(folder).code == "folder.unreadable"


def test_a_modular_pipeline(folder):
    (folder / "model_index.json").rename(folder / "modular_model_index.json")
    assert problem(folder).code == "folder.modular"


def test_a_modular_pipeline_by_its_class(folder):
    edit(folder / "model_index.json", _class_name="WanModularPipeline")
    assert problem(folder).code == "folder.modular"


@pytest.mark.parametrize("name", ["WanDMDPipeline", "StableDiffusionPipeline"])
def test_an_unknown_class(folder, name):
    edit(folder / "model_index.json", _class_name=name)
    found = problem(folder)
    assert (found.code, found.params) == ("folder.unknown_class", {"name": name})


def test_a_path_and_a_preset_that_disagree(folder):
    with pytest.raises(UserError) as caught:
        Models({"mine": {"engine": "diffusers", "path": str(folder), "preset": "ltx"}}).entry(
            "mine"
        )
    assert caught.value.code == "folder.other_preset"
    told = error_text(caught.value, "en")
    assert str(folder) in told
    assert "WanPipeline, which is not the preset ltx" in told


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("wan-5b", "wan-small", "wan"),
        ("wan-5b", "wan-14b", "wan"),
        ("wan-14b", "wan", "wan-14b"),
        ("wan-14b", "wan-small", "wan-14b"),
        ("wan-14b-image", "wan", "wan-14b"),
    ],
)
def test_a_preset_of_another_model_of_the_family(folders, name, wrong, right):
    table = {"engine": "diffusers", "path": str(folders(name)), "preset": wrong}
    with pytest.raises(UserError) as caught:
        Models({"mine": table}).entry("mine")
    assert caught.value.code == "folder.other_model"
    told = error_text(caught.value, "en")
    assert f"the preset {right}, not of {wrong}. Set preset to {right}" in told
    Models({"mine": table | {"preset": right}}).entry("mine")


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": ["pipeline", "WanPipeline"]},
        {"transformer": ["my_transformer", "WanTransformer3DModel"]},
        {"transformer": ["../evil", "WanTransformer3DModel"]},
    ],
)
def test_code_that_comes_with_a_folder_is_not_run(folder, changes):
    (folder / "my_transformer.py").write_text("raise SystemExit('ran')")
    edit(folder / "model_index.json", **changes)
    assert problem(folder).code == "folder.custom_code"


@pytest.mark.parametrize("name", ["../other", "a/b", "two words"])
def test_a_part_is_a_folder_in_the_folder(folder, name):
    edit(folder / "model_index.json", **{name: ["diffusers", "AutoencoderKLWan"]})
    found = problem(folder)
    assert (found.code, found.params) == ("folder.unreadable", {"file": "model_index.json"})


@pytest.mark.parametrize(
    "gone",
    [
        "vae",
        "tokenizer",
        "tokenizer/tokenizer.json",  # otherwise the class makes one that knows no word
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        "text_encoder/model.safetensors",
        "transformer_2/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_part_that_is_missing_is_named(folder, gone):
    place = folder / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    found = problem(folder)
    assert found.code == "folder.part_missing"
    assert found.params["file"].rstrip("/") == gone


@pytest.mark.parametrize("name", ["transformer_2", "text_encoder", "tokenizer"])
def test_a_part_that_the_index_leaves_out(folder, name):
    edit(folder / "model_index.json", **{name: [None, None]})
    found = problem(folder)
    assert (found.code, found.params["part"]) == ("folder.part_missing", name)


def test_the_names_of_all_parts_are_known():
    given = {
        name
        for family in FAMILIES
        for kind in family.classes
        for name in inspect.signature(getattr(diffusers, kind)).parameters
    }
    assert given - PART_NAMES == {
        "boundary_ratio",
        "expand_timesteps",
        "force_zeros_for_empty_prompt",
    }
    assert given >= PART_NAMES


def test_an_unexpected_error_breaks_only_its_own_model(folder, folders, monkeypatch):
    def check(found, _gguf):
        if found.path == folder:
            raise TypeError("unhashable")

    monkeypatch.setattr("inference.diffusers_pipelines.weights.inspection.check_match", check)
    tables = {
        "broken": {"engine": "diffusers", "path": str(folder)},
        "sound": {"engine": "diffusers", "path": str(folders("wan-5b"))},
    }
    models = Models(tables)
    with capture_logs() as logs:
        found = models.usable(tables)
    assert [entry.capabilities.name for entry in found] == ["sound"]
    error = models.problems["broken"]
    assert error.code == "folder.bug"
    assert error.params["bug_id"] in error_text(error, "en")
    assert [log["error"] for log in logs if log["event"] == "folder.bug"] == ["TypeError"]


@pytest.mark.parametrize("class_name", ["ClassifierFreeGuidance", "AnyGuider"])
def test_a_guider_without_its_config_is_missing(folders, tmp_path, class_name):
    place = shutil.copytree(folders("hunyuan-1.5"), tmp_path / "model")
    edit(place / "model_index.json", guider=["diffusers", class_name])
    (place / "guider" / "guider_config.json").rename(place / "guider" / "other.json")
    found = problem(place)
    assert found.code == "folder.part_missing"
    assert found.params == {"part": "guider", "file": "guider/guider_config.json"}


def test_the_config_of_a_picture_processor_is_read(folders, tmp_path):
    place = shutil.copytree(folders("hunyuan-1.5"), tmp_path / "model")
    edit(place / "model_index.json", feature_extractor=["transformers", "SiglipImageProcessorPil"])
    (place / "feature_extractor").mkdir()
    config = place / "feature_extractor" / "preprocessor_config.json"
    config.write_text('{"size": {"height": 384}}')
    assert inspect_folder(place).parts["feature_extractor"].config == {"size": {"height": 384}}
    config.write_text("{")
    found = problem(place)
    assert (found.code, found.params["file"]) == (
        "folder.unreadable",
        "feature_extractor/preprocessor_config.json",
    )


def test_a_part_of_another_pipeline_is_left_alone(folders, tmp_path):
    """LTX-2.5 names a second decoder, which has a pipeline of its own."""
    place = shutil.copytree(folders("ltx2"), tmp_path / "model")
    edit(place / "model_index.json", diffusion_decoder=["ltx2", "LTX2VideoDiffusionDecoderModel"])
    folder = inspect_folder(place)
    assert "diffusion_decoder" not in folder.parts
    assert load(place).loaded


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="it is here")
def test_a_processor_names_the_torchvision_that_it_needs(folders, tmp_path):
    folder = shutil.copytree(folders("kandinsky"), tmp_path / "model")
    edit(folder / "model_index.json", tokenizer=["transformers", "Qwen2_5_VLProcessor"])
    transformers.Qwen2VLImageProcessor().save_pretrained(folder / "tokenizer")
    found = problem(folder, loaded=True)
    assert (found.code, found.params["name"]) == ("folder.no_torchvision", "Qwen2_5_VLProcessor")
    minor = int(torch.__version__.split(".")[1])
    assert found.params["version"] == f"0.{minor + 15}.*"


def test_without_diffusers_a_folder_is_read_and_a_check_names_what_is_missing(folders, monkeypatch):
    place = folders("ltx2")  # its connectors are of a package in diffusers
    monkeypatch.delitem(sys.modules, "inference.diffusers_pipelines.weights.parts")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    folder = inspect_folder(place)
    with pytest.raises(FolderError) as caught:
        verify_parts(folder)
    assert (caught.value.code, caught.value.params) == (
        "folder.no_library",
        {"package": "diffusers"},
    )


@pytest.mark.slow
@pytest.mark.process
def test_a_torchvision_that_does_not_match_is_named(folder, tmp_path):
    """It breaks every import of diffusers; here one that fails as such a build does."""
    wrong = tmp_path / "wrong" / "torchvision"
    wrong.mkdir(parents=True)
    (wrong / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    about = wrong.with_name("torchvision-0.1.0.dist-info")
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1.0\n")
    code = (
        "from inference.engines.registry import Models;"
        "from inference.domain.errors import EngineError;"
        f"models = Models({{'wan-14b': {{'path': {str(folder)!r}}}}});"
        "\ntry: models.create('wan-14b').load(lambda *_: None)"
        "\nexcept EngineError as error: print(error.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(wrong.parent), str(Path.cwd())])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "folder.no_torchvision", done.stderr


def test_loading_tells_its_progress_and_can_be_stopped(folder):
    from inference.diffusers_pipelines.pipeline import Settings, VideoModel

    seen = []
    model = VideoModel(inspect_folder(folder), torch.device("cpu"), Settings())

    def stop(done, total, part):
        seen.append((done, total, part))
        if part == "vae":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.load(stop)
    assert not model.loaded
    model.load(lambda *report: seen.append(report))
    assert seen[-1][0] == seen[-1][1] == inspect_folder(folder).size_bytes
    assert {"transformer", "transformer_2", "text_encoder"} <= {part for _, _, part in seen}


def test_warnings_of_the_libraries_stay_out_of_the_log():
    with warnings.catch_warnings():
        silence()
        said = {"message": "not supported", "category": UserWarning, "filename": "f", "lineno": 1}
        warnings.warn_explicit(**said, module="diffusers.models.transformers.transformer_mochi")
        with pytest.raises(UserWarning):
            warnings.warn_explicit(**said, module="diffusersomething")
