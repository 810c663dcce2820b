"""The whole table of the doctor."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.doctor import configuration, examination, machine, network, storage
from bot.doctor.findings import Level
from tests.scenario.doctor.findings import config

pytestmark = pytest.mark.deep


@pytest.mark.slow
@pytest.mark.process
async def test_a_check_that_raises_is_one_line_among_all(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    places = {
        machine: ["disk", "gpu", "memory", "python", "torch"],
        storage: ["backups", "data_folder", "database", "model_weights"],
        configuration: ["config", "plugins", "ask_process"],
        network: ["check_openai", "proxy", "check_hosts"],
    }
    for module, names in places.items():
        for name in names:
            monkeypatch.setattr(module, name, broken)
    found = await examination.examine(config(tmp_path), "en")
    raised = [one for one in found if one.code == "doctor.broken"]
    assert len(raised) == sum(map(len, places.values()))
    assert all("ZeroDivisionError" in one.text("en") for one in raised)


async def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def closed(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/closed")

    monkeypatch.setattr(storage, "model_weights", closed)
    found = await examination.examine(config(tmp_path), "en", offline=True)
    [failed] = [one for one in found if one.level is Level.FAIL]
    assert (failed.check, failed.code) == ("weights", "error.cli.os_error")
    assert "/srv/closed" in failed.text("en")


def sources(folder: Path) -> Iterator[ast.AST]:
    for path in folder.glob("*.py"):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def test_every_failing_state_is_provoked_here():
    """Compare with what the doctor can say; runs over the source, so nothing is left out."""
    provoked = {
        node.value
        for node in sources(Path(__file__).parent)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    bad = set()
    for node in sources(Path(configuration.__file__).parent):
        match node:
            case ast.Call(func=ast.Name(id="fail" | "warn"), args=[_, *rest]):
                bad |= {arg.value for arg in rest if isinstance(arg, ast.Constant)}
            case ast.Call(
                func=ast.Name(id="UserError" | "StoreError"), args=[ast.Constant(value=str(code))]
            ):
                bad.add(f"error.{code}")
    assert bad - provoked == set()
