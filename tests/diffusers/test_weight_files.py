"""Weight files: what is cut short, damaged, missing or of another model is named."""

import json
import shutil
import struct
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.headers import HeaderError, read_header
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.trials import check_tensors
from inference.diffusers_pipelines.weights.variants import twins
from tests.diffusers.damage import edit, problem, shards, weights
from tests.diffusers.renders import load


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


def _first(header):
    return header[min(name for name in header if name != "__metadata__")]


def _overlap(header):
    two = [one for one in header.values() if one.get("shape") == [32]][:2]
    two[0]["data_offsets"] = two[1]["data_offsets"]


@pytest.mark.parametrize(
    "change",
    [
        _overlap,
        lambda header: _first(header).update(data_offsets=[-4, 4]),
        lambda header: _first(header).update(data_offsets=[0, 2**62]),
        lambda header: _first(header).update(dtype="F16"),
        lambda header: _first(header).update(dtype="F31"),
        lambda header: _first(header).update(shape=[str(_first(header)["shape"][0])]),
        lambda header: header.pop(next(name for name in header if "attn1" in name)),
    ],
    ids=["overlap", "negative", "outside", "other type", "no type", "text", "hole"],
)
def test_tensors_that_do_not_fill_their_file_are_damaged(folder, change):
    path = weights(folder)
    data = path.read_bytes()
    [size] = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header)
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + data[8 + size :])
    found = problem(folder)
    assert found.code == "folder.truncated"
    assert found.params["file"] == path.relative_to(folder).as_posix()


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_an_index_that_leaves_out_a_tensor(folder, part):
    names = dict.fromkeys(load_file(weights(folder, part)), "part-1.safetensors")
    weights(folder, part).rename(folder / part / "part-1.safetensors")
    names.pop(next(iter(names)))
    index = shards(folder, names, part)
    if part == "text_encoder":  # of which the library reads all that is in the files
        assert load(folder).loaded
        return
    found = problem(folder)
    assert (found.code, found.params["file"]) == ("folder.unreadable", f"{part}/{index.name}")


def test_weights_of_a_variant_are_read_where_there_are_no_others(folder):
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    (folder / "vae" / "diffusion_pytorch_model.bf16.safetensors").write_bytes(
        (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").read_bytes()
    )
    sharded = weights(folder).with_suffix(".fp16-00001-of-00001.safetensors")
    weights(folder).with_suffix(".fp16.safetensors").rename(sharded)
    index = shards(folder, dict.fromkeys(load_file(sharded), sharded.name))
    index.rename(index.with_suffix(".fp16.json"))
    found = {name: part.variant for name, part in inspect_folder(folder).parts.items()}
    assert (found["transformer"], found["text_encoder"], found["vae"]) == ("fp16", "fp16", "bf16")
    assert load(folder).loaded


@pytest.mark.parametrize(
    ("files", "needless"),
    [
        (["model.safetensors", "model.fp16.safetensors"], ["model.fp16.safetensors"]),
        (["model.fp16.safetensors", "config.json"], []),
        (["model.fp16.safetensors", "model.bf16.safetensors"], ["model.fp16.safetensors"]),
        (
            [
                "model-00001-of-00001.safetensors",
                "model.safetensors.index.json",
                "model.bf16-00001-of-00001.safetensors",
                "model-00001-of-00001.fp16.safetensors",
                "model.safetensors.index.bf16.json",
            ],
            [
                "model.bf16-00001-of-00001.safetensors",
                "model-00001-of-00001.fp16.safetensors",
                "model.safetensors.index.bf16.json",
            ],
        ),
    ],
)
def test_one_set_of_weights_is_enough(files, needless):
    others = ["vae/diffusion_pytorch_model.fp16.safetensors", "model_index.json"]
    found = twins([*others, *(f"text_encoder/{name}" for name in files)])
    assert found == {f"text_encoder/{name}" for name in needless}


def test_a_layer_that_is_missing_of_a_compressed_text_encoder_is_named(folder, monkeypatch):
    monkeypatch.setattr("inference.diffusers_pipelines.weights.quantization.version", str)
    quantized = {"load_in_4bit": True, "quant_method": "bitsandbytes"}
    edit(folder / "text_encoder" / "config.json", quantization_config=quantized)
    check_tensors(inspect_folder(folder).parts["text_encoder"])
    path = weights(folder, "text_encoder")
    tensors = load_file(path)
    kept = {name: tensor for name, tensor in tensors.items() if "block.1.layer.1" not in name}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(FolderError) as caught:
        check_tensors(inspect_folder(folder).parts["text_encoder"])
    assert caught.value.code == "folder.mismatch"
    assert "encoder.block.1.layer.1." in caught.value.params["tensors"]


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
