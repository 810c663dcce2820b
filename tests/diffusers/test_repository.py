"""Whole repositories from a hub on the loopback, with the real client in a process of its own."""

import asyncio
import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest
from aiohttp import web

pytest.importorskip("huggingface_hub")

import transformers
from safetensors.torch import load_file, save_file

from bot.cli.models import list_models, verify_weights
from bot.cli.parser import main
from bot.config.sources import load_config
from bot.doctor import storage
from bot.doctor.findings import Level
from commands.text.messages import error_text
from inference.diffusers_pipelines.weights import repository
from inference.opensora.files import CheckpointError
from inference.workers.device_report import DeviceReport
from tests.fakes.hub import serving

pytestmark = pytest.mark.process

SOURCE = "someone/tiny-video"
PROGRAM = """
import sys
from pathlib import Path
from commands.text.messages import error_text
from inference.diffusers_pipelines.weights import repository
from inference.domain.errors import RushesError

try:
    found = repository.offer("SOURCE", Path("weights"))
    print(found.size_bytes, found.licence, found.gated)
    place = repository.pull("SOURCE", Path("weights"))
    assert repository.find("SOURCE", Path("weights")).resolve() == place.resolve()
    repository.verify("SOURCE", place)
except RushesError as error:
    print(error.code, error_text(error, "en"))
    sys.exit(1)
""".replace("SOURCE", SOURCE)


@pytest.fixture
def files(folders):
    """What a repository holds: the parts of a model, and much that is none of its business."""
    place = folders("wan-5b")
    mine = {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }
    others = {
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "everything.safetensors": b"x" * 1000,
        "transformer_full/diffusion_pytorch_model.safetensors": b"x" * 1000,
        "transformer/diffusion_pytorch_model.bin": b"x" * 1000,
        "transformer/code.py": b"raise SystemExit",
        "transformer/diffusion_pytorch_model.fp16.safetensors": b"x" * 1000,
        "text_encoder/model.bf16.safetensors": b"x" * 1000,
        "assets/picture.png": b"x",
    }
    return mine | others


async def run(hub, tmp_path, program=PROGRAM):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env={
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.slow
async def test_the_parts_of_a_model_are_pulled_and_nothing_else(files, tmp_path):
    async with serving(files) as hub:
        code, out, err = await run(hub, tmp_path)
        assert code == 0, out + err
        size, licence, gated = out.split()
        assert (licence, gated) == ("apache-2.0", "False")
        place = tmp_path / "weights" / "tiny-video"
        there = {
            path.relative_to(place).as_posix()
            for path in place.rglob("*")
            if path.is_file() and ".cache" not in path.parts
        }
        assert there == {
            name
            for name in files
            if not name.startswith(("everything", "transformer_full", "assets"))
            and not name.endswith((".bin", ".py", "16.safetensors"))
        }

        assert int(size) == sum(len(files[name]) for name in there)  # and what else there is, not

        hub.asked.clear()
        (place / "vae" / "diffusion_pytorch_model.safetensors").unlink()
        assert (await run(hub, tmp_path))[0] == 0
        assert [path.rpartition("/")[2] for method, path in hub.asked if method == "GET"] == [
            "diffusion_pytorch_model.safetensors"
        ]


@pytest.mark.slow
async def test_a_model_in_the_hubs_cache_is_found_though_not_all_of_its_repository_is(
    files, tmp_path
):
    async with serving(files) as hub:
        code, out, err = await run(
            hub, tmp_path, program=PROGRAM.replace('Path("weights")', "None")
        )
    assert code == 0, out + err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("vae/diffusion_pytorch_model.safetensors", lambda data: data[:-10]),
        ("vae/config.json", lambda data: data[:-10]),
        ("vae/config.json", lambda data: data.replace(b'_temporal": 4', b'_temporal": 9')),
    ],
    ids=["cut weights", "cut config", "other value"],
)
async def test_a_file_that_was_damaged_here_is_downloaded_again(files, tmp_path, name, damaged):
    async with serving(files) as hub:
        assert (await run(hub, tmp_path))[0] == 0
        path = tmp_path / "weights" / "tiny-video" / name
        before = path.stat()
        path.write_bytes(damaged(path.read_bytes()))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a bad disk does it

        with pytest.raises(CheckpointError) as caught:
            repository.find(SOURCE, tmp_path / "weights")
        assert caught.value.code == "checkpoint.damaged"
        assert caught.value.params == {"source": SOURCE, "file": name, "model": "MODEL"}
        assert "rushes models pull" in error_text(caught.value, "en")

        code, out, err = await run(hub, tmp_path)
        assert code == 0, out + err
        assert path.read_bytes() == files[name]


async def test_a_gated_repository_says_where_to_ask(files, tmp_path):
    async with serving(files) as hub:
        hub.refuse = lambda _request: web.json_response(
            {"error": "gated"}, status=403, headers={"X-Error-Code": "GatedRepo"}
        )
        code, out, _ = await run(hub, tmp_path)
    assert code == 1
    assert out.startswith("checkpoint.gated")
    assert f"{hub.endpoint}/{SOURCE}" in out


async def test_a_repository_without_an_index_is_no_model(files, tmp_path):
    del files["model_index.json"]
    async with serving(files) as hub:
        code, out, _ = await run(hub, tmp_path)
    assert code == 1
    assert "folder.no_index" in out


def test_doctor_finds_weights_that_were_copied_and_have_no_checksums(folders, tmp_path):
    shutil.copytree(folders("wan-5b"), tmp_path / "Wan2.2-TI2V-5B-Diffusers")
    config = load_config(
        None, overrides={"models": {"installed": ["wan"], "directory": str(tmp_path)}}
    )
    [found] = storage.model_weights(config)
    assert (found.level, found.code) == (Level.OK, "doctor.weights.unverified")


def test_a_folder_that_the_config_names_is_checked_against_its_classes(
    folders, tmp_path, monkeypatch, capsys
):
    place = tmp_path / "mine"
    shutil.copytree(folders("wan-5b"), place)
    text = (
        f'[models]\ninstalled = ["mine"]\n[models.mine]\nengine = "diffusers"\npath = "{place}"\n'
    )
    (tmp_path / "config.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["models", "check", "mine"]) == 0
    assert str(place) in capsys.readouterr().out
    [found] = storage.model_weights(load_config(tmp_path / "config.toml"))
    assert (found.level, found.code) == (Level.OK, "doctor.weights.by_path")

    [file] = (place / "vae").glob("*.safetensors")
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name][:1].repeat(9, *[1] * (tensors[name].ndim - 1))}, file)

    assert main(["models", "check", "mine"]) == 1
    assert "vae" in capsys.readouterr().err


OURS, THEIRS = "a" * 40, "b" * 40


@pytest.fixture
def downloaded(folders, tmp_path):
    """A folder as the hub's client leaves it, with its note of each file."""
    place = shutil.copytree(folders("wan-5b"), tmp_path / "weights" / "tiny-video")
    for path in [one for one in place.rglob("*") if one.is_file()]:
        note(place, path)
    return place


def note(place, path, commit=OURS):
    """Write what the hub's client notes of a file: small ones have git's name of them."""
    data = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    name = f"{path.relative_to(place).as_posix()}.metadata"
    kept = place / ".cache" / "huggingface" / "download" / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(f"{commit}\n{blob}\n1.0\n")


def find(place, revision=None):
    return repository.find(SOURCE, place.parent, revision)


@pytest.mark.parametrize(
    "file", ["model_index.json", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
)
def test_a_folder_of_another_revision_says_what_to_type(downloaded, file):
    assert find(downloaded, OURS) == downloaded
    note(downloaded, downloaded / file, THEIRS)
    with pytest.raises(CheckpointError) as caught:
        find(downloaded, OURS)
    assert caught.value.code == "checkpoint.other_revision"
    told = {"source": SOURCE, "found": THEIRS, "wanted": OURS, "model": "MODEL"}
    assert caught.value.params == told
    assert "rushes models pull" in error_text(caught.value, "en")


@pytest.mark.parametrize("revision", [None, "v1.0", "main", THEIRS[:8]])
def test_a_revision_that_is_no_commit_is_not_compared(downloaded, revision):
    assert find(downloaded, revision) == downloaded


def test_a_folder_that_was_copied_is_of_no_known_revision(downloaded):
    shutil.rmtree(downloaded / ".cache")
    assert find(downloaded, THEIRS) == downloaded


def test_a_file_that_is_gone_from_the_repository_does_not_count(downloaded):
    old = downloaded / "transformer" / "diffusion_pytorch_model-00001-of-00009.safetensors"
    old.write_bytes(b"")
    note(downloaded, old, THEIRS)
    assert find(downloaded, OURS) == downloaded


def test_the_models_that_are_listed_name_another_revision(downloaded, tmp_path, capsys):
    downloaded.rename(downloaded.with_name("Wan2.2-TI2V-5B-Diffusers"))
    (tmp_path / "config.toml").write_text(
        f'[models]\ninstalled = ["wan"]\ndirectory = "{downloaded.parent}"\n'
        f'[models.wan]\nrevision = "{THEIRS}"\n'
    )
    config = load_config(tmp_path / "config.toml")
    [found] = storage.model_weights(config)
    assert (found.level, found.code) == (Level.FAIL, "error.checkpoint.other_revision")
    [(is_fine, told)] = verify_weights(config, "wan", "en")
    assert not is_fine
    assert told.endswith("run: rushes models pull wan")
    report = DeviceReport(name="cpu", memory_bytes=10**10)
    assert any(line.endswith(told) for line in list_models(config, report, "en"))


@pytest.mark.parametrize(
    ("written", "code", "as_on_hub"),
    [
        ('"scale_factor_temporal": 9', "checkpoint.bad_value", True),
        ('"scale_factor_temporal": 9', "checkpoint.damaged", False),
        ('"scale_factor_temporal": ', "checkpoint.bad_file", True),
        ('"scale_factor_temporal": ', "checkpoint.damaged", False),
    ],
)
def test_a_config_that_is_bad_on_the_hub_is_not_called_damaged(
    downloaded, written, code, as_on_hub
):
    file = downloaded / "vae" / "config.json"
    file.write_text(file.read_text().replace('"scale_factor_temporal": 4', written))
    if as_on_hub:
        note(downloaded, file)
    with pytest.raises(CheckpointError) as caught:
        find(downloaded)
    assert caught.value.code == code
    assert caught.value.params["source"] == SOURCE
    assert caught.value.params["file"] == "vae/config.json"
    text = error_text(caught.value, "en")
    assert ("the hub has the same" in text) == as_on_hub


@pytest.mark.slow
async def test_a_config_that_is_bad_on_the_hub_is_not_downloaded_again(files, tmp_path):
    name = "vae/config.json"
    files[name] = files[name].replace(b'_temporal": 4', b'_temporal": 9')
    async with serving(files) as hub:
        code, out, _ = await run(hub, tmp_path)
        asked = [path for method, path in hub.asked if method == "GET" and path.endswith(name)]
    assert code == 1
    assert "checkpoint.bad_value" in out
    assert "the hub has the same" in out
    assert len(asked) == 1


def test_a_vocabulary_of_another_model_is_named_by_the_check(
    folders, tmp_path, monkeypatch, capsys
):
    place = shutil.copytree(folders("wan-5b"), tmp_path / "mine")
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"word{number}", -3.0) for number in range(4096)]
    shutil.rmtree(place / "tokenizer")
    transformers.T5Tokenizer(vocab=pieces, extra_ids=0).save_pretrained(place / "tokenizer")
    (tmp_path / "config.toml").write_text(
        f'[models]\ninstalled = ["mine"]\n[models.mine]\nengine = "diffusers"\npath = "{place}"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["models", "check", "mine"]) == 1
    assert "tokenizer" in capsys.readouterr().err
    [found] = storage.model_weights(load_config(tmp_path / "config.toml"))
    assert found.level is Level.FAIL
    assert found.params["problem"].code == "folder.wrong_part"
