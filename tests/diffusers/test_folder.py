"""Folders: what they hold is read without torch, and what is wrong with one is said."""

import inspect
import json
import os
import shutil
import struct
import subprocess
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from commands.text.messages import error_text
from inference.diffusers_pipelines.families import FAMILIES
from inference.diffusers_pipelines.weights.folder import PART_NAMES, FolderError
from inference.diffusers_pipelines.weights.headers import HeaderError, read_header
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.parts import check_tensors, find_class, silence
from inference.diffusers_pipelines.weights.suspects import first_bad_value
from inference.domain.errors import UserError
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.registry import Models
from tests.diffusers import tiny_models
from tests.diffusers.renders import load, render, request


@pytest.fixture
def folder(folders, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(folders("wan-14b"), tmp_path / "model")


def edit(path, **changes):
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(data))


def weights(folder, part="transformer"):
    name = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    return folder / part / f"{name}.safetensors"


def problem(folder, *, loaded=False):
    with pytest.raises(FolderError) as caught:
        load(folder) if loaded else inspect_folder(folder)
    return caught.value


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


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_the_tensors_of_every_part_are_those_of_its_class(folders, name):
    for part in inspect_folder(folders(name)).parts.values():
        if part.is_network:
            check_tensors(part)


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
        "from inference.diffusers_pipelines.memory import choose_plan, footprint_of;"
        f"footprint_of(inspect_folder(Path({str(folders('ltx2'))!r})));"
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_folder(tmp_path):
    assert problem(tmp_path / "none").code == "folder.missing"


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


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("vae/config.json", {"scale_factor_spatial": 0}),
        ("vae/config.json", {"scale_factor_spatial": -8}),
        ("model_index.json", {"boundary_ratio": "high"}),
        ("vae/config.json", {"scale_factor_spatial": True}),
        ("vae/config.json", {"scale_factor_temporal": 8}),
        ("vae/config.json", {"scale_factor_temporal": "x"}),
        ("vae/config.json", {"latents_mean": [0.0]}),
        ("vae/config.json", {"latents_mean": ["a"] * 16}),
        ("vae/config.json", {"latents_mean": [float("nan")] * 16}),
        ("vae/config.json", {"latents_std": 1.0}),
        ("vae/config.json", {"latents_std": [0.0] * 16}),
        ("model_index.json", {"boundary_ratio": 900}),
        ("model_index.json", {"boundary_ratio": True}),
        ("model_index.json", {"boundary_ratio": None}),  # one expert would never be asked
        ("model_index.json", {"expand_timesteps": "no"}),
        ("model_index.json", {"_class_name": 7}),
        ("model_index.json", {"_class_name": ""}),
        *(("vae/config.json", {"scaling_factor": value}) for value in (0, float("nan"), "x")),
        *(
            (file, {key: value})
            for value in (float("nan"), float("inf"))
            for file, key in [
                ("transformer/config.json", "eps"),
                ("text_encoder/config.json", "layer_norm_epsilon"),
                ("tokenizer/tokenizer_config.json", "model_max_length"),
            ]
        ),
        ("scheduler/scheduler_config.json", {"flow_shift": float("nan")}),
        ("model_index.json", {"transformer_2": "abc"}),
        ("model_index.json", {"transformer_2": 7}),
        ("model_index.json", {"image_processor": {}}),
        ("model_index.json", {"vae": []}),
        ("model_index.json", {"vae": ["diffusers", 1]}),
        *(
            (f"{part}/{file}", {key: value})
            for part, file, key in [
                ("vae", "config.json", "_class_name"),
                ("transformer", "config.json", "_class_name"),
                ("text_encoder", "config.json", "model_type"),
                ("scheduler", "scheduler_config.json", "_class_name"),
                ("tokenizer", "tokenizer_config.json", "tokenizer_class"),
            ]
            for value in (["a"], {}, 7, True)
        ),
    ],
)
def test_a_setting_that_cannot_be(folder, file, changes):
    edit(folder / file, **changes)
    found = problem(folder)
    assert found.code == "folder.bad_value"
    assert (found.params["file"], found.params["key"]) == (file, next(iter(changes)))


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


def shards(folder, names, part="transformer", **changes):
    """Write the index of weights in several files."""
    index = weights(folder, part).with_suffix(".safetensors.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": names} | changes))
    return index


def test_a_shard_that_is_missing(folder):
    weights(folder).unlink()
    shards(folder, {"a": "diffusion_pytorch_model-1.safetensors"})
    assert problem(folder).code == "folder.part_missing"


def test_weights_in_several_files(folder):
    tensors = load_file(weights(folder))
    names = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(names.values()):
        own = {name: tensor for name, tensor in tensors.items() if names[name] == file}
        save_file(own, folder / "transformer" / file, metadata={"format": "pt"})
    weights(folder).unlink()
    index = shards(folder, names)
    assert load(folder).loaded
    index.write_text(json.dumps({"weight_map": names}))
    found = problem(folder)  # no library reads it without metadata
    assert found.params == {"file": f"transformer/{index.name}"}


def test_an_index_beside_a_whole_file_counts_where_the_library_reads_it(folder):
    gone = "diffusion_pytorch_model-00001-of-00002.safetensors"
    shards(folder, {"a": "model-00001-of-00002.safetensors"}, "text_encoder")
    assert load(folder).loaded
    shards(folder, {"a": gone})
    found = problem(folder)
    assert (found.code, found.params["file"]) == ("folder.part_missing", f"transformer/{gone}")


def test_an_index_of_pickles(folder):
    weights(folder).rename(weights(folder).with_suffix(".bin"))
    shards(folder, {"a": "diffusion_pytorch_model.bin"})
    assert problem(folder).code == "folder.pickle"


def test_a_shard_outside_of_the_folder(folder, tmp_path):
    shutil.copy(weights(folder), tmp_path / "outside.safetensors")
    weights(folder).unlink()
    shards(folder, {"a": "../../outside.safetensors"})
    assert problem(folder).code == "folder.part_missing"


@pytest.mark.parametrize("end", [-100, 100, 4, 0])
def test_weights_that_are_cut_short(folder, end):
    path = weights(folder)
    path.write_bytes(path.read_bytes()[:end])
    found = problem(folder)
    assert (found.code, found.params["part"]) == ("folder.truncated", "transformer")
    assert found.params["file"] == path.relative_to(folder).as_posix()


def test_pickles_are_not_read(folder):
    tensors = load_file(weights(folder))
    torch.save(tensors, weights(folder).with_suffix(".bin"))
    weights(folder).unlink()
    assert problem(folder, loaded=True).code == "folder.pickle"


@pytest.mark.parametrize("part", ["transformer_2", "vae", "text_encoder"])
def test_a_tensor_that_is_missing_is_named(folder, part):
    tensors = load_file(weights(folder, part))
    gone = next(name for name in tensors if name.endswith("weight") and "block" in name)
    del tensors[gone]
    save_file(tensors, weights(folder, part), metadata={"format": "pt"})
    found = problem(folder, loaded=True)
    assert (found.code, found.params["part"]) == ("folder.mismatch", part)


def test_weights_for_other_shapes(folder):
    edit(folder / "transformer" / "config.json", ffn_dim=64)
    found = problem(folder, loaded=True)
    assert (found.code, found.params["part"]) == ("folder.mismatch", "transformer")


@pytest.mark.parametrize(
    ("part", "changes", "tensor"),
    [
        ("transformer", {"num_layers": 1}, "blocks.1."),
        ("transformer", {"num_layers": 0}, "blocks.0."),
        ("transformer", {"num_layers": -1}, "blocks.0."),
        ("transformer", {"cross_attn_norm": False}, "blocks.0.norm2"),
        (
            "vae",
            {"temperal_downsample": [False] * 3},
            "decoder.up_blocks.0.upsamplers.0.time_conv.",
        ),
        ("text_encoder", {"num_layers": 1}, "encoder.block.1."),
        ("text_encoder", {"num_layers": 0}, "encoder.block.0."),
    ],
)
def test_a_config_that_leaves_out_tensors(folder, part, changes, tensor):
    edit(folder / part / "config.json", **changes)
    found = problem(folder, loaded=True)
    assert (found.code, found.params["part"]) == ("folder.extra_tensors", part)
    assert tensor in found.params["tensors"]
    assert "knows nothing of" in error_text(found, "en")


def test_a_tensor_of_no_network(folder):
    tensors = load_file(weights(folder)) | {"blocks.0.extra.weight": torch.zeros(1)}
    save_file(tensors, weights(folder), metadata={"format": "pt"})
    assert problem(folder, loaded=True).params["tensors"] == "blocks.0.extra.weight"


def test_tensors_that_a_class_ignores_are_no_fault(folder):
    tensors = load_file(weights(folder)) | {"blocks.0.attn2.norm_added_q.weight": torch.zeros(1)}
    save_file(tensors, weights(folder), metadata={"format": "pt"})
    assert load(folder).loaded


def test_whole_numbers_are_no_weights(folder):
    tensors = {name: tensor.int() for name, tensor in load_file(weights(folder)).items()}
    save_file(tensors, weights(folder), metadata={"format": "pt"})
    assert problem(folder, loaded=True).code == "folder.mismatch"


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("transformer", {"num_layers": "many"}),
        ("transformer", {"num_layers": 10**9}),  # it would be built for ever
        ("transformer", {"rope_max_seq_len": 10**12}),  # a table of that size is made at once
        ("transformer", {"eps": "x"}),  # only a clip would compute with it
        ("transformer", {"patch_size": 0}),
        ("transformer", {"patch_size": 3}),
        ("transformer", {"num_attention_heads": 0}),
        ("vae", {"is_residual": "x"}),
        ("vae", {"temperal_downsample": "x"}),
        ("text_encoder", {"d_kv": None}),
        ("text_encoder", {"num_heads": 0}),
    ],
)
def test_a_config_that_makes_no_network(folder, part, changes):
    edit(folder / part / "config.json", **changes)
    found = problem(folder, loaded=True)
    [(key, value)] = changes.items()
    assert found.params["file"] == f"{part}/config.json"
    if key == "temperal_downsample":
        assert found.code == "folder.unreadable"
    else:
        assert (found.code, found.params["key"]) == ("folder.bad_value", key)
        assert found.params["value"] == json.dumps(value)
        assert f"{key} = {json.dumps(value)}" in error_text(found, "en")


@pytest.mark.parametrize(
    ("name", "part", "changes"),
    [
        ("wan-5b", "transformer", {"rope_max_seq_len": 0}),
        ("wan-5b", "transformer", {"eps": None}),
        ("wan-5b", "vae", {"patch_size": 0}),
        ("wan-5b", "vae", {"latents_mean": None}),
        ("cogvideox", "transformer", {"norm_eps": None}),
        ("cogvideox", "transformer", {"max_text_seq_length": 0}),
        ("ltx-video", "transformer", {"patch_size": 0}),
        ("hunyuan-1.5", "transformer", {"rope_axes_dim": [0, 0, 0]}),
        ("hunyuan-1.5", "transformer", {"rope_theta": None}),
    ],
)
@pytest.mark.cases(3)
def test_a_value_that_fails_only_in_a_clip_is_named(folders, tmp_path, name, part, changes):
    place = shutil.copytree(folders(name), tmp_path / "model")
    edit(place / part / "config.json", **changes)
    with capture_logs() as logs, pytest.raises(FolderError) as caught:
        render(load(place), request(name))
    [(key, value)] = changes.items()
    [logged] = [entry for entry in logs if entry["event"] == "clip.bad_value"]
    assert (logged["file"], logged["key"]) == (f"{part}/config.json", key)
    assert caught.value.code == "folder.bad_value"
    assert caught.value.params == {
        "file": f"{part}/config.json",
        "key": key,
        "value": json.dumps(value),
    }


@pytest.mark.parametrize(
    ("name", "file", "changes"),
    [
        *(
            ("ltx2", "vocoder/config.json", {"output_sampling_rate": value})
            for value in (0, [], -1, None, "x")
        ),
        ("ltx2", "audio_vae/config.json", {"sample_rate": 0}),
        ("ltx2", "vocoder/config.json", {"upsample_factors": [10**5, 2, 2]}),
        ("ltx2", "vocoder/config.json", {"upsample_factors": []}),
        ("wan-5b", "scheduler/scheduler_config.json", {"num_train_timesteps": 1e11}),
        ("wan-5b", "scheduler/scheduler_config.json", {"num_train_timesteps": 0}),
        ("wan-5b", "scheduler/scheduler_config.json", {"solver_order": 10**5}),
        ("wan-5b", "vae/config.json", {"num_res_blocks": 10**7}),
        ("wan-5b", "vae/config.json", {"scale_factor_spatial": 10**5}),
        ("ltx-video", "vae/config.json", {"layers_per_block": [10**7] * 4}),
        ("ltx-video", "vae/config.json", {"spatial_compression_ratio": 1e9}),
        ("ltx-video", "vae/config.json", {"block_out_channels": [8] * 10**5}),
    ],
)
def test_a_number_beyond_all_models_is_named_at_once(folders, tmp_path, name, file, changes):
    place = shutil.copytree(folders(name), tmp_path / "model")
    edit(place / file, **changes)
    found = problem(place)
    assert found.code == "folder.bad_value"
    assert (found.params["file"], found.params["key"]) == (file, next(iter(changes)))


@pytest.mark.parametrize("value", [10**5, [10**5] * 4])
def test_more_layers_than_tensors_are_not_built(folders, tmp_path, value):
    place = shutil.copytree(folders("ltx-video"), tmp_path / "model")
    edit(place / "vae" / "config.json", layers_per_block=value)
    with pytest.raises(FolderError) as caught:
        check_tensors(inspect_folder(place).parts["vae"])
    assert caught.value.params["key"] == "layers_per_block"


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_no_value_of_a_whole_model_is_blamed(folders, name):
    parts = inspect_folder(folders(name)).parts
    kinds = {key: find_class(part) for key, part in parts.items()}
    assert first_bad_value(parts, kinds) is None


def test_no_default_or_unused_value_is_blamed(folders, tmp_path):
    place = shutil.copytree(folders("hunyuan-1.5"), tmp_path / "model")
    diffusers.DPMSolverMultistepScheduler().save_pretrained(place / "scheduler")
    edit(place / "text_encoder" / "config.json", projection_dim=0)  # as files of CLIP have it
    parts = dict(inspect_folder(folders("hunyuan-1.5")).parts)
    for name, class_name in (
        ("scheduler", "DPMSolverMultistepScheduler"),
        ("text_encoder", "CLIPTextModel"),
    ):
        parts[name] = replace(parts[name], path=place / name, class_name=class_name)
    assert "-Infinity" in (place / "scheduler" / "scheduler_config.json").read_text()
    for name, part in parts.items():
        assert first_bad_value({name: part}, {name: find_class(part)}) is None


@pytest.mark.parametrize("value", [True, 0, None])
def test_a_value_other_than_the_default_is_blamed(folders, tmp_path, value):
    place = shutil.copytree(folders("wan-5b"), tmp_path / "model")
    edit(place / "scheduler" / "scheduler_config.json", solver_order=value)
    scheduler = replace(
        inspect_folder(folders("wan-5b")).parts["scheduler"], path=place / "scheduler"
    )
    found = first_bad_value({"scheduler": scheduler}, {"scheduler": find_class(scheduler)})
    assert found is not None
    assert found.params["key"] == "solver_order"


def test_a_decoder_that_makes_other_frames_is_damaged(folders, tmp_path):
    place = shutil.copytree(folders("wan-5b"), tmp_path / "model")
    edit(place / "vae" / "config.json", patch_size=None)
    with pytest.raises(FolderError) as caught:
        render(load(place), request("wan-5b"))
    assert caught.value.params["file"] == "vae/config.json"


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


def test_a_scheduler_of_another_family(folder):
    edit(folder / "model_index.json", scheduler=["diffusers", "DDIMScheduler"])
    found = problem(folder, loaded=True)
    assert (found.code, found.params["part"]) == ("folder.wrong_part", "scheduler")


@pytest.mark.parametrize(
    "values",
    [
        {"prediction_type": "epsilonx"},
        {"prediction_type": "epsilon"},
        {"use_flow_sigmas": False},
        {"flow_shift": "x"},
        {"flow_shift": -1.0},
        {"use_flow_sigmas": "x"},
    ],
)
def test_a_scheduler_with_values_that_cannot_be(folder, values):
    edit(folder / "scheduler" / "scheduler_config.json", **values)
    found = problem(folder, loaded=True)
    assert found.params["file"] == "scheduler/scheduler_config.json"
    if found.code == "folder.bad_value":
        assert found.params["key"] in values
    else:
        assert found.code == "folder.unreadable"


def test_a_tokenizer_that_is_damaged(folder):
    for file in (folder / "tokenizer").iterdir():
        file.write_text("{")
    assert problem(folder, loaded=True).code == "folder.unreadable"


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="it is here")
def test_a_processor_names_the_torchvision_that_it_needs(folders, tmp_path):
    folder = shutil.copytree(folders("kandinsky"), tmp_path / "model")
    edit(folder / "model_index.json", tokenizer=["transformers", "Qwen2_5_VLProcessor"])
    transformers.Qwen2VLImageProcessor().save_pretrained(folder / "tokenizer")
    found = problem(folder, loaded=True)
    assert (found.code, found.params["name"]) == ("folder.no_torchvision", "Qwen2_5_VLProcessor")
    minor = int(torch.__version__.split(".")[1])
    assert found.params["version"] == f"0.{minor + 15}.*"


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


@given(st.binary(max_size=200))
def test_no_bytes_make_the_header_reader_fail_otherwise(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("header") / "a.safetensors"
    path.write_bytes(data)
    with suppress(HeaderError):
        assert isinstance(read_header(path), dict)


@given(
    st.recursive(st.none() | st.integers() | st.text(), st.lists)
    | st.dictionaries(
        st.text(), st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), st.text())
    )
)
def test_no_header_makes_the_reader_fail_otherwise(tmp_path_factory, header):
    data = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("header") / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data)
    with suppress(HeaderError):
        assert isinstance(read_header(path), dict)
