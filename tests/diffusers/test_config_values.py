"""Values in the configs of a folder: those that no class can work with are named."""

import json
import shutil
from dataclasses import replace

import diffusers
import pytest
from structlog.testing import capture_logs

from commands.text.messages import error_text
from inference.diffusers_pipelines.weights.bad_values import first_bad_value
from inference.diffusers_pipelines.weights.classes import find_class
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.repository import verify_parts
from inference.diffusers_pipelines.weights.trials import check_tensors
from tests.diffusers import tiny_models
from tests.diffusers.damage import edit, problem
from tests.diffusers.renders import load, render, request


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
    assert "not in its config" in error_text(found, "en")


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
    assert (found.code, found.params["key"]) == ("folder.bad_value", key)
    assert found.params["value"] == json.dumps(value)
    assert f"{key} = {json.dumps(value)}" in error_text(found, "en")


@pytest.mark.parametrize(
    ("name", "part", "changes"),
    [
        ("wan-5b", "transformer", {"eps": None}),
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
        ("ltx2", "audio_vae/config.json", {"mel_hop_length": -1}),
        ("ltx2", "vocoder/config.json", {"hop_length": 0}),
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


@pytest.mark.parametrize(
    ("name", "file", "changes"),
    [
        ("wan-14b", "tokenizer/tokenizer_config.json", {"model_max_length": "512"}),
        ("wan-14b", "tokenizer/tokenizer_config.json", {"model_max_length": 0}),
        ("wan-14b", "tokenizer/tokenizer_config.json", {"eos_token": 7}),
        ("wan-14b", "tokenizer/tokenizer_config.json", {"pad_token": None}),
        ("wan-14b", "text_encoder/config.json", {"vocab_size": 0}),
        ("kandinsky", "text_encoder_2/config.json", {"num_attention_heads": -1}),
        ("wan-14b", "transformer/config.json", {"rope_max_seq_len": 1}),
        ("wan-5b", "vae/config.json", {"patch_size": 3}),
        ("ltx-video", "vae/config.json", {"patch_size_t": 2}),  # only decoding fails
        ("kandinsky", "text_encoder_2/config.json", {"num_attention_heads": 3}),
    ],
)
@pytest.mark.cases(10)
def test_a_value_that_a_trial_finds_is_named_by_the_check(folders, tmp_path, name, file, changes):
    place = shutil.copytree(folders(name), tmp_path / "model")
    edit(place / file, **changes)
    with pytest.raises(FolderError) as caught:
        verify_parts(inspect_folder(place))
    [(key, value)] = changes.items()
    assert caught.value.code == "folder.bad_value"
    assert caught.value.params == {"file": file, "key": key, "value": json.dumps(value)}


@pytest.mark.parametrize(
    ("name", "file", "changes", "code"),
    [
        ("wan-14b", "text_encoder/config.json", {"num_heads": 3}, "mismatch"),
        ("cogvideox", "vae/config.json", {"norm_num_groups": 3}, "unreadable"),
        ("hunyuan-1.5", "text_encoder/config.json", {"num_attention_heads": 3}, "unreadable"),
    ],
)
@pytest.mark.cases(3)
def test_a_config_of_no_model_is_found_by_the_check(folders, tmp_path, name, file, changes, code):  # noqa: PLR0917 - a table
    place = shutil.copytree(folders(name), tmp_path / "model")
    edit(place / file, **changes)
    with pytest.raises(FolderError) as caught:
        verify_parts(inspect_folder(place))
    assert caught.value.code == f"folder.{code}"
    assert file.partition("/")[0] in str(caught.value.params)


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_a_whole_model_passes_every_trial(folders, name):
    verify_parts(inspect_folder(folders(name)))


@pytest.mark.parametrize(
    ("name", "file", "changes"),
    [
        # a thousand of its steps rounds to more than one
        ("ltx-video", "scheduler/scheduler_config.json", {"shift": 1.82}),
        # old versions of transformers saved it
        ("ltx-video", "text_encoder/config.json", {"pruned_heads": {}}),
    ],
)
def test_a_rare_value_of_a_whole_model_passes_every_trial(folders, tmp_path, name, file, changes):
    place = shutil.copytree(folders(name), tmp_path / "model")
    edit(place / file, **changes)
    verify_parts(inspect_folder(place))


def test_a_tokenizer_that_is_damaged(folder):
    for file in (folder / "tokenizer").iterdir():
        file.write_text("{")
    assert problem(folder, loaded=True).code == "folder.unreadable"
