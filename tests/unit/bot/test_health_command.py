"""`rushes health` and `rushes config show` for people and for scripts."""

import contextlib
import json
import socket
import sqlite3
import threading

import pytest

from bot.cli.parser import main
from bot.config.effective import MASK
from bot.control.socket_path import SOCKET_NAME, short_socket_path
from inference.store.maintenance import DATABASE_NAME
from tests.fakes.privileges import held_to_permissions

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


def test_a_config_with_mistakes_is_told_as_data(data, capsys):
    (data.parent / "config.toml").write_text("[queue]\nnothing = 1\n[http]\nport = 'x'\n")
    assert main(["health", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert set(told) == HEALTH_FIELDS
    assert (told["running"], told["ready"]) == (False, False)
    assert "nothing" in told["reasons"]["config"]
    assert "port" in told["reasons"]["config"]


@contextlib.contextmanager
def listening(data, answer):
    """Serve one answer on the control socket."""
    with short_socket_path(data / SOCKET_NAME) as address, socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(answer)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield
        serving.join(timeout=60)


def test_a_process_that_refuses_to_answer_runs(data, capsys):
    body = json.dumps({"error": {"code": "control.version", "text": "Another version."}}).encode()
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    with listening(data, head.encode() + body):
        assert main(["health", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["running"], told["ready"]) == (True, False)
    assert "Another version." in told["reasons"]["process"]


@pytest.mark.parametrize("closed", ["socket", "folder"])
def test_that_nobody_may_ask_is_told_as_data(data, capsys, closed):
    with socket.socket(socket.AF_UNIX) as server, short_socket_path(data / SOCKET_NAME) as address:
        server.bind(address)
    closing = data / SOCKET_NAME if closed == "socket" else data
    closing.chmod(0)
    try:
        with held_to_permissions():
            assert main(["health", "--json"]) == 1
    finally:
        closing.chmod(0o700)
    told = json.loads(capsys.readouterr().out)
    assert (told["running"], told["ready"]) == (False, False)
    assert f"chmod u+rwX {closing.relative_to(data.parent)}" in told["reasons"]["process"]


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
