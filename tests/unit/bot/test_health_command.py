"""`rushes health` and `rushes config show` for people and for scripts."""

import json
import sqlite3

import pytest

from bot.cli.parser import main
from bot.config.effective import MASK
from inference.store.maintenance import DATABASE_NAME

HEALTH_FIELDS = {"running", "ready", "platforms", "reasons", "problems"}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def damage(data):
    (data / DATABASE_NAME).write_bytes(b"\xff" * 4096)


def of_somebody_else(data):
    with sqlite3.connect(data / DATABASE_NAME) as connection:
        connection.execute("CREATE TABLE mine (id)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "said"), [(damage, "is damaged"), (of_somebody_else, "belongs to another program")]
)
def test_what_keeps_rushes_from_starting_is_told_with_that_it_is_not_running(
    data, capsys, spoil, said
):
    spoil(data)
    assert main(["health"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "not running" in first
    assert said in second
    assert main(["health", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert set(told) == HEALTH_FIELDS
    assert (told["running"], told["ready"], told["platforms"]) == (False, False, [])
    assert said in told["reasons"]["database"]
    assert "not running" in told["reasons"]["process"]


def test_where_nothing_is_wrong_only_that_it_is_not_running_is_told(data, capsys):
    assert main(["health", "--json"]) == 1
    assert set(json.loads(capsys.readouterr().out)["reasons"]) == {"process"}
    assert main(["health"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_configuration_as_data_has_every_value_with_its_origin(data, capsys, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "canary")
    (data.parent / "config.toml").write_text(
        "[queue.weights]\n'discord:1' = 2\n[models.wan]\npath = '/srv/wan'\n"
    )
    assert main(["config", "show", "--json"]) == 0
    written = capsys.readouterr().out
    assert "canary" not in written
    told = {(one["section"], one["key"]): one for one in json.loads(written)}
    assert {frozenset(one) for one in told.values()} == {
        frozenset({"section", "key", "value", "origin"})
    }
    assert told["discord", "token"]["value"] == MASK
    assert told["discord", "token"]["origin"] == "DISCORD_TOKEN"
    assert told["queue", "weights"]["value"] == {"discord:1": 2.0}
    assert told["queue", "weights"]["origin"] == "config.toml:1"
    assert told["models.wan", "path"]["value"] == "/srv/wan"
    assert told["bot", "operators"]["value"] == []
    assert told["slack", "bot_token"]["value"] is None
    assert told["log", "level"] == {
        "section": "log",
        "key": "level",
        "value": "info",
        "origin": "default",
    }
