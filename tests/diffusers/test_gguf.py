"""Transformers from GGUF files: written here, read through diffusers, and what is wrong is said."""

import shutil
import sys

import gguf
import numpy as np
import pytest
import torch

from bot import factories
from bot.config.sources import load_config
from commands.text.messages import error_text
from inference.diffusers_pipelines.families import PRESETS
from inference.diffusers_pipelines.memory_plan import (
    Memory,
    Placement,
    Plan,
    Shape,
    choose_plan,
    footprint_of,
    plans_of,
    stronger,
)
from inference.diffusers_pipelines.pipeline import Settings, VideoModel
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.loras import LoraFile
from inference.domain.errors import UserError
from inference.engines.diffusers_adapter.memory_check import find_footprint
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.registry import Models
from tests.diffusers import tiny_models
from tests.diffusers.renders import render, request

BLOCK = 32
"""Numbers that Q8_0 scales together."""


_NAMES = {
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_out.0": "cross_attn.o",
    "attn1.to_": "self_attn.",
    "attn2.to_": "cross_attn.",
    "attn1": "self_attn",
    "attn2": "cross_attn",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
    "norm2": "norm3",
}
"""Of Wan in diffusers, and in its own repository, which files on the hub have."""


def as_in_files(key):
    if key == "scale_shift_table":
        return "head.modulation"
    key = key.replace("scale_shift_table", "modulation")
    for name, own in _NAMES.items():
        key = key.replace(name, own)
    return key


def written(path, name, part="transformer", *, kind="wan", rename=str):
    """Write the transformer of a tiny model as GGUF: Q8_0 where rows are whole blocks."""
    writer = gguf.GGUFWriter(path, kind)
    for original, tensor in getattr(tiny_models.build(name), part).state_dict().items():
        key = rename(original)
        data = tensor.numpy()
        if data.ndim == 2 and data.shape[1] % BLOCK == 0:
            quantized = gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(key, quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(key, data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def loaded(folders):
    def model(name, files, settings=None):
        made = VideoModel(
            inspect_folder(folders(name), files), torch.device("cpu"), settings or Settings()
        )
        made.load(lambda *_: None)
        return made

    return model


@pytest.mark.parametrize("name", ["wan-5b", pytest.param("ltx2", marks=pytest.mark.slow)])
def test_a_clip_from_a_gguf_file(models, loaded, tmp_path, name):
    file = written(tmp_path / "a.gguf", name)
    model = loaded(name, {"transformer": file})
    first, again = (render(model, request(name)).frames for _ in range(2))
    plain = render(models(name), request(name)).frames
    assert np.array_equal(first, again)
    assert not np.array_equal(first, plain)  # eight bits
    assert np.abs(first.astype(int) - plain).mean() < 4


@pytest.mark.parametrize("placement", [Placement.MODEL_OFFLOAD, Placement.GROUP_OFFLOAD])
def test_it_goes_with_every_plan(loaded, tmp_path, placement):
    file = written(tmp_path / "a.gguf", "wan-5b")
    model = loaded("wan-5b", {"transformer": file})
    expected = render(model, request("wan-5b")).frames
    frames = render(model, request("wan-5b"), plan=Plan(placement=placement)).frames
    assert np.abs(frames.astype(int) - expected).max() <= 1


def test_each_expert_may_have_a_file(models, loaded, tmp_path):
    file = written(tmp_path / "low.gguf", "wan-14b", "transformer_2")
    made = render(loaded("wan-14b", {"transformer_2": file}), request("wan-14b")).frames
    assert made.shape == render(models("wan-14b"), request("wan-14b")).frames.shape


def test_weights_in_the_folder_are_not_needed_then(folders, tmp_path):
    folder = shutil.copytree(folders("wan-5b"), tmp_path / "model")
    next((folder / "transformer").glob("*.safetensors")).unlink()
    file = written(tmp_path / "a.gguf", "wan-5b")
    entry = entry_of("mine", DiffusersTable(path=str(folder), gguf=str(file)))
    assert entry.recipe() == {"gguf": {"transformer": "a.gguf"}}
    assert footprint_of(entry.folder).transformers == (file.stat().st_size,)


def test_a_file_with_the_names_of_wans_own_repository(folders, models, loaded, tmp_path):
    file = written(tmp_path / "a.gguf", "wan-5b", rename=as_in_files)
    frames = render(loaded("wan-5b", {"transformer": file}), request("wan-5b")).frames
    plain = render(models("wan-5b"), request("wan-5b")).frames
    assert np.abs(frames.astype(int) - plain).mean() < 4

    table = {"path": str(folders("wan-5b")), "gguf": str(file)}
    assert Models({"wan": table}).entry("wan").verify_files() == folders("wan-5b")
    other = written(tmp_path / "b.gguf", "wan-14b-image", rename=as_in_files)
    with pytest.raises(UserError, match=r"gguf\.mismatch"):
        Models({"wan": table | {"gguf": str(other)}}).entry("wan").verify_files()


def problem(folder, files, *, loaded=False):
    def use():
        model = VideoModel(inspect_folder(folder, files), torch.device("cpu"), Settings())
        if loaded:
            model.load(lambda *_: None)

    with pytest.raises(FolderError) as caught:
        use()
    return caught.value.code


def test_what_is_wrong_with_a_file_is_said(folders, tmp_path):
    folder = folders("wan-5b")
    assert problem(folder, {"transformer": tmp_path / "gone.gguf"}) == "gguf.missing"
    whole = written(tmp_path / "a.gguf", "wan-5b")
    data = whole.read_bytes()
    for number, damaged in enumerate([b"", b"GGUF", data[:100], data[:-1000]]):
        file = tmp_path / f"{number}.gguf"
        file.write_bytes(damaged)
        assert problem(folder, {"transformer": file}) == "gguf.unreadable"
    file.write_bytes(b"junk" * 1000)
    assert problem(folder, {"transformer": file}) == "gguf.other_kind"
    assert problem(folders("kandinsky"), {"transformer": file}) == "gguf.not_supported"
    assert problem(folder, {"transformer_2": whole}) == "gguf.no_part"
    assert problem(folders("cogvideox"), {"transformer": whole}) == "gguf.not_supported"
    for name in ("ltx-video", "wan-14b-image"):  # another architecture, other shapes
        other = written(tmp_path / f"{name}.gguf", name)
        assert problem(folder, {"transformer": other}, loaded=True) == "gguf.mismatch"


@pytest.mark.parametrize("name", ["a.GGUF", "a-Q8.bin"])
def test_a_file_is_known_by_what_it_holds(folders, loaded, tmp_path, name):
    file = written(tmp_path / "a.gguf", "wan-5b").rename(tmp_path / name)
    model = loaded("wan-5b", {"transformer": file})
    assert model.folder.parts["transformer"].is_quantized
    assert render(model, request("wan-5b")).frames.any()


@pytest.mark.parametrize(
    ("name", "part"), [("gguf", "transformer"), ("gguf_low_noise", "transformer_2")]
)
def test_the_key_of_the_config_is_named(folders, tmp_path, name, part):
    place = folders("wan-14b")
    weights = next((place / part).glob("*.safetensors"))
    for file, code in ((weights, "gguf.other_kind"), (tmp_path / "gone.gguf", "gguf.missing")):
        table = {"path": str(place), name: str(file)}
        with pytest.raises(UserError) as caught:
            Models({"wan-14b": table}).entry("wan-14b")
        assert caught.value.code == code
        assert f"Correct {name} in" in error_text(caught.value, "en")
        config = load_config(None, overrides={"models": {"wan-14b": table}})
        told = factories.locate_problem(config, "wan-14b", caught.value)
        assert told.params["key"] == f"models.wan-14b.{name}"


def test_without_the_package_it_is_named(folders, tmp_path, monkeypatch):
    file = written(tmp_path / "a.gguf", "wan-5b")
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert problem(folders("wan-5b"), {"transformer": file}) == "gguf.no_package"


def test_loras_are_not_merged_into_it(loaded, tmp_path):
    file = written(tmp_path / "a.gguf", "wan-5b")
    settings = Settings(loras={"transformer": (LoraFile(tmp_path / "a.safetensors"),)})
    with pytest.raises(FolderError, match=r"lora\.gguf"):
        loaded("wan-5b", {"transformer": file}, settings)


def test_the_config_names_it(tmp_path):
    file = written(tmp_path / "a.gguf", "wan-5b")
    entry = Models({"wan": {"gguf": str(file)}}).entry("wan")
    assert entry.recipe == {"gguf": {"transformer": "a.gguf"}}
    for name, key, code in [
        ("wan-14b", "gguf", "gguf.needs_path"),
        ("kandinsky", "gguf", "gguf.not_supported"),
        ("wan", "gguf_low_noise", "gguf.no_part"),
    ]:
        with pytest.raises(UserError) as caught:
            Models({name: {key: str(file)}}).entry(name)
        assert caught.value.code == code


def test_its_size_counts_and_it_is_never_kept_in_eight_bits_besides(tmp_path):
    file = written(tmp_path / "a.gguf", "wan-5b")
    entry = entry_of("wan", DiffusersTable(gguf=str(file)), "wan")
    footprint = find_footprint(entry)
    assert footprint.transformers == (file.stat().st_size,)
    assert not [plan for plan in plans_of(footprint) if plan.fp8]
    family = PRESETS["wan"].family
    shape = Shape(width=1280, height=704, frames=121)
    for gigabytes in range(2, 30):
        memory = Memory(device_bytes=gigabytes * 10**9, host_bytes=10**12)
        plan = choose_plan(footprint, family, shape, memory)
        while plan is not None:
            assert not plan.fp8
            plan = stronger(plan, plans_of(footprint))
