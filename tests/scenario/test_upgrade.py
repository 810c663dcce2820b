"""A data folder of an earlier release, taken over by this one."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from pathlib import Path

import pytest

from tests.scenario.terminal_process import Shell, stop

pytestmark = [pytest.mark.process, pytest.mark.slow]

OLD = sorted((Path(__file__).parent / "upgrades").glob("*.sqlite3.gz"))
STUDIO = ("--guild", "studio", "--as", "kim", "--lang", "en")


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name.removesuffix(".sqlite3.gz"))
def test_a_database_of_an_earlier_release_migrates_and_works(tmp_path, old):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rushes.sqlite3").write_bytes(gzip.decompress(old.read_bytes()))
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "rushes.sqlite3")) as connection:
        jobs = dict(connection.execute("SELECT state, id FROM jobs"))
    for verb in (("doctor", "--offline"), ("db", "check"), ("db", "backup", "before.sqlite3")):
        ended = shell.rushes(*verb)  # what docs/upgrading.md asks for before the start
        assert ended.code == 0, ended
    process = shell.serve()

    assert "a green ball" in shell.rushes("queue", *STUDIO).out
    assert "ready in" in shell.rushes("show", jobs["done"], *STUDIO).out
    script = (
        "/rushes-admin resume\n/rushes-admin settings\n/rushes-admin words\n"
        "/rushes preset list\n/rushes history\n"
    )
    said = shell.rushes("chat", "--no-wait", "--admin", *STUDIO, script=script).out
    assert "9:16" in said
    assert "sunny" in said
    assert "pineapple" in said
    assert "red fox" in said
    assert "▶" in shell.settled(
        jobs["queued"], *STUDIO
    )  # it waited for the update, and is made now

    assert stop(process).code == 0
    assert "intact" in shell.rushes("db", "check").out
    assert list((tmp_path / "data").glob("rushes.sqlite3.schema-*.bak"))  # the way back
