"""Failing states of the doctor: backups."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from bot.doctor import storage
from bot.doctor.findings import Level
from inference.store.backups import rotate
from inference.store.sqlite.migrate import migrations
from tests.scenario.doctor.findings import (
    DOCTOR,
    ROOT,
    WITHOUT_RIGHTS,
    config,
    fine,
    migrated,
    only,
)


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


@pytest.mark.slow
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
        migrated(folder)
        made = rotate(folder, folder / "backups", keep=14)
        made.chmod(mode)
        made.parent.chmod(folder_mode)
        os.chown(made, 65534, 65534)
        os.chown(made.parent, 65534, 65534)
        done = subprocess.run(
            [*WITHOUT_RIGHTS, *DOCTOR, "--data-dir", "data", "--json"],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(ROOT), "LANG": "C"},
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
    nowhere = config(tmp_path, backup={"directory": "/proc/nope"})
    only(storage.backups(nowhere), Level.FAIL, "error.store.backup_failed")
    elsewhere = config(tmp_path, backup={"directory": tmp_path / "backups"})
    fine(storage.backups(elsewhere))
    monkeypatch.setattr("os.access", lambda *_: False)
    only(storage.backups(elsewhere), Level.FAIL, "error.store.backup_failed")
