from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from bot.cli.parser import main
from bot.config.sections import Config
from bot.preflight import preflight
from commands.text.messages import error_text
from inference.domain.errors import RushesError


def config(tmp_path, **sections):
    bot = {"data_dir": tmp_path / "data", "platforms": ["terminal"]} | sections.pop("bot", {})
    return Config(bot=bot, models={"installed": ["testcard"]}, **sections)


def refused(config: Config) -> list[str]:
    with pytest.raises(RushesError) as caught:
        preflight(config)
    return error_text(caught.value, "en").splitlines()


@pytest.mark.process
def test_run_tells_what_is_wrong_with_the_rest_of_a_config_that_has_mistakes(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(
        "[bot]\ndata_dir = '/proc/nope/x'\nplatforms = ['slack', 'matrix']\n"
        "operators = ['bob']\n"
        "[watermark]\nlogo = 'missing.png'\ncorner = 'middle'\n[queue]\nwaitng = 3\n"
        "[slack]\nbot_token = 'xoxb-1'\n[safety]\nopenai = true\n[assistant]\nmodel = 'gpt'\n"
    )
    assert main(["run"]) == 1
    told = capsys.readouterr().err
    for line, word in ((2, "/proc/nope"), (3, "matrix"), (4, "bob"), (6, "missing.png")):
        assert re.search(rf"config\.toml:{line}: .*{word}", told), told
    assert re.search(r"config\.toml:7: .*watermark\.corner", told), told
    assert re.search(r"config\.toml:9: .*queue\.waitng", told), told
    assert re.search(r"config\.toml:10: .*app_token is missing", told), told
    assert re.search(r"config\.toml:13: safety\.openai is on", told), told
    assert re.search(r"config\.toml:15: the prompt assistant has a model but no server", told), told
    assert told.count("\n") == 9


@pytest.mark.process
def test_nothing_is_made_for_a_config_with_mistakes(tmp_path):
    refused(config(tmp_path, bot={"platforms": ["discoord"]}))
    assert not (tmp_path / "data").exists()


def test_a_sound_config_passes(tmp_path):
    preflight(config(tmp_path))


@pytest.mark.process
def test_everything_wrong_is_told_in_one_go(tmp_path):
    told = refused(
        config(
            tmp_path,
            bot={"platforms": ["slack", "discoord", "no.such:module"]},
            slack={"bot_token": "xoxb-1"},
            assistant={"model": "gpt"},
            safety={"openai": True},
            watermark={"text": "\U00013000"},
        )
    )
    text = "\n".join(told)
    assert len(told) == 6
    for part in (
        "no platform discoord",
        "no.such:module cannot be loaded",
        "app_token",
        "assistant.api_key",
        "safety.openai",
        "no font has a glyph for",
    ):
        assert part in text


def test_a_chat_that_fails_is_told_without_the_words_of_its_error(tmp_path, monkeypatch):
    def chat(config):
        raise ValueError("xoxb-" + "canary")

    monkeypatch.setattr(sys.modules[__name__], "chat", chat, raising=False)
    (told,) = refused(config(tmp_path, bot={"platforms": [f"{__name__}:chat"]}))
    assert f"{__name__}:chat cannot be loaded: ValueError at bot/test_preflight.py:" in told
    assert "canary" not in told


@pytest.mark.process
@pytest.mark.parametrize("wanted", [["a fox", "-o", "fox.mp4"], ["--many", "many.txt"]])
def test_a_mark_that_cannot_be_drawn_is_told_before_a_clip_is_made(
    tmp_path, monkeypatch, capsys, wanted
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[watermark]\ntext = "\U00013000"\n')
    (tmp_path / "many.txt").write_text("a fox\n")
    assert main(["render", *wanted]) == 1
    said = capsys.readouterr().err
    assert "config.toml:2: no font has a glyph for \U00013000" in said
    assert "posted" not in said


@pytest.mark.process
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"not a picture", "cannot be read. Use a PNG"),
        ("transparent", "is transparent"),
    ],
)
def test_a_logo_that_cannot_be_drawn_is_told_at_start(tmp_path, content, said):
    logo = tmp_path / "logo.png"
    if content == "transparent":
        Image.new("RGBA", (40, 20)).save(logo)
    elif content is not None:
        logo.write_bytes(content)
    (told,) = refused(config(tmp_path, watermark={"logo": logo}))
    assert "watermark.logo" in told
    assert str(logo) in told
    assert said in told


@pytest.mark.process
def test_a_good_logo_passes(tmp_path):
    logo = tmp_path / "logo.png"
    Image.new("RGBA", (40, 20), (255, 0, 0, 255)).save(logo)
    preflight(config(tmp_path, watermark={"logo": logo}))


def test_an_empty_mark_is_told_at_start(tmp_path):
    (told,) = refused(config(tmp_path, watermark={"text": "  "}))
    assert "needs a text or a logo" in told


def test_a_data_folder_that_is_a_file_is_told_at_start(tmp_path):
    (tmp_path / "data").write_text("in the way")
    (told,) = refused(config(tmp_path))
    assert "is not a folder" in told


def test_a_wrong_proxy_is_one_sentence_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://team:secret@proxy:1080")
    monkeypatch.setenv("https_proxy", "socks5://team:secret@proxy:1080")
    [sentence] = refused(config(tmp_path))
    assert "HTTPS_PROXY" in sentence
    assert "secret" not in sentence


def test_a_platform_that_does_not_exist_is_named_with_its_place_and_those_that_do(tmp_path):
    (told,) = refused(config(tmp_path, bot={"platforms": ["discrod"]}))
    assert told.startswith("bot.platforms: ")
    for part in ("discrod", "discord", "slack", "terminal"):
        assert part in told


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_a_folder_of_weights_that_is_none_is_told_at_start(tmp_path, place):
    (tmp_path / "weights").write_bytes(b"")
    directory = tmp_path / "weights" / ("" if place == "file" else "deep")
    made = Config(
        bot={"data_dir": tmp_path / "data", "platforms": ["terminal"]},
        models={"installed": ["testcard"], "directory": directory},
    )
    (told,) = refused(made)
    assert told.startswith("models.directory: ")
    assert "not a folder" in told


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"queue": {"weights": {"dicord:1": 2.0}}}, "queue.weights"),
        ({"bot": {"allowed_tenants": ["discrod:1", "discord:2"]}}, "bot.allowed_tenants"),
    ],
)
def test_a_tenant_of_a_chat_that_does_not_exist_is_told_at_start(tmp_path, sections, key):
    (told,) = refused(config(tmp_path, **sections))
    assert told.startswith(f"{key}: ")
    assert ("dicord" in told) or ("discrod" in told)


@pytest.mark.slow
@pytest.mark.process
def test_a_card_that_is_not_there_is_told_at_start_unless_it_got_lost(tmp_path):
    made = config(tmp_path, workers={"devices": ["cuda:98", "cpu", "cuda:99"]})
    told = refused(made)
    assert len(told) == 2
    assert "no device cuda:98" in told[0]
    assert "workers.devices" in told[0]

    made.bot.data_dir.mkdir(exist_ok=True)
    for number in (98, 99):
        (made.bot.data_dir / f"gpu-cuda-{number}").write_text("NVIDIA H100")
    preflight(made)


@pytest.mark.process
@pytest.mark.parametrize("verb", [["chat"], ["render", "a fox", "-o", "fox.png"]])
def test_a_card_that_is_not_there_is_told_without_a_server_too(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text("[workers]\ndevices = ['cpu', 'cuda:99']\n", encoding="utf-8")
    assert main([*verb, "--config", "config.toml"]) == 1
    assert "config.toml:2: there is no device cuda:99" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("written", "devices"),
    [
        ("auto", ["auto"]),
        ("CPU", ["cpu"]),
        ("cuda:0, cuda:1", ["cuda:0", "cuda:1"]),
        (["cpu", "cpu"], ["cpu", "cpu"]),
    ],
)
def test_devices_are_taken_as_people_and_environments_write_them(tmp_path, written, devices):
    assert config(tmp_path, workers={"devices": written}).workers.devices == devices
