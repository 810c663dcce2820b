"""What docs/plugins.md shows works as it is written there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bot.platform import Platform
from bot.testing import apply_effect, open_call, open_terminal
from commands.text.card import plain
from tests.fakes.installs import install

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
BLOCKS = re.findall(r"^```(toml|python)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PROJECT, PLATFORM = (code for kind, code in BLOCKS if kind == "toml")
FIRST, EFFECT, TEST = (code for kind, code in BLOCKS if kind == "python")


@pytest.fixture
def dice(tmp_path, monkeypatch):
    source = tmp_path / "rushes-dice"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "rushes_dice.py").write_text(FIRST)
    site = install(source, tmp_path)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))


def test_the_first_plugin_is_as_short_as_it_says():
    lines = [line for line in (PROJECT + FIRST).splitlines() if line.strip()]
    assert len(lines) <= 30


@pytest.mark.process
async def test_the_first_plugin_answers_its_handler_alone(tmp_path, dice):
    async with open_call(tmp_path, text="1") as call:
        answer = await call.commands["/dice"].handler(call)
    assert plain(answer) == "🎲 1"


@pytest.mark.slow
@pytest.mark.process
async def test_the_first_plugin_and_its_test_work_as_written(tmp_path, dice):
    names = {"open_terminal": open_terminal, "plain": plain}
    exec(compile(TEST, "docs/plugins.md", "exec"), names)  # noqa: S102 - our own page
    await names["test_a_die_is_rolled"](tmp_path)
    async with open_terminal(tmp_path / "again") as terminal:
        assert "/dice" in plain(await terminal.say("/rushes help"))
        assert "주사위" in plain(await terminal.say("/rushes help", locale="ko"))


def test_the_effect_works_as_written():
    names = {}
    exec(compile(EFFECT, "docs/plugins.md", "exec"), names)  # noqa: S102 - our own page
    frames = np.full((9, 4, 4, 3), 100, np.uint8)
    made = apply_effect(names["DARKER"], frames, values={"darker": 50})
    assert made.min() == made.max() == 50


def test_every_member_that_a_platform_needs_is_explained_and_the_example_has_it(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    from line_chat import LineChat

    needed = {name for name in vars(Platform) if not name.startswith("_")}
    [table] = re.findall(
        r"^\| member \| what it does \|\n(.*?)\n\n", PAGE, re.DOTALL | re.MULTILINE
    )
    named = {
        name for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)", row.split("|")[1])
    }
    assert named == needed
    assert [name for name in needed if not hasattr(LineChat(Path("x"), 0), name)] == []
    assert tomllib.loads(PLATFORM)["project"]["entry-points"]["rushes.platforms"] == {
        "lines": "line_chat:make"
    }
