"""Failing states of the doctor: the configuration, plugins and the running process."""

from __future__ import annotations

import json

import pytest

from bot.cli.parser import main
from bot.config.sources import load_config, load_usable
from bot.doctor import configuration
from bot.doctor.examination import examine
from bot.doctor.findings import Level
from inference.domain.errors import RushesError
from tests.fakes import packages
from tests.scenario.doctor.findings import answering, config, fine, only


def test_a_value_that_cannot_be_used(tmp_path):
    fine(configuration.config(config(tmp_path)))
    wrong = config(tmp_path, bot={"platforms": ["xx"]})
    only(configuration.config(wrong), Level.FAIL, "error.config.platform_unknown")


@pytest.mark.deep
@pytest.mark.parametrize(
    "wrong",
    [
        "[assistant]\nmodel = 'x'\napi_key = 'key'\nbase_url = 'foo'",
        "[safety]\nopenai = true\napi_key = 'key'\nbase_url = 'foo'",
    ],
)
async def test_a_key_for_a_server_with_a_wrong_address_is_sent_to_no_other(tmp_path, wrong):
    path = tmp_path / "config.toml"
    path.write_text(
        f"[bot]\ndata_dir = '{tmp_path}'\nplatforms = ['terminal']\n"
        f"[models]\ninstalled = ['testcard']\n{wrong}\n"
    )
    with pytest.raises(RushesError) as caught:
        load_config(path)
    found = await examine(load_usable(path), "en", mistake=caught.value)
    told = [one.check for one in found if one.level is Level.FAIL]
    assert told.count("config") == 1
    assert not [one for one in found if one.check in {"assistant", "moderation"}]


@pytest.mark.parametrize(
    ("written", "subjects"),
    [
        (
            '[models]\ninstalled = "testcard"\ndirectory = 5\n[queue.weights]\nb = 1\n"ab:1" = 2\n',
            {
                "error.config.not_text models.directory",
                "error.config.wrong_type queue.weights.b",
                "error.config.wrong_type queue.weights",
            },
        ),
        (
            '[models]\ninstalled = ["testcard"]\ntestcard = 5\nnano = 6\n',
            {
                "error.config.not_table models.testcard",
                "error.config.not_table models.nano",
            },
        ),
    ],
)
def test_a_mistake_hides_no_other_of_its_kind_and_is_told_once(tmp_path, written, subjects):
    path = tmp_path / "config.toml"
    path.write_text(written)
    with pytest.raises(RushesError) as mistake:
        load_config(path)
    found = [*configuration.config(load_usable(path), mistake.value)]
    assert sorted(f"{one.code} {one.params['key']}" for one in found) == sorted(subjects)


@pytest.mark.slow
@pytest.mark.tour
@pytest.mark.process
def test_a_config_that_cannot_be_read_is_told_with_its_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[queue]\nwaiting = 5\n[log]\nlevel = "loud"\n')
    assert main(["doctor", "--json", "--offline"]) == 1
    told = json.loads(capsys.readouterr().out)
    failed = [one for one in told if one["level"] == "fail"]
    assert [one["code"] for one in failed] == [
        "error.config.unknown_key",
        "error.config.not_choice",
    ]
    assert "config.toml:2" in failed[0]["text"]
    assert {one["check"] for one in told} >= {"data", "database", "disk", "proxy", "running"}


@pytest.mark.process
@pytest.mark.parametrize(
    ("written", "variables"),
    [
        ('[bot]\ndata_dir = "here"\nlanguage = 5\n', {}),
        ("bot = 5\n[queue\n", {}),
        ('[bot]\ndata_dir = "here"\n', {"RUSHES_QUEUE__WAITING_PER_GUILD": "many"}),
        ('[bot]\ndata_dir = "here"\n[models]\ninstalled = ["nono"]\n', {}),
        ('[bot]\ndata_dir = "here"\n[queue.weights]\n"x:y" = "z"\n[que]\na = 1\n', {}),
        ('[bot]\ndata_dir = "here"\nplatforms = [5]\n', {}),
    ],
)
def test_a_config_with_mistakes_hides_no_other_check(
    tmp_path, monkeypatch, capsys, written, variables
):
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config.toml").write_text(written)
    assert main(["doctor", "--offline", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {one["check"] for one in told if one["level"] == "fail"} == {"config"}
    assert "doctor.config.fine" not in {one["code"] for one in told}
    checks = {"python", "torch", "disk", "data", "database", "proxy", "plugins", "running"}
    assert {one["check"] for one in told} >= checks
    if "here" in written:
        assert any("here will be made" in one["text"] for one in told)


def test_a_bundle_that_is_there_is_told_before_anything_is_examined(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle.zip").write_text("mine")
    assert main(["doctor", "--offline", "--bundle", "bundle.zip"]) == 1
    said = capsys.readouterr()
    assert "bundle.zip exists already. Choose another name" in said.err
    assert said.out == ""


@pytest.mark.process
def test_a_plugin_that_cannot_be_loaded(monkeypatch, tmp_path):
    fine(configuration.plugins(config(tmp_path)))
    packages.make(tmp_path, "mine", "1 / 0", commands={"mine": "commands"})
    monkeypatch.syspath_prepend(tmp_path)
    found = only(configuration.plugins(config(tmp_path)), Level.FAIL, "error.plugin.broken")
    assert "ZeroDivisionError" in found.text("en")


def test_a_section_of_a_plugin_that_is_not_installed(tmp_path):
    known = config(tmp_path, plugins={"style": {"strength": 3}})
    only(configuration.plugins(known), Level.WARN, "cli.plugins.unknown_section")


def test_a_disabled_plugin_is_not_among_the_loaded_and_an_unknown_name_is_told(
    monkeypatch, tmp_path
):
    packages.make(tmp_path, "mine", "1 / 0", commands={"mine": "commands"})
    monkeypatch.syspath_prepend(tmp_path)
    known = config(tmp_path, plugins={"disabled": ["Mine", "mien"]})
    told, loaded = configuration.plugins(known)
    assert (told.level, told.code) == (Level.WARN, "cli.plugins.unknown_disabled")
    assert "mien" in told.text("en")
    assert (loaded.level, loaded.code) == (Level.OK, "doctor.plugins.none")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (
            {"ready": True, "platforms": ["slack"], "problems": {"slack.token": "It is revoked."}},
            "doctor.running.problem",
        ),
        ({"ready": False, "platforms": [], "problems": {}}, "cli.health.not_ready"),
    ],
)
async def test_a_running_process_that_is_not_well(tmp_path, data, code):
    (tmp_path / "data").mkdir()
    fine(await configuration.ask_process(config(tmp_path)))
    async with answering(tmp_path / "data" / "rushes.sock", data):
        only(await configuration.ask_process(config(tmp_path)), Level.WARN, code)
