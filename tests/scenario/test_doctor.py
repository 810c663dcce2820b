"""Every failing state of the doctor, provoked and named."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from bot.cli.parser import main
from bot.config.sections import Config
from bot.config.sources import load_config, load_usable
from bot.doctor import configuration, discord, examination, machine, network, storage
from bot.doctor.findings import Finding, Level
from bot.doctor.slack import examine as slack_examine
from bot.slack.installations import TABLES
from inference.domain.errors import RushesError
from inference.engines.diffusers_adapter import memory_check
from inference.engines.weights import OPENSORA
from inference.opensora.files import kept_in
from inference.store.backups import rotate
from inference.store.maintenance import DATABASE_NAME
from inference.store.sqlite.migrate import migrations
from inference.workers.device_report import DeviceReport, read_device
from tests.fakes import packages
from tests.fakes.discord import LoopbackDiscord
from tests.fakes.discord.permissions import USUAL, Permission
from tests.fakes.proxy import LoopbackProxy

CARD = DeviceReport(
    torch="2.13.0",
    cuda="13.0",
    driver="NVRM version: 580",
    name="NVIDIA H100",
    memory_bytes=80 * 10**9,
    free_bytes=79 * 10**9,
)
NO_CARD = DeviceReport(torch="2.13.0", memory_bytes=10**10, free_bytes=10**10)

OF_ADDRESS = "Basic bWU6cGFzcw=="
"""Of `me` with `pass`."""

WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root as anybody else, who may not read what is closed."""

DOCTOR = (sys.executable, "-m", "bot", "doctor", "--offline")

WRONG, WRONG_APP = "wrong", "xapp-wrong"


def config(tmp_path, **sections) -> Config:
    bot = {"data_dir": tmp_path / "data", "platforms": ["terminal"]} | sections.pop("bot", {})
    return Config(**({"bot": bot, "models": {"installed": ["testcard"]}} | sections))


def only(findings, level: Level, code: str) -> Finding:
    """Return the one finding that is not fine, after checking that it is this one."""
    wrong = [finding for finding in findings if finding.level is not Level.OK]
    assert [(finding.level, finding.code) for finding in wrong] == [(level, code)]
    for locale in ("en", "ko"):
        assert wrong[0].text(locale)
    return wrong[0]


def fine(findings) -> None:
    assert {finding.level for finding in findings} <= {Level.OK}


@pytest.fixture
def data(tmp_path):
    """A data folder with a database in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
        for number, sql in migrations():
            connection.executescript(sql)
            connection.execute(f"PRAGMA user_version = {number}")
    return folder


# -- the machine -------------------------------------------------------------------------------


def test_an_old_python():
    only(machine.python((3, 10, 2)), Level.FAIL, "doctor.python.old")
    fine(machine.python())


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (DeviceReport(problem="torch.broken"), "doctor.torch.broken"),
        (DeviceReport(), "doctor.torch.missing"),
    ],
)
def test_torch_that_is_not_there_or_broken(tmp_path, report, code):
    only(machine.torch(config(tmp_path, models={"installed": ["nano"]}), report), Level.FAIL, code)


def test_torch_is_not_missed_by_the_test_card(tmp_path):
    fine(machine.torch(config(tmp_path), DeviceReport()))
    fine(machine.torch(config(tmp_path), NO_CARD))


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (NO_CARD, "doctor.gpu.cpu_build"),
        (replace(NO_CARD, cuda="13.0"), "doctor.gpu.missing"),
        (replace(NO_CARD, cuda="13.0", problem="gpu.missing"), "error.gpu.missing"),
        (replace(NO_CARD, cuda="13.0", problem="gpu.driver_too_old"), "error.gpu.driver_too_old"),
    ],
)
def test_a_card_that_is_needed_and_not_seen(tmp_path, report, code):
    only(
        machine.gpu(config(tmp_path, models={"installed": ["opensora"]}), report), Level.FAIL, code
    )


def test_a_card_that_is_there_or_not_needed(tmp_path):
    fine(machine.gpu(config(tmp_path, models={"installed": ["opensora"]}), CARD))
    fine(machine.gpu(config(tmp_path, models={"installed": ["nano"]}), NO_CARD))


@pytest.mark.parametrize(
    ("gigabytes", "free", "level", "code"),
    [
        (8, 8, Level.FAIL, "doctor.memory.too_small"),
        (80, 5, Level.FAIL, "doctor.memory.in_use"),
        (80, 18, Level.WARN, "doctor.memory.partly"),
    ],
)
def test_a_card_without_room(tmp_path, gigabytes, free, level, code):
    card = replace(CARD, memory_bytes=gigabytes * 10**9, free_bytes=free * 10**9)
    only(machine.memory(config(tmp_path, models={"installed": ["opensora"]}), card), level, code)
    fine(machine.memory(config(tmp_path, models={"installed": ["opensora"]}), CARD))


def test_a_machine_with_less_memory_than_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_check, "host_memory", lambda: 8 * 10**9)
    found = machine.memory(config(tmp_path, models={"installed": ["wan"]}), CARD)
    only(found, Level.FAIL, "error.memory.machine")


@pytest.mark.parametrize(
    ("free", "level", "code"),
    [(10**8, Level.FAIL, "doctor.disk.full"), (10**9, Level.WARN, "doctor.disk.low")],
)
def test_a_disk_without_room(tmp_path, free, level, code):
    only(machine.disk(config(tmp_path), free), level, code)
    fine(machine.disk(config(tmp_path), 10**11))


def test_a_full_disk_of_backups_elsewhere(tmp_path, monkeypatch):
    usage = {
        False: SimpleNamespace(free=10**11, total=1),
        True: SimpleNamespace(free=10**8, total=1),
    }
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage[Path(path).name == "saved"])
    (tmp_path / "saved").mkdir()
    known = config(tmp_path, backup={"directory": tmp_path / "saved"})
    fine(machine.disk(known))  # the same disk
    monkeypatch.setattr(machine, "_same_disk", lambda *_: False)
    assert "saved" in only(machine.disk(known), Level.FAIL, "doctor.disk.full").text("en")


@pytest.mark.process
@pytest.mark.model
def test_this_machine_is_asked_in_a_process_of_its_own():
    report = read_device()
    assert report.torch is not None
    assert report.memory_bytes > 10**9


# -- what lies on the disk ---------------------------------------------------------------------


def test_weights_that_are_not_there(tmp_path):
    models = {"installed": ["opensora"], "directory": tmp_path}
    only(
        storage.model_weights(config(tmp_path, models=models)), Level.FAIL, "error.model.no_weights"
    )


def test_weights_without_checksums_are_not_said_to_match_them(tmp_path):
    for checkpoint in OPENSORA:
        folder = kept_in(checkpoint.source, tmp_path)
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        for name in ("model.safetensors", "diffusion_pytorch_model.safetensors"):
            (folder / name).write_bytes(b"copied by hand")
    models = {"installed": ["opensora"], "directory": tmp_path}
    [found] = storage.model_weights(config(tmp_path, models=models))
    assert (found.level, found.code) == (Level.OK, "doctor.weights.unverified")
    assert "match" not in found.text("en")


def test_weights_that_are_damaged(tmp_path):
    for checkpoint in OPENSORA:
        folder = kept_in(checkpoint.source, tmp_path)
        hub = folder / ".cache" / "huggingface" / "download"
        hub.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"damaged")
        (hub / "model.safetensors.metadata").write_text(f"commit\n{'0' * 64}\n0\n")
    models = {"installed": ["opensora"], "directory": tmp_path}
    only(
        storage.model_weights(config(tmp_path, models=models)),
        Level.FAIL,
        "error.checkpoint.checksum",
    )


def test_a_data_folder_that_is_not_one(tmp_path):
    (tmp_path / "data").write_text("")
    only(storage.data_folder(config(tmp_path)), Level.FAIL, "error.store.not_a_folder")


def test_a_data_folder_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    only(storage.data_folder(config(tmp_path)), Level.FAIL, "doctor.data.no_room")


def test_a_data_folder_is_not_made_by_looking(tmp_path):
    fine(storage.data_folder(config(tmp_path)))
    fine(storage.database(config(tmp_path)))
    fine(storage.backups(config(tmp_path)))
    assert not (tmp_path / "data").exists()


def test_a_data_folder_on_a_network_file_system(tmp_path, monkeypatch, data):
    fine(storage.data_folder(config(tmp_path)))
    monkeypatch.setattr(storage, "file_system", lambda _: "nfs4")
    only(storage.data_folder(config(tmp_path)), Level.WARN, "doctor.data.network")


def test_a_damaged_database(tmp_path, data):
    fine(storage.database(config(tmp_path)))
    with contextlib.closing(sqlite3.connect(data / DATABASE_NAME)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'")
        [(size,)] = connection.execute("PRAGMA page_size")
    with (data / DATABASE_NAME).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    found = list(storage.database(config(tmp_path)))
    code = found[0].code
    assert code in {"cli.db.damaged", "error.store.corrupt"}
    only(found, Level.FAIL, code)


def test_a_database_with_problems(tmp_path, data, monkeypatch):
    sound = storage.check(data)
    monkeypatch.setattr(storage, "check", lambda _: replace(sound, problems=("page 3",)))
    only(storage.database(config(tmp_path)), Level.FAIL, "cli.db.damaged")
    monkeypatch.setattr(storage, "check", lambda _: replace(sound, quarantined=("jobs 1 spec",)))
    only(storage.database(config(tmp_path)), Level.WARN, "doctor.database.rows")


def test_a_database_of_somebody_else(tmp_path):
    (tmp_path / "data").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE mine (id)")
    only(storage.database(config(tmp_path)), Level.FAIL, "error.store.foreign")


def test_backups_that_are_off_missing_or_old(tmp_path, data):
    only(storage.backups(config(tmp_path, backup={"keep": 0})), Level.WARN, "doctor.backup.off")
    only(storage.backups(config(tmp_path)), Level.WARN, "doctor.backup.none")
    made = rotate(data, data / "backups", keep=14).stat().st_mtime
    fine(storage.backups(config(tmp_path), now=made + 3600))
    only(storage.backups(config(tmp_path), now=made + 4 * 86400), Level.WARN, "doctor.backup.old")


def test_a_newest_backup_that_nothing_could_be_restored_from(tmp_path, data):
    made = rotate(data, data / "backups", keep=14)
    whole = made.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"no database"):
        made.write_bytes(content)
        found = only(storage.backups(config(tmp_path)), Level.FAIL, "doctor.backup.damaged")
        assert made.name in found.text("en")
    made.write_bytes(whole)
    fine(storage.backups(config(tmp_path)))


def test_a_backup_of_a_later_release_is_not_called_damaged(tmp_path, data):
    made = rotate(data, data / "backups", keep=14)
    with contextlib.closing(sqlite3.connect(made)) as connection:
        connection.execute(f"PRAGMA user_version = {migrations()[-1][0] + 1}")
    only(storage.backups(config(tmp_path)), Level.FAIL, "error.store.too_new")


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="needs to act as somebody else")
@pytest.mark.parametrize(
    ("mode", "folder_mode", "code"),
    [
        pytest.param(0o600, 0o777, "error.store.no_permission", id="closed"),
        pytest.param(0o444, 0o555, "error.store.backup_failed", id="read-only-folder"),
    ],
)
def test_a_backup_of_somebody_else_is_not_called_damaged(mode, folder_mode, code):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "data"
        folder.mkdir()
        with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # as a start does
            for number, sql in migrations():
                connection.executescript(sql)
                connection.execute(f"PRAGMA user_version = {number}")
        made = rotate(folder, folder / "backups", keep=14)
        made.chmod(mode)
        made.parent.chmod(folder_mode)
        os.chown(made, 65534, 65534)
        os.chown(made.parent, 65534, 65534)
        done = subprocess.run(
            [*WITHOUT_RIGHTS, *DOCTOR, "--data-dir", "data", "--json"],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "LANG": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    told = [one for one in json.loads(done.stdout) if one["check"] == "backup"]
    assert [one["code"] for one in told] == [code]


def test_a_backup_of_the_future_is_none_of_today(tmp_path, data):
    made = rotate(data, data / "backups", keep=14).stat().st_mtime
    yesterday = storage.backups(config(tmp_path), now=made - 86400)
    only(yesterday, Level.WARN, "doctor.backup.ahead")


def test_a_backup_folder_that_cannot_be_read(tmp_path, data):
    (tmp_path / "file").write_text("")
    elsewhere = config(tmp_path, backup={"directory": tmp_path / "file"})
    only(storage.backups(elsewhere), Level.FAIL, "error.store.backup_failed")


def test_a_backup_folder_that_cannot_be_made_is_told_before_the_first_start(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    below = config(tmp_path, backup={"directory": tmp_path / "file" / "backups"})
    only(storage.backups(below), Level.FAIL, "error.store.backup_failed")
    elsewhere = config(tmp_path, backup={"directory": tmp_path / "backups"})
    fine(storage.backups(elsewhere))
    monkeypatch.setattr("os.access", lambda *_: False)
    only(storage.backups(elsewhere), Level.FAIL, "error.store.backup_failed")


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="needs to act as somebody else")
@pytest.mark.parametrize("more", [[], ["--json"], ["--bundle", "out/bundle.zip"]])
@pytest.mark.parametrize(
    ("name", "code"),
    [("foreign", "error.store.no_permission"), ("foreign/sub", "doctor.data.no_room")],
)
def test_a_data_folder_of_somebody_else_is_one_line_among_all(name, code, more):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        (Path(place) / "foreign").mkdir(mode=0o700)
        (Path(place) / "out").mkdir()
        os.chown(Path(place) / "foreign", 65534, 65534)
        done = subprocess.run(
            [*WITHOUT_RIGHTS, *DOCTOR, "--data-dir", name, *more],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "LANG": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    for word in ("nobody (65534)", "user 0", "chown" if name == "foreign" else "-o 0"):
        assert word in done.stdout
    for check in ("python", "weights", "database", "plugins", "proxy", "running", "network"):
        assert check in done.stdout
    if more == ["--json"]:
        assert code in {one["code"] for one in json.loads(done.stdout)}


async def test_a_check_that_raises_is_one_line_among_all(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    places = {
        machine: ["disk", "gpu", "memory", "python", "torch"],
        storage: ["backups", "data_folder", "database", "model_weights"],
        configuration: ["config", "plugins", "running"],
        network: ["assistant", "proxy", "reach"],
    }
    for module, names in places.items():
        for name in names:
            monkeypatch.setattr(module, name, broken)
    found = await examination.examine(config(tmp_path), "en")
    raised = [one for one in found if one.code == "doctor.broken"]
    assert len(raised) == sum(map(len, places.values()))
    assert all("ZeroDivisionError" in one.text("en") for one in raised)


def test_a_data_folder_far_from_any_folder(tmp_path):
    far = config(tmp_path, bot={"data_dir": tmp_path / "a" / "b"})
    only(storage.data_folder(far), Level.WARN, "doctor.data.new_far")


def test_a_disk_without_blocks_is_not_full(tmp_path):
    fine(machine.disk(config(tmp_path, bot={"data_dir": Path("/proc/nope")})))


# -- the configuration -------------------------------------------------------------------------


def test_a_value_that_cannot_be_used(tmp_path):
    fine(configuration.config(config(tmp_path)))
    wrong = config(tmp_path, bot={"language": "xx"})
    only(configuration.config(wrong), Level.FAIL, "error.config.language")


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
    fine(configuration.plugins())
    packages.make(tmp_path, "mine", "1 / 0", commands={"mine": "commands"})
    monkeypatch.syspath_prepend(tmp_path)
    found = only(configuration.plugins(), Level.FAIL, "error.plugin.broken")
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


@contextlib.asynccontextmanager
async def answering(address, data):
    """Serve the health of a process."""
    application = web.Application()
    application.router.add_get("/v1/health", answers(data))
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(address)).start()
    yield
    await runner.cleanup()


def answers(data):
    """Return a handler that answers with this."""

    async def handler(_):
        return web.json_response(data)

    return handler


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
    fine(await configuration.running(config(tmp_path)))
    async with answering(tmp_path / "data" / "rushes.sock", data):
        only(await configuration.running(config(tmp_path)), Level.WARN, code)


# -- the network -------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(handler, tls: ssl.SSLContext | None = None):
    """Serve one answer to everything; yield the address."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    await runner.cleanup()


def needing(tmp_path, url) -> Config:
    """Return a config that needs a host."""
    return config(
        tmp_path,
        bot={"platforms": ["discord"]},
        discord={
            "token": "x",
            "api_base_url": url,
            "gateway_url": url.replace("http", "ws", 1),
        },
    )


def test_a_port_of_http_that_is_taken(tmp_path, free_port):
    known = config(tmp_path, bot={"platforms": ["http"]}, http={"port": free_port})
    fine(network.listening(known))
    with socket.create_server(("127.0.0.1", free_port)):
        found = only(network.listening(known), Level.FAIL, "error.http.cannot_listen")
    assert found.text("en").count(str(free_port)) == 1
    assert not [*network.listening(config(tmp_path, http={"port": free_port}))]


async def test_the_port_of_a_running_rushes_is_its_own(tmp_path, free_port):
    known = config(tmp_path, bot={"platforms": ["http"]}, http={"port": free_port})
    (tmp_path / "data").mkdir()
    health = {"ready": True, "platforms": ["http"], "problems": {}}
    with socket.create_server(("127.0.0.1", free_port)):
        taken = await examination.examine(known, "en", offline=True)
        assert "http" in [one.check for one in taken if one.level is Level.FAIL]
        async with answering(tmp_path / "data" / "rushes.sock", health):
            found = await examination.examine(known, "en", offline=True)
    assert "http" not in [one.check for one in found]


async def test_a_host_that_is_away(tmp_path, free_port):
    found = await network.reach(needing(tmp_path, f"http://127.0.0.1:{free_port}"))
    only(found[:1], Level.FAIL, "doctor.host.unreachable")


async def test_a_host_whose_certificate_is_not_trusted(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    await asyncio.to_thread(
        subprocess.run,
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "certificate.pem",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    async with serving(answers({}), tls) as url:
        found = await network.reach(needing(tmp_path, url))
    only(found[:1], Level.FAIL, "doctor.host.certificate")


async def test_a_proxy_that_lets_nobody_through(tmp_path, monkeypatch):
    async with LoopbackProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("p%40ss", "wrong"))
        found = await network.reach(needing(tmp_path, "https://discord.example"))
    only(found[:1], Level.FAIL, "doctor.host.proxy")


def test_a_proxy_that_is_none(tmp_path, monkeypatch):
    fine(network.proxy(config(tmp_path)))
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    only(network.proxy(config(tmp_path)), Level.FAIL, "error.config.proxy")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    [found] = network.proxy(config(tmp_path))
    assert found.code == "doctor.proxy.unneeded"
    assert "HTTPS_PROXY" in found.text("en")


@pytest.mark.parametrize(("ahead", "level"), [(60, Level.WARN), (-4000, Level.FAIL)])
async def test_a_clock_that_is_wrong(tmp_path, monkeypatch, ahead, level):
    async with serving(answers({})) as url:
        fine(await network.reach(needing(tmp_path, url)))
        now = network.time.time
        monkeypatch.setattr(network, "time", SimpleNamespace(time=lambda: now() + ahead))
        only(await network.reach(needing(tmp_path, url)), level, "doctor.clock.wrong")


@pytest.mark.parametrize(
    ("status", "data", "level", "code"),
    [
        (401, {}, Level.FAIL, "doctor.assistant.rejected"),
        (200, {"data": [{"id": "llama"}]}, Level.FAIL, "doctor.assistant.no_model"),
        (503, {}, Level.WARN, "doctor.assistant.down"),
        (404, {}, Level.WARN, "doctor.assistant.down"),  # an address without /v1
        (429, {}, Level.WARN, "doctor.assistant.down"),
    ],
)
async def test_an_assistant_that_does_not_help(tmp_path, status, data, level, code):
    async def answer(request):
        assert request.path == "/v1/models"
        assert request.headers["Authorization"] == "Bearer sk-test"
        return web.json_response(data, status=status)

    async with serving(answer) as url:
        section = {"model": "gpt-test", "base_url": f"{url}/v1", "api_key": "sk-test"}
        only(await network.assistant(config(tmp_path, assistant=section)), level, code)


async def test_a_chat_with_a_token_that_is_not_among_the_platforms(tmp_path):
    known = config(tmp_path, discord={"token": "x"}, slack={"bot_token": "xoxb-x"})
    for found in (await discord.examine(known, "en"), await slack_examine(known)):
        assert "[bot] platforms" in only(found, Level.WARN, "doctor.chat.unlisted").text("en")


async def test_an_assistant_that_is_there(tmp_path):
    async with serving(answers({"data": [{"id": "gpt-test"}]})) as url:
        section = {"model": "gpt-test", "base_url": f"{url}/v1"}
        fine(await network.assistant(config(tmp_path, assistant=section)))


async def test_an_assistant_with_a_password_in_its_address_is_asked_by_that(tmp_path):
    async def answer(request):
        return web.Response(status=200 if request.headers["Authorization"] == OF_ADDRESS else 401)

    async with serving(answer) as url:
        known = {
            "model": "small",
            "api_key": "sk-1",
            "base_url": url.replace("://", "://me:pass@") + "/v1",
        }
        fine(await network.assistant(config(tmp_path, assistant=known)))


# -- Discord -----------------------------------------------------------------------------------


@pytest.fixture
async def loopback():
    async with LoopbackDiscord() as discord:
        yield discord


def on(tmp_path, loopback, **section) -> Config:
    known = {"token": loopback.token, "api_base_url": loopback.api_url}
    return config(tmp_path, bot={"platforms": ["discord"]}, discord=known | section)


async def test_a_discord_that_is_well_but_for_its_commands(tmp_path, loopback):
    loopback.add_guild("studio")
    found = await discord.examine(on(tmp_path, loopback), "en")
    only(found, Level.WARN, "doctor.discord.no_commands")
    loopback.registry.overwrite(None, [{"name": "generate", "description": "x", "type": 1}])
    fine(await discord.examine(on(tmp_path, loopback), "en"))


async def test_a_token_that_discord_does_not_take(tmp_path, loopback):
    section = on(tmp_path, loopback, token=WRONG)
    found = await discord.examine(section, "en")
    only(found, Level.FAIL, "error.discord.token_rejected")


async def test_a_bot_that_is_in_no_server(tmp_path, loopback):
    loopback.registry.overwrite(None, [{"name": "generate", "description": "x", "type": 1}])
    found = await discord.examine(on(tmp_path, loopback), "en")
    only(found, Level.WARN, "doctor.discord.no_guilds")


async def test_a_server_that_is_named_and_not_joined(tmp_path, loopback):
    guild = loopback.add_guild("studio")
    loopback.registry.overwrite(guild.id, [{"name": "generate", "description": "x", "type": 1}])
    section = on(tmp_path, loopback, guild_ids=[guild.id, 42])
    only(await discord.examine(section, "en"), Level.FAIL, "error.discord.guild_closed")


async def test_a_server_that_does_not_let_it_attach_files(tmp_path, loopback):
    loopback.registry.overwrite(None, [{"name": "generate", "description": "x", "type": 1}])
    guild = loopback.add_guild("studio", permissions=0)
    guild.everyone.permissions = int(USUAL & ~Permission.ATTACH_FILES)
    found = await discord.examine(on(tmp_path, loopback), "en")
    lacking = only(found, Level.WARN, "doctor.discord.permissions_missing")
    assert "studio" in lacking.text("en")
    assert "Attach Files" in lacking.text("en")


async def test_a_discord_that_answers_with_errors(tmp_path, loopback):
    loopback.trouble("GET /users/@me/guilds", status=403, code=50001)
    found = await discord.examine(on(tmp_path, loopback), "en")
    only(found, Level.FAIL, "doctor.discord.failed")


async def test_a_discord_that_is_away(tmp_path, free_port):
    section = {"token": "x", "api_base_url": f"http://127.0.0.1:{free_port}/api/v10"}
    away = config(tmp_path, bot={"platforms": ["discord"]}, discord=section)
    only(await discord.examine(away, "en"), Level.FAIL, "doctor.host.unreachable")


async def test_a_discord_that_is_away_is_one_plain_line(tmp_path, free_port):
    url = f"http://127.0.0.1:{free_port}"
    found = await examination.examine(needing(tmp_path, url), "en")
    [away] = [one for one in found if one.code == "doctor.host.unreachable"]
    assert away.check == "discord.token"
    assert "Discord cannot be reached (Connection refused)" in away.text("en")


# -- Slack -------------------------------------------------------------------------------------


def on_slack(tmp_path, slack, token, **section) -> Config:
    known = {
        "bot_token": token,
        "app_token": slack.app_token,
        "api_base_url": slack.api_base_url,
    }
    return config(tmp_path, bot={"platforms": ["slack"]}, slack=known | section)


async def test_a_slack_without_its_bot_token(tmp_path):
    known = config(tmp_path, slack={"app_token": "xapp-1"})
    found = only(await slack_examine(known), Level.WARN, "doctor.slack.no_bot_token")
    assert "SLACK_BOT_TOKEN" in found.text("en")


async def test_a_slack_that_is_well(tmp_path, slack, acme):
    fine(await slack_examine(on_slack(tmp_path, slack, acme.installation.token)))


async def test_an_app_that_lacks_scopes(tmp_path, slack, acme):
    acme.installation.scopes -= {"files:write"}
    found = await slack_examine(on_slack(tmp_path, slack, acme.installation.token))
    assert "files:write" in only(found, Level.FAIL, "doctor.slack.scopes").text("en")


async def test_a_token_that_slack_does_not_take(tmp_path, slack, acme):
    found = await slack_examine(on_slack(tmp_path, slack, "xoxb-wrong"))
    only(found, Level.FAIL, "error.slack.token_rejected")


async def test_an_app_token_that_slack_does_not_take(tmp_path, slack, acme):
    section = on_slack(tmp_path, slack, acme.installation.token, app_token=WRONG_APP)
    found = only(await slack_examine(section), Level.FAIL, "error.slack.token_rejected")
    assert found.check == "slack.socket"


async def test_each_workspace_that_installed_the_app_is_asked(tmp_path, slack, acme, data):
    many = {"client_id": "1", "client_secret": "2", "bot_token": None, "mode": "socket"}
    section = on_slack(tmp_path, slack, None, **many)
    fine(await slack_examine(section))  # nobody has installed it: there is not even the table
    row = "INSERT INTO slack_installations VALUES (?, ?, NULL, 'B1', 'U1', ?, '', ?, ?)"
    with contextlib.closing(sqlite3.connect(data / DATABASE_NAME)) as connection:
        for _, sql in TABLES.steps():
            connection.executescript(sql)
        connection.execute(row, ("T1", "T1", acme.installation.token, None, None))
        connection.execute(row, ("T2", "T2", "xoxe-expired", "xoxe-refresh", 1.0))
        connection.commit()
        fine(await slack_examine(section))
        connection.execute(row, ("T3", "T3", "xoxb-wrong", None, None))
        connection.commit()
    found = only(await slack_examine(section), Level.FAIL, "error.slack.token_rejected")
    assert found.check == "workspace.T3"


async def test_a_slack_that_answers_with_errors(tmp_path, slack, acme):
    slack.hub.trouble("auth.test", error="internal_error")
    found = await slack_examine(on_slack(tmp_path, slack, acme.installation.token))
    only(found, Level.FAIL, "doctor.slack.failed")


# -- all of it ---------------------------------------------------------------------------------


def test_every_failing_state_is_provoked_here():
    """Compare with what the doctor can say; runs over the source, so nothing is left out."""
    provoked = {
        node.value
        for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    bad = set()
    for path in Path(configuration.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"fail", "warn"}:
                bad |= {arg.value for arg in node.args[1:] if isinstance(arg, ast.Constant)}
    assert bad - provoked == set()
