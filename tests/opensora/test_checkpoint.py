import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import T5Config, T5EncoderModel  # noqa: E402

from inference.device_errors import diagnose  # noqa: E402
from inference.opensora import checkpoint  # noqa: E402
from inference.opensora.checkpoint import (  # noqa: E402
    CheckpointError,
    Placement,
    Tolerance,
    fill,
    load_text_encoder,
    load_transformer,
    load_vae,
    verify_transformer,
)
from inference.opensora.config import TransformerConfig, VaeConfig  # noqa: E402
from inference.opensora.files import find_checkpoint  # noqa: E402
from inference.opensora.networks.transformer import STDiT3  # noqa: E402
from inference.opensora.networks.vae import VideoVae  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402 - needs torch

pytestmark = pytest.mark.model

CONFIG = {"hidden_size": 48, "num_heads": 2, "depth": 1, "caption_channels": 12}


@pytest.mark.parametrize("folder", vectors.sets())
@pytest.mark.parametrize(
    ("keys", "build"),
    [
        ("keys_stdit_v4", lambda: STDiT3(TransformerConfig.from_dict({}))),
        ("keys_vae_v1_3", lambda: VideoVae(VaeConfig.from_dict({}))),
        (
            "keys_t5_xxl_encoder",
            lambda: T5EncoderModel(
                T5Config(
                    d_model=4096,
                    d_kv=64,
                    d_ff=10240,
                    num_layers=24,
                    num_heads=64,
                    feed_forward_proj="gated-gelu",
                )
            ),
        ),
    ],
)
def test_the_full_size_network_has_the_official_keys_and_shapes(folder, keys, build):
    with torch.device("meta"):
        model = build()
    ours = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert ours == vectors.read_json(folder / f"{keys}.json")


@pytest.fixture
def model():
    return vectors.random_transformer(model_max_length=300)


@pytest.fixture
def folder(tmp_path, model):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    path.unlink()
    save_file(tensors, path)


def same(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def shard(folder, model, name, save):
    """Split a state dict in two, with an index, the way large checkpoints are published."""
    (folder / "model.safetensors").unlink()
    tensors = list(model.state_dict().items())
    stem, kind = name.rsplit(".", 1)
    weight_map = {}
    for number, part in enumerate((tensors[:20], tensors[20:]), start=1):
        file = f"{stem}-{number:05}-of-00002.{kind}"
        save(dict(part), folder / file)
        weight_map |= dict.fromkeys(dict(part), file)
    index = folder / f"{name}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")


def test_one_safetensors_file_loads(folder, model):
    assert same(load_transformer(folder), model)


def test_sharded_safetensors_load(folder, model):
    shard(folder, model, "model.safetensors", save_file)
    assert same(load_transformer(folder), model)


def test_sharded_pickles_load(folder, model):
    shard(folder, model, "pytorch_model.bin", torch.save)
    assert same(load_transformer(folder), model)


def test_an_absent_shard_is_named(folder, model):
    shard(folder, model, "pytorch_model.bin", torch.save)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(CheckpointError, match="00002-of-00002") as caught:
        load_transformer(folder)
    assert caught.value.code == "checkpoint.missing"


class Payload:
    def __reduce__(self):
        return print, ("code from a pickle ran",)


def test_code_in_a_pickle_does_not_run(folder, capsys):
    (folder / "model.safetensors").unlink()
    torch.save({"rope.freqs": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        load_transformer(folder)
    assert caught.value.code == "checkpoint.unreadable"
    assert "ran" not in capsys.readouterr().out


def test_a_loaded_network_is_ready_and_frozen(folder):
    model = load_transformer(folder)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_precision_is_chosen_but_rotary_frequencies_stay_exact(folder, model):
    loaded = load_transformer(folder, Placement(dtype=torch.bfloat16))
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded.rope.freqs, model.rope.freqs)


def test_a_text_to_video_file_may_lack_the_reference_embedding(folder):
    rewrite(
        folder,
        lambda tensors: [tensors.pop(key) for key in list(tensors) if "x_embedder_cond" in key],
    )
    loaded = load_transformer(folder)
    assert not loaded.x_embedder_cond.proj.weight.any()
    assert not loaded.x_embedder_cond_mask.proj.bias.any()


def test_missing_extra_and_misshaped_tensors_are_named(folder):
    def spoil(tensors):
        del tensors["t_block.1.bias"]
        tensors["surprise"] = torch.zeros(1)
        tensors["final_layer.linear.bias"] = torch.zeros(7)

    rewrite(folder, spoil)
    with pytest.raises(CheckpointError) as caught:
        load_transformer(folder)
    assert caught.value.code == "checkpoint.mismatch"
    assert caught.value.params["missing"] == ["t_block.1.bias"]
    assert caught.value.params["unexpected"] == ["surprise"]
    assert caught.value.params["wrong_shape"] == ["final_layer.linear.bias: (7,) instead of (128,)"]
    assert caught.value.params["count"] == 3


def test_only_the_first_differences_are_listed(folder):
    rewrite(folder, lambda tensors: [tensors.pop(key) for key in list(tensors)[:30]])
    with pytest.raises(CheckpointError) as caught:
        load_transformer(folder)
    assert len(caught.value.params["missing"]) == 5
    assert caught.value.params["count"] > 20


def test_values_that_are_no_numbers_are_found(folder):
    rewrite(folder, lambda tensors: tensors["t_block.1.bias"].fill_(float("nan")))
    with pytest.raises(CheckpointError, match=r"t_block\.1\.bias"):
        load_transformer(folder)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (None, "checkpoint.missing"),
        ("{", "checkpoint.unreadable"),
        ('{"patch_size": [4, 4, 4]}', "checkpoint.unreadable"),
        ('{"hidden_size": "wide"}', "checkpoint.unreadable"),
    ],
)
def test_a_bad_config_is_reported(folder, config, code):
    path = folder / "config.json"
    path.unlink() if config is None else path.write_text(config, encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        load_transformer(folder)
    assert caught.value.code == code


def test_a_broken_file_is_reported(folder):
    (folder / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError) as caught:
        load_transformer(folder)
    assert caught.value.code == "checkpoint.unreadable"


def test_a_folder_without_weights_is_reported(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_transformer(folder)


def test_a_sound_checkpoint_is_verified_without_a_word(folder):
    verify_transformer(folder)


@pytest.mark.parametrize("lost", [1, 5000])
def test_a_file_that_was_cut_off_is_told_by_its_length(folder, lost):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(CheckpointError) as caught:
        verify_transformer(folder)
    assert caught.value.code == "checkpoint.unreadable"


def test_a_wrong_shape_is_told_without_reading_weights(folder):
    rewrite(folder, lambda tensors: tensors.update({"t_block.1.bias": torch.zeros(3)}))
    with pytest.raises(CheckpointError) as caught:
        verify_transformer(folder)
    assert caught.value.code == "checkpoint.mismatch"


def test_progress_grows_to_the_end(folder):
    reported = []
    load_transformer(folder, on_progress=lambda *progress: reported.append(progress))
    done = [entry[0] for entry in reported]
    assert done == sorted(done)
    assert done[-1] == reported[-1][1]
    assert {entry[2] for entry in reported} == set(load_transformer(folder).state_dict())


def test_a_directory_of_weights_goes_before_the_cache(folder):
    assert find_checkpoint(f"team/{folder.name}", folder.parent) == folder


def test_a_hub_id_is_found_in_the_local_cache(folder, tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    snapshot = cache / "models--team--weights/snapshots/0123456789"
    shutil.copytree(folder, snapshot)
    refs = cache / "models--team--weights/refs"
    refs.mkdir()
    (refs / "main").write_text("0123456789", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))

    assert find_checkpoint("team/weights", cache / "elsewhere") == snapshot

    (snapshot / "model.safetensors").unlink()
    with pytest.raises(CheckpointError):
        find_checkpoint("team/weights")


def test_an_absent_checkpoint_is_reported_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("nobody/has-this-in-the-cache", tmp_path)
    assert caught.value.code == "checkpoint.missing"


def test_the_encoder_half_of_a_full_t5_is_enough(tmp_path):
    config = T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    torch.manual_seed(0)
    original = T5EncoderModel(config)
    tensors = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    del tensors["encoder.embed_tokens.weight"]  # tied: files may have either name only once
    save_file(
        tensors | {"lm_head.weight": torch.zeros(3), "decoder.x": torch.zeros(3)},
        tmp_path / "model.safetensors",
    )
    with torch.device("meta"):
        model = T5EncoderModel(config)

    fill(
        model,
        tmp_path,
        Placement(),
        tolerance=Tolerance(
            aliases={"encoder.embed_tokens.weight": "shared.weight"},
            ignore=("decoder.", "lm_head."),
        ),
    )

    ids = torch.tensor([[3, 9, 1]])
    expected = original.eval()(input_ids=ids).last_hidden_state
    torch.testing.assert_close(model(input_ids=ids).last_hidden_state, expected)


def test_a_text_encoder_without_tokenizer_is_reported(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(vectors.NANO / "text_encoder" / name)
    with pytest.raises(CheckpointError) as caught:
        load_text_encoder(tmp_path)
    assert caught.value.code == "checkpoint.missing"
    assert "spiece.model" in caught.value.params["files"]


def test_an_unreadable_tokenizer_is_reported(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(vectors.NANO / "text_encoder" / name)
    (tmp_path / "spiece.model").write_bytes(b"not sentencepiece")
    with pytest.raises(CheckpointError) as caught:
        load_text_encoder(tmp_path)
    assert caught.value.code == "checkpoint.unreadable"


def test_nano_brings_its_own_latent_statistics():
    config = load_vae(vectors.NANO / "vae").config
    assert config.latent_mean == (0.0,) * 16
    assert (config.border_fade, VaeConfig.from_dict({}).border_fade) == (7, 0)
    assert VaeConfig.from_dict({}).latent_mean[0] == pytest.approx(-0.190169, abs=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        {"encoder": {"double_z": False}},
        {"encoder": {"ch_mult": [1, 2]}},
        {"decoder": {"temporal_up_layers": [3]}},
        {"normalization": {"mean": [0.0], "std": [1.0]}},
        {"border_fade": 9},
    ],
)
def test_vae_variants_with_other_factors_are_refused(data):
    with pytest.raises(ValueError, match=r"supported|normalization|border_fade"):
        VaeConfig.from_dict(data)


@pytest.mark.parametrize("twice", [False, True])
def test_the_table_of_words_is_in_memory_once_and_is_the_trained_one(tmp_path, twice):
    shipped = Path(str(resources.files("inference").joinpath("weights", "nano", "text_encoder")))
    folder = shutil.copytree(shipped, tmp_path / "text_encoder")
    stored = load_file(folder / "model.safetensors")
    trained = stored["shared.weight"]
    if twice:  # as transformers stored it once, with the other table left as it was drawn
        stored |= {"encoder.embed_tokens.weight": trained, "shared.weight": trained + 1}
        save_file(stored, folder / "model.safetensors", {"format": "pt"})
    model = load_text_encoder(folder).model
    assert model.encoder.embed_tokens.weight is model.shared.weight
    torch.testing.assert_close(model.encoder.embed_tokens.weight, trained.float())


@pytest.mark.parametrize(
    "error",
    [
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=str,
)
def test_memory_that_runs_out_is_no_broken_file(folder, monkeypatch, error):
    def safe_open(*_args, **_options):
        raise error

    monkeypatch.setattr(checkpoint, "safe_open", safe_open)
    with pytest.raises(type(error)) as caught:
        load_transformer(folder)
    assert diagnose(caught.value).code == "worker.out_of_memory"
