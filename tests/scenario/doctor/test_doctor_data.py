"""Failing states of the doctor: the data folder and the database."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sqlite3
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from bot.doctor import machine, storage
from bot.doctor.findings import Level
from inference.store.backups import rotate
from inference.store.maintenance import DATABASE_NAME
from tests.scenario.doctor.findings import (
    DOCTOR,
    ROOT,
    WITHOUT_RIGHTS,
    config,
    fine,
    migrated,
    only,
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


@pytest.mark.slow
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
            env=os.environ | {"PYTHONPATH": str(ROOT), "LANG": "C"},
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


def test_a_data_folder_far_from_any_folder(tmp_path):
    far = config(tmp_path, bot={"data_dir": tmp_path / "a" / "b"})
    only(storage.data_folder(far), Level.WARN, "doctor.data.new_far")


def test_a_data_folder_on_a_file_system_that_takes_no_files(tmp_path):
    """Its permissions let root make what the file system then refuses."""
    for name in ("/proc/nope", "/proc/nope/data"):
        there = config(tmp_path, bot={"data_dir": Path(name)})
        code = "doctor.data.no_room" if os.getuid() else "error.store.unusable"
        only(storage.data_folder(there), Level.FAIL, code)


def test_a_disk_without_blocks_is_not_full(tmp_path):
    fine(machine.disk(config(tmp_path, bot={"data_dir": Path("/proc/nope")})))


def test_a_data_folder_that_others_can_look_into(tmp_path, data):
    data.chmod(0o750)
    (data / DATABASE_NAME).chmod(0o644)
    fine(storage.data_folder(config(tmp_path)))  # a group's access is meant
    data.chmod(0o2770)
    fine(storage.data_folder(config(tmp_path)))
    for mode in (0o755, 0o751, 0o777):
        data.chmod(mode)
        found = only(storage.data_folder(config(tmp_path)), Level.WARN, "doctor.data.open")
        for locale in ("en", "ko"):
            assert f"chmod o-rwx {data}" in found.text(locale)
    subprocess.run(shlex.split(found.params["command"]), check=True)
    assert data.stat().st_mode & 0o777 == 0o770
    fine(storage.data_folder(config(tmp_path)))


def test_files_that_others_can_read_in_a_folder_of_everybody(tmp_path, data):
    data.chmod(0o1777)
    (data / DATABASE_NAME).chmod(0o600)
    fine(storage.data_folder(config(tmp_path)))
    (data / DATABASE_NAME).chmod(0o644)
    found = only(storage.data_folder(config(tmp_path)), Level.WARN, "doctor.data.open")
    assert found.params["path"] == str(data / DATABASE_NAME)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="needs to act as somebody else")
@pytest.mark.parametrize(("mode", "database_mode"), [(0o700, 0o600), (0o755, 0o644)])
def test_the_cause_of_a_folder_of_somebody_else_is_told_once(mode, database_mode):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "data"
        folder.mkdir()
        migrated(folder)
        rotate(folder, folder / "backups", keep=14)
        (folder / DATABASE_NAME).chmod(database_mode)
        folder.chmod(mode)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534)
        done = subprocess.run(
            [*WITHOUT_RIGHTS, *DOCTOR, "--data-dir", "data", "--json"],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(ROOT), "LANG": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = json.loads(done.stdout)
    [failed] = [one for one in found if one["level"] == "fail"]
    assert (failed["check"], failed["code"]) == ("data", "error.store.no_permission")
    assert done.stdout.count("chown") == 1
    others = {one["check"] for one in found if one["code"] == "doctor.data.see"}
    assert others >= {"database", "backup"}
    assert "not checked" in next(one["text"] for one in found if one["check"] == "database")
