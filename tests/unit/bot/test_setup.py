import pytest

from bot import factories
from bot.cli.parser import main
from bot.config.sections import Config
from inference.domain.errors import UserError
from inference.engines.memory import Device
from inference.engines.weights import OPENSORA
from inference.opensora.files import kept_in
from tests.unit.engines.test_memory import SPEC


@pytest.fixture
def weights(tmp_path):
    """A directory with files of the right names."""
    for checkpoint in OPENSORA:
        folder = kept_in(checkpoint.source, tmp_path)
        folder.mkdir()
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "model.safetensors").write_bytes(b"")
        (folder / "README.md").write_text("---\nlicense: free\n---\n", encoding="utf-8")
    return tmp_path


def config(directory):
    return Config(models={"installed": ["opensora"], "directory": directory})


def refused(check, *args):
    with pytest.raises(UserError) as caught:
        check(*args)
    return caught.value.code


def test_a_model_without_weights_is_refused_at_start(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert refused(factories.installation, config(tmp_path)) == "model.no_weights"


def test_weights_that_have_gone_are_noticed_at_submit(weights):
    installation = factories.installation(config(weights))
    installation.check(SPEC)
    (kept_in(OPENSORA[2].source, weights) / "model.safetensors").unlink()
    assert refused(installation.check, SPEC) == "model.no_weights"


def test_memory_is_asked_about_once_the_device_is_known(weights):
    devices = [None]
    installation = factories.installation(config(weights), lambda: devices[-1])
    installation.check(SPEC)
    devices.append(Device(name="a card", memory_bytes=16 * 10**9))
    assert refused(installation.check, SPEC) == "memory.too_large"


def test_models_are_listed_with_size_licence_and_place(weights, monkeypatch, capsys):
    monkeypatch.setenv("RUSHES_MODELS__DIRECTORY", str(weights))
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert f"0.0 GB · free · {weights}" in told
    assert "not installed" in told


def test_a_broken_download_is_found_by_the_check(weights, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setenv("RUSHES_MODELS__DIRECTORY", str(weights))
    assert main(["models", "check", "opensora"]) == 1
    assert "broken" in capsys.readouterr().out


def test_there_is_nothing_to_pull_for_what_ships(capsys):
    assert main(["models", "pull", "nano"]) == 1
    assert "nano needs no download" in capsys.readouterr().err
