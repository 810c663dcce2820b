"""LoRAs of the config, merged into the weights; a file that is none is said."""

import json
import shutil

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from commands.text.messages import error_text
from inference.diffusers_pipelines.pipeline import Settings
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.loras import LoraFile, merge_loras
from inference.engines.registry import Models
from tests.diffusers.renders import load, render, request


@pytest.fixture
def lora(tmp_path, models):
    """Return a file with a LoRA for the attention of a tiny model's transformer."""

    def written(name):
        transformer = models(name).pipeline_for(request(name)).transformer
        random = torch.Generator().manual_seed(1)
        tensors = {
            f"transformer.{path}.lora_{half}.weight": torch.randn(shape, generator=random)
            for path, part in transformer.named_modules()
            if isinstance(part, torch.nn.Linear) and path.endswith(("to_q", "to_v"))
            for half, shape in (("A", (2, part.in_features)), ("B", (part.out_features, 2)))
        }
        file = tmp_path / f"{name}.safetensors"
        save_file(tensors, file)
        return file

    return written


@pytest.mark.parametrize(
    ("name", "table", "code"),
    [
        ("wan", {"loras_low_noise": ["a.safetensors"]}, "lora.no_part"),
        ("wan", {"loras": ["a.safetensors"], "gguf": "GGUF"}, "lora.gguf"),
        ("wan-14b", {"few": True, "gguf": "GGUF", "path": "wan-14b"}, "lora.gguf"),
    ],
)
def test_a_lora_that_no_config_can_have_is_told_at_the_start(folders, tmp_path, name, table, code):
    pytest.importorskip("gguf")
    from tests.diffusers.test_gguf import written

    file = written(tmp_path / "q8.gguf", "wan-14b")
    table = {key: str(file) if value == "GGUF" else value for key, value in table.items()}
    if "path" in table:
        table["path"] = str(folders(table["path"]))
    models = Models({name: table})
    assert models.usable([name]) == []
    assert models.problems[name].code == code


@pytest.mark.parametrize("name", ["wan-5b", "ltx-video"])
def test_a_lora_changes_the_clip_and_stays_merged(folders, models, lora, name):
    model = load(folders(name), Settings(loras={"transformer": (LoraFile(lora(name)),)}))
    changed = render(model, request(name)).frames
    assert not np.array_equal(changed, render(models(name), request(name)).frames)
    assert np.array_equal(changed, render(model, request(name)).frames)
    names = dict(model.pipeline_for(request(name)).transformer.named_modules())
    assert not [one for one in names if "lora" in one]


def test_each_expert_of_wan_14b_has_its_own(folders, models, lora):
    file = lora("wan-14b")
    clips = [
        render(
            load(folders("wan-14b"), Settings(loras={part: (LoraFile(file),)})), request("wan-14b")
        ).frames
        for part in ("transformer", "transformer_2")
    ]
    clips.append(render(models("wan-14b"), request("wan-14b")).frames)
    assert not any(
        np.array_equal(clips[one], clips[other]) for one, other in [(0, 1), (0, 2), (1, 2)]
    )


def test_a_weight_says_how_much_is_merged(folders, models, lora):
    file = lora("wan-5b")
    plain = render(models("wan-5b"), request("wan-5b")).frames.astype(int)
    apart = []
    for weight in (0.0, 0.1, 1.0):
        settings = Settings(loras={"transformer": (LoraFile(file, weight),)})
        frames = render(load(folders("wan-5b"), settings), request("wan-5b")).frames
        apart.append(np.abs(frames - plain).mean())
    assert apart[0] < 0.1 < apart[1] < apart[2]


def test_a_lora_of_other_shapes_is_said(folders, lora, tmp_path):
    tensors = load_file(lora("wan-5b"))
    wide = {
        name: torch.zeros(tuple(side + 1 for side in one.shape)) for name, one in tensors.items()
    }
    save_file(wide, tmp_path / "wide.safetensors")
    for file in ("wide.safetensors", lora("ltx-video").name):
        with pytest.raises(FolderError, match=r"lora\.unreadable"):
            load(folders("wan-5b"), Settings(loras={"transformer": (LoraFile(tmp_path / file),)}))


@pytest.mark.parametrize("wrong", ["no A", "no B", "another rank", "nan", "cut"])
def test_a_lora_that_is_not_whole_is_said(folders, lora, tmp_path, wrong):
    """Not found out by clips that are NaN, which would be blamed on the GPU."""
    file = lora("wan-5b")
    tensors = load_file(file)
    if wrong.startswith("no "):
        tensors = {name: one for name, one in tensors.items() if f"lora_{wrong[-1]}" not in name}
    elif wrong == "another rank":
        tensors = {
            name: one if "lora_A" in name else torch.zeros(len(one), 3)
            for name, one in tensors.items()
        }
    elif wrong == "nan":
        tensors = {name: one * float("nan") for name, one in tensors.items()}
    save_file(tensors, file)
    if wrong == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FolderError, match=r"lora\.unreadable"):
        load(folders("wan-5b"), Settings(loras={"transformer": (LoraFile(file),)}))


def test_the_recipe_names_loras_and_their_weights():
    table = {
        "loras": ["styles/ink.safetensors", {"file": "/srv/grain.safetensors", "weight": 0.6}],
        "loras_low_noise": ["low.safetensors"],
    }
    entry = Models({"wan-14b": table}).entry("wan-14b")
    assert entry.recipe == {
        "loras": {
            "transformer": [
                {"file": "ink.safetensors", "weight": 1.0},
                {"file": "grain.safetensors", "weight": 0.6},
            ],
            "transformer_2": [{"file": "low.safetensors", "weight": 1.0}],
        }
    }
    assert Models().entry("wan-14b").recipe == {}
    for wrong in ({"file": "a", "weight": "much"}, {"weight": 1.0}, 3):
        with pytest.raises(ValidationError):
            Models({"wan": {"loras": [wrong]}}).entry("wan")


@pytest.mark.parametrize(
    ("name", "part", "file", "code"),
    [
        ("wan-5b", "transformer", "gone.safetensors", "lora.missing"),
        ("wan-5b", "transformer", "pickle.bin", "lora.unreadable"),
        ("wan-5b", "transformer", "other.safetensors", "lora.unreadable"),
        ("wan-5b", "transformer_2", "other.safetensors", "lora.no_part"),
        ("kandinsky", "transformer", "other.safetensors", "lora.not_supported"),
    ],
)
def test_what_is_no_lora_of_the_model_is_said(folders, tmp_path, name, part, file, code):  # noqa: PLR0917 - a table
    for made in ("pickle.bin", "other.safetensors"):
        save_file({"some.weight": torch.zeros(2)}, tmp_path / made)
    with pytest.raises(FolderError) as caught:
        load(folders(name), Settings(loras={part: (LoraFile(tmp_path / file),)}))
    assert caught.value.code == code


def test_a_lora_is_not_merged_into_quantized_weights(folders, tmp_path):
    folder = shutil.copytree(folders("wan-5b"), tmp_path / "model")
    config = folder / "transformer" / "config.json"
    quantization = {"quantization_config": {"quant_method": "torchao"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | quantization))
    models = Models({"wan": {"path": str(folder), "loras": ["a.safetensors"]}})
    assert models.usable(["wan"]) == []
    assert models.problems["wan"].code == "lora.quantized"
    assert "Remove loras from the config" in error_text(models.problems["wan"], "en")
    loras = {"transformer": (LoraFile(tmp_path / "a.safetensors"),)}
    with pytest.raises(FolderError) as caught:
        merge_loras(inspect_folder(folder), {"transformer": None}, loras)
    assert caught.value.code == "lora.quantized"
