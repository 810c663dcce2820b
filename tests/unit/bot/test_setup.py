from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bot import factories
from bot.cli import models
from bot.cli.parser import main
from bot.config.sections import Config
from inference.domain.device import Device
from inference.domain.errors import UserError
from inference.domain.events import EventBus
from inference.domain.outbox import ActKind
from inference.domain.spec import Resolution
from inference.domain.verdict import Verdict
from inference.engines.diffusers_adapter import memory_check
from inference.engines.weights import OPENSORA
from inference.opensora.files import checkpoint_path
from inference.store.jobs import JobStore
from inference.store.maintenance import DATABASE_NAME
from inference.store.outbox import OutboxStore
from inference.store.sqlite.database import open_database
from inference.workers.device_report import DeviceReport
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job, accept
from tests.unit.engines.test_memory import SPEC
from tests.unit.store.test_jobs import CHARGE, MANIFEST


@pytest.fixture
def weights(tmp_path):
    """A directory with files of the right names."""
    for checkpoint in OPENSORA:
        folder = checkpoint_path(checkpoint.source, tmp_path)
        folder.mkdir()
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "model.safetensors").write_bytes(b"")
        (folder / "README.md").write_text("---\nlicense: free\n---\n", encoding="utf-8")
    return tmp_path


def config(directory, **bot):
    return Config(bot=bot, models={"installed": ["opensora"], "directory": directory})


def refused(check, *args):
    with pytest.raises(UserError) as caught:
        check(*args)
    return caught.value.code


def test_a_model_without_weights_is_refused_at_start(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert refused(factories.make_installation, config(tmp_path)) == "model.no_weights"


def test_weights_that_have_gone_are_noticed_at_submit(weights):
    installation = factories.make_installation(config(weights))
    installation.check(SPEC)
    (checkpoint_path(OPENSORA[2].source, weights) / "model.safetensors").unlink()
    assert refused(installation.check, SPEC) == "model.no_weights"


def test_memory_is_asked_about_once_the_device_is_known(weights):
    devices = [None]
    installation = factories.make_installation(config(weights), device=lambda: devices[-1])
    installation.check(SPEC)
    devices.append(Device(name="a gpu", memory_bytes=16 * 10**9))
    assert refused(installation.check, SPEC) == "memory.too_large"


@pytest.mark.slow
@pytest.mark.process
def test_models_are_listed_with_size_licence_and_place(weights, monkeypatch, capsys):
    monkeypatch.setenv("RUSHES_MODELS__DIRECTORY", str(weights))
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert f"0.0 GB · free · {weights}" in told
    assert "off: not in `installed`" in told
    assert "not downloaded" in told


GPU = DeviceReport(
    torch="2.13.0", cuda="13.0", name="NVIDIA L4", memory_bytes=24 * 10**9, free_bytes=23 * 10**9
)
CPU = DeviceReport(torch="2.13.0", memory_bytes=32 * 10**9, free_bytes=32 * 10**9)


def told_of(weights, report, **bot):
    lines = list(models.list_models(config(weights, **bot), report, "en"))
    starts = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    return {
        lines[start].split()[0]: lines[start:end] for start, end in pairwise([*starts, None])
    } | {"last": lines[-1:]}


def test_models_are_listed_with_what_fits_the_machine(weights, monkeypatch):
    monkeypatch.setattr(memory_check, "host_memory", lambda: 64 * 10**9)
    told = told_of(weights, GPU)
    assert told["last"] == ["This machine renders on: NVIDIA L4, 24.0 GB"]
    assert told["wan"][1] == (
        "  fits here · 480p up to 121 frames · 720p up to 121 frames · a clip of 720p with 121"
        " frames: about 3 min, an estimate for a large GPU, not measured here yet"
    )
    assert "Wan 2.2 14B needs about 73 GB of system memory" in told["wan-14b"][1]
    small = told_of(weights, replace(GPU, memory_bytes=4 * 10**9))
    assert "This does not fit the GPU" in small["wan"][1]
    assert "fits here · 360p" in small["nano"][1]


def test_without_a_gpu_models_that_want_one_get_no_time(weights):
    told = told_of(weights, CPU)
    assert "it needs a GPU" in told["wan-small"][1]
    assert "No GPU was found on this machine" in told["wan"][1]
    assert "a clip of 360p with 49 frames: about" in told["nano"][1]
    absent = told_of(weights, DeviceReport())
    assert "PyTorch is missing" in absent["last"][0]


async def test_times_that_were_measured_here_are_told_as_such(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(memory_check, "host_memory", lambda: 64 * 10**9)
    spec = replace(SPEC, model="wan", resolution=Resolution.P720, frames=121, steps=50)
    manifest = replace(MANIFEST, timings={"sample": 1150.0, "total": 1200.0})
    clock, events = ManualClock(), EventBus()
    async with open_database(tmp_path / DATABASE_NAME) as database:
        store, outbox = JobStore(database, clock, events), OutboxStore(database, clock, events)
        job = (await accept(store, a_job(spec=spec))).id
        await store.begin_preparing(job)
        await store.enqueue(job, spec=spec, verdict=Verdict())
        await store.claim(job, CHARGE)
        await store.finish(job, manifest, CHARGE, GPU.name)
        await store.deliver(job, Verdict())
        await outbox.mark_sent(await outbox.get(job, ActKind.CLIP), {})
    told = told_of(weights, GPU, data_dir=tmp_path)
    assert "about 20 min, measured here" in told["wan"][1]
    other = told_of(weights, replace(GPU, name="other"), data_dir=tmp_path)
    assert "not measured here yet" in other["wan"][1]


@pytest.mark.model
def test_a_broken_download_is_found_by_the_check(weights, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setenv("RUSHES_MODELS__DIRECTORY", str(weights))
    assert main(["models", "check", "opensora"]) == 1
    assert "broken" in capsys.readouterr().out


def test_the_check_of_weights_that_are_not_here_says_how_to_get_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RUSHES_MODELS__DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert main(["models", "check", "wan"]) == 1
    told = capsys.readouterr().out
    assert told.count("Wan-AI/Wan2.2-TI2V-5B-Diffusers") == 1
    assert "Run: rushes models pull wan" in told


def test_the_list_of_models_names_a_device_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(factories, "missing", lambda devices: (list(devices), 0))
    monkeypatch.setenv("RUSHES_WORKERS__DEVICES", '["cuda:7"]')
    assert main(["models"]) == 1
    told = capsys.readouterr()
    assert "cuda:7" in told.err
    assert "cpu" not in told.out


@pytest.mark.parametrize("what", ["pull", "check"])
@pytest.mark.parametrize("name", ["nano", "testcard"])
def test_there_is_nothing_to_pull_or_check_for_what_ships(capsys, what, name):
    assert main(["models", what, name]) == 0
    assert f"{name} needs no download" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["pull", "check"])
def test_a_model_that_nobody_knows_is_told_with_those_that_are_known(capsys, what):
    assert main(["models", what, "ghost"]) == 1
    told = capsys.readouterr().err
    assert "no model “ghost”" in told
    assert "testcard" in told
    assert "Installed" not in told  # most of them are not


@pytest.mark.parametrize("what", ["pull", "check"])
def test_a_folder_that_cannot_be_used_is_told_with_its_place_in_the_config(
    tmp_path, monkeypatch, capsys, what
):
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    Path("model/model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    text = '[models]\ninstalled = ["mine"]\n[models.mine]\nengine = "diffusers"\npath = "model"\n'
    Path("config.toml").write_text(text)
    assert main(["models", what, "mine"]) == 1
    told = capsys.readouterr().err
    assert "config.toml:5: models.mine.path: " in told
    assert "StableDiffusionPipeline" in told
    assert "folder" in told
    assert "repository" not in told
