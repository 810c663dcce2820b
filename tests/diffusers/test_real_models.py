"""Published models, with configs and headers of full size: no check refuses one."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from inference.diffusers_pipelines.families import PRESETS
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.parts import load_parts
from inference.diffusers_pipelines.weights.preset_fit import better_preset
from inference.diffusers_pipelines.weights.repository import verify_tensors
from inference.diffusers_pipelines.weights.vocabularies import check_vocabularies
from tests.diffusers.real_models.folders import write_json, write_tokenizer, write_weights, written
from tests.diffusers.real_models.published import MODELS

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path):
    """A folder on the disk: memory would be filled by files that seem to be large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def check(folder):
    found = inspect_folder(folder)
    verify_tensors(found)
    return found


PRESET_OF = {
    "Wan2.2-TI2V-5B": "wan",
    "Wan2.2-T2V-A14B": "wan-14b",
    "Wan2.1-T2V-1.3B": "wan-small",
    "Wan2.1-VACE-1.3B": "wan-vace",
    "LTX-2.5": "ltx",
    "Kandinsky-6-Lite-distill": "kandinsky",
}
"""Presets of published models."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "LTX-2.5" else pytest.mark.slow) for name in MODELS],
)
def test_a_published_model_passes_all_checks(place, name):
    found = check(written(name, place / "model"))
    assert found.pipeline_class == MODELS[name][0]
    assert "diffusion_decoder" not in found.parts
    if preset := PRESETS.get(PRESET_OF.get(name)):
        billions = {part.name: part.numbers / 1e9 for part in found.parts.values() if part.files}
        assert preset.parameters == pytest.approx(billions, rel=0.02, abs=0.006)


@pytest.mark.slow
def test_sizes_are_those_of_the_repositories(place):
    """Gigabytes, as in the facts that presets have."""
    sizes = {"Wan2.1-T2V-1.3B": 2.8 + 11.4 + 0.3, "mochi-1-preview": 20 + 9.5 + 0.9}
    for name, gigabytes in sizes.items():
        found = inspect_folder(written(name, place / name))
        assert found.size_bytes / 1e9 == pytest.approx(gigabytes, rel=0.03)


@pytest.fixture
def small(place):
    """The smallest one, to be changed."""
    return written("Wan2.1-T2V-1.3B", place / "model")


def _edit(path, **changes):
    write_json(path, json.loads(path.read_text()) | changes)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weights_of_other_precisions_pass(place, dtype):
    check(written("Wan2.1-T2V-1.3B", place / "model", dtype))


def test_twins_of_other_precisions_beside_the_weights_pass(small):
    for part, library in (("transformer", "diffusers"), ("text_encoder", "transformers")):
        write_weights(small / part, library, [("other", "F16", (1,))], variant=".fp16")
        (small / part / "README.md").write_text("twins")
    (small / "transformer_full").mkdir()
    check(small)


def test_a_text_encoder_with_the_head_and_both_names_of_its_embedding_passes(small):
    encoder = inspect_folder(small).parts["text_encoder"]
    tensors = [(name, tensor.dtype, tensor.shape) for name, tensor in encoder.tensors.items()]
    rows = encoder.tensors["shared.weight"].shape
    tensors += [("encoder.embed_tokens.weight", "BF16", rows), ("lm_head.weight", "BF16", rows)]
    for file in encoder.path.glob("model*"):
        file.unlink()
    write_weights(small / "text_encoder", "transformers", tensors)
    check(small)


def test_a_text_encoder_with_the_other_name_of_its_embedding_passes(small):
    encoder = inspect_folder(small).parts["text_encoder"]
    tensors = [
        (name.replace("shared", "encoder.embed_tokens"), tensor.dtype, tensor.shape)
        for name, tensor in encoder.tensors.items()
    ]
    for file in encoder.path.glob("model*"):
        file.unlink()
    write_weights(small / "text_encoder", "transformers", tensors)
    check(small)


@pytest.fixture
def quantized(small):
    """A transformer in 4 bits, as bitsandbytes stores it."""
    part = inspect_folder(small).parts["transformer"]
    tensors = []
    for name, tensor in part.tensors.items():
        if len(tensor.shape) != 2:
            tensors.append((name, tensor.dtype, tensor.shape))
            continue
        tensors += [
            (name, "U8", (tensor.numbers // 2, 1)),
            (f"{name}.absmax", "F32", (tensor.numbers // 64,)),
            (f"{name}.quant_map", "F32", (16,)),
            (f"{name}.quant_state.bitsandbytes__nf4", "U8", (80,)),
        ]
    for file in part.path.glob("diffusion_pytorch_model*"):
        file.unlink()
    write_weights(part.path, "diffusers", tensors)
    config = {"load_in_4bit": True, "quant_method": "bitsandbytes"}
    _edit(part.path / "config.json", quantization_config=config)
    return small, tensors


def _installed(monkeypatch):
    monkeypatch.setattr("inference.diffusers_pipelines.weights.quantization.version", str)


def test_quantized_weights_pass(quantized, monkeypatch):
    _installed(monkeypatch)
    assert check(quantized[0]).parts["transformer"].is_compressed


def test_quantized_weights_name_the_package_that_they_need(quantized):
    with pytest.raises(FolderError) as caught:
        check(quantized[0])
    assert caught.value.code == "folder.no_package"
    assert caught.value.params == {"part": "transformer", "package": "bitsandbytes"}


@pytest.fixture
def torchao(small):
    """A transformer in 8 bits, as torchao stores it."""
    part = inspect_folder(small).parts["transformer"]
    tensors = []
    for name, tensor in part.tensors.items():
        if len(tensor.shape) != 2 or not name.endswith(".weight"):
            tensors.append((name, tensor.dtype, tensor.shape))
            continue
        stem = name.removesuffix("weight")
        tensors += [
            (f"{stem}_weight_qdata", "I8", tensor.shape),
            (f"{stem}_weight_scale", "BF16", (tensor.shape[0], 1)),
        ]
    for file in part.path.glob("diffusion_pytorch_model*"):
        file.unlink()
    write_weights(part.path, "diffusers", tensors)
    config = {"quant_method": "torchao", "quant_type": {"default": {}}}
    _edit(part.path / "config.json", quantization_config=config)
    return small, tensors


def test_weights_of_torchao_pass(torchao, monkeypatch):
    _installed(monkeypatch)
    assert check(torchao[0]).parts["transformer"].is_compressed


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (
            lambda tensors: [one for one in tensors if "blocks.3.attn1.to_q" not in one[0]],
            "mismatch",
        ),
        (
            lambda tensors: [*tensors, ("blocks.99.ffn._weight_qdata", "I8", (8, 1))],
            "extra_tensors",
        ),
    ],
)
def test_weights_of_torchao_of_another_model_are_refused(torchao, monkeypatch, changed, code):
    _installed(monkeypatch)
    folder, tensors = torchao
    write_weights(folder / "transformer", "diffusers", changed(tensors))
    with pytest.raises(FolderError) as caught:
        check(folder)
    assert caught.value.code == f"folder.{code}"


def test_weights_of_bitsandbytes_are_recognised_without_its_name(quantized):
    folder, _ = quantized
    _edit(folder / "transformer/config.json", quantization_config={"load_in_8bit": True})
    with pytest.raises(FolderError) as caught:
        check(folder)
    assert caught.value.params == {"part": "transformer", "package": "bitsandbytes"}


@pytest.mark.parametrize(
    ("part", "config"), [("transformer", None), ("text_encoder", None), ("text_encoder", {})]
)
def test_weights_whose_config_says_that_they_are_not_quantized_pass(small, part, config):
    _edit(small / part / "config.json", quantization_config=config)
    assert not check(small).parts[part].is_compressed


@pytest.mark.parametrize(
    ("part", "method"),
    [("transformer", "sharq"), ("text_encoder", "fp8"), ("text_encoder", "modelopt")],
)
def test_a_way_of_quantizing_that_is_not_supported_is_named(small, part, method):
    _edit(small / part / "config.json", quantization_config={"quant_method": method})
    with pytest.raises(FolderError) as caught:
        check(small)
    assert caught.value.code == "folder.no_method"
    assert (caught.value.params["part"], caught.value.params["method"]) == (part, method)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_weights_of_bitsandbytes_need_a_gpu_only_to_load(quantized, monkeypatch):
    _installed(monkeypatch)
    found = check(quantized[0])
    transformer = {name: found.parts[name] for name in ("transformer", "scheduler")}
    with pytest.raises(FolderError) as caught:
        load_parts(replace(found, parts=transformer), {"default": torch.bfloat16}, lambda *_: None)
    assert (caught.value.code, caught.value.params) == ("folder.needs_gpu", {"part": "transformer"})


@pytest.mark.parametrize("method", [None, 4])
def test_a_config_without_a_way_of_quantizing_is_named(quantized, method):
    folder, _ = quantized
    _edit(folder / "transformer/config.json", quantization_config={"quant_method": method})
    with pytest.raises(FolderError) as caught:
        check(folder)
    assert (caught.value.code, caught.value.params["key"]) == ("folder.bad_value", "quant_method")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (
            lambda tensors: [one for one in tensors if "blocks.3.attn1.to_q" not in one[0]],
            "mismatch",
        ),
        (lambda tensors: [*tensors, ("blocks.99.ffn.weight", "U8", (8, 1))], "extra_tensors"),
    ],
)
def test_quantized_weights_of_another_model_are_refused(quantized, monkeypatch, changed, code):
    _installed(monkeypatch)
    folder, tensors = quantized
    write_weights(folder / "transformer", "diffusers", changed(tensors))
    with pytest.raises(FolderError) as caught:
        check(folder)
    assert caught.value.code == f"folder.{code}"


@pytest.mark.parametrize(
    ("name", "reader", "words"),
    [
        ("Wan2.1-T2V-1.3B", "T5Tokenizer", 32100),
        ("LTX-Video-0.9.0", "T5TokenizerFast", 256300),
        ("CogVideoX-2b", "T5Tokenizer", 250),
    ],
)
def test_the_real_vocabulary_of_another_model_is_refused(place, name, reader, words):
    folder = written(name, place / "model")
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    write_tokenizer(folder / "tokenizer", reader, words)
    with pytest.raises(FolderError) as caught:
        check(folder)
    assert (caught.value.code, caught.value.params["part"]) == ("folder.wrong_part", "tokenizer")


@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.json", "spiece.model"])
def test_a_vocabulary_that_cannot_be_read_is_damaged(small, file):
    for one in (small / "tokenizer").glob("tokenizer.json"):
        one.unlink()
    (small / "tokenizer" / file).write_bytes(b"\x0a\xff")
    with pytest.raises(FolderError) as caught:
        check(small)
    assert caught.value.code == "folder.unreadable"
    assert caught.value.params == {"file": f"tokenizer/{file}"}


def test_a_vocabulary_that_cannot_be_opened_is_named(small):
    (small / "tokenizer" / "tokenizer.json").unlink()
    (small / "tokenizer" / "vocab.txt").symlink_to("/proc/self/mem")  # fails for root, too
    with pytest.raises(FolderError) as caught:
        check_vocabularies(inspect_folder(small))
    assert caught.value.code == "folder.no_permission"


@pytest.mark.parametrize("name", ["Wan2.1-T2V-1.3B", "Wan2.2-TI2V-5B", "Wan2.2-T2V-A14B"])
def test_of_the_presets_of_wan_one_fits(place, name):
    folder = inspect_folder(written(name, place / "model"))
    right = {"Wan2.1-T2V-1.3B": "wan-small", "Wan2.2-TI2V-5B": "wan", "Wan2.2-T2V-A14B": "wan-14b"}
    for preset in (PRESETS[each] for each in ("wan", "wan-14b", "wan-small")):
        expected = None if preset.name == right[name] else right[name]
        assert better_preset(preset, folder) == expected
