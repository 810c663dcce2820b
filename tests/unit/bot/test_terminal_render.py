from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC

import pytest
from rich.cells import cell_len
from rich.console import Console

from bot.terminal.render import CardView, toolbar
from commands.text.card import Card, CardKind
from tests.fakes.readable import readable
from tests.unit.bot.card_samples import CLIP, ERROR, FOX, RUNNING, WAITING


def drawn(card: Card, *, columns: int = 80, terminal: bool = True, numbered: bool = True) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=columns,
        force_terminal=terminal,
        no_color=True,
        color_system=None,
        soft_wrap=True,
        highlight=False,
    )
    console.print(CardView(card, zone=UTC, number=1 if numbered else None))
    return readable(file.getvalue())


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (
            WAITING,
            """\
▌ 🎬 a red fox running through snow  @kim
▌ 720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623
▌ 2nd in queue · starts in about 1 min, ready about 14:32
▌ [1 Cancel]
""",
        ),
        (
            RUNNING,
            """\
▌ 🎬 a red fox running through snow  @kim
▌ ▓▓▓▓▓▓▓▓▓░░░░░░  step 18 of 30 · about 14 s left
▌ [1 Cancel]
""",
        ),
        (
            CLIP,
            """\
▌ a red fox running through snow
▌ @kim  here it is
▌ 720p · 97 frames · seed 48151623 · job 7Q2FK9XDAB
▌ [1 Reroll] [2 Info]
▶ data/threads/studio/7Q2FK9XDAB/7Q2FK9XDAB.mp4
""",
        ),
        (ERROR, "▌ --frames cannot be “50”.\n"),
    ],
    ids=["waiting", "running", "clip", "error"],
)
def test_a_card_in_a_terminal(card, expected):
    assert drawn(card) == expected


def test_a_card_in_a_pipe_has_whole_lines_and_no_decoration():
    assert (
        drawn(WAITING, columns=20, terminal=False, numbered=False)
        == """\
🎬 a red fox running through snow  @kim
  720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623
  2nd in queue · starts in about 1 min, ready about 14:32
  [Cancel]
"""
    )


def test_a_narrow_terminal_wraps_words_but_never_a_path():
    lines = drawn(CLIP, columns=24).splitlines()
    assert "▶ data/threads/studio/7Q2FK9XDAB/7Q2FK9XDAB.mp4" in lines
    assert all(cell_len(line) <= 24 for line in lines if not line.startswith("▶"))


def test_a_button_is_never_on_two_lines():
    keys = [replace(WAITING.buttons[0], label=f"Animate {number}") for number in range(1, 5)]
    lines = drawn(replace(WAITING, buttons=tuple(keys)), columns=32).splitlines()
    assert [line.count("[") for line in lines[-2:]] == [2, 2]
    assert all(line.count("[") == line.count("]") for line in lines)


def test_colours_come_only_where_they_are_wanted(monkeypatch):
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="standard").print(
        CardView(WAITING, zone=UTC)
    )
    assert "\x1b[33m" in file.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="standard").print(
        CardView(WAITING, zone=UTC)
    )
    assert "\x1b[33m" not in file.getvalue()


def test_what_people_type_cannot_steer_the_terminal():
    card = Card(kind=CardKind.INFO, title="a\x1b[2Jb", lines=(("[bold]c[/bold]\x07",),))
    assert drawn(card) == "▌ a[2Jb\n▌ [bold]c[/bold]\n"


def test_the_toolbar_shows_the_running_job_first_and_counts_the_rest():
    rows = toolbar([RUNNING, WAITING, WAITING, WAITING], zone=UTC, columns=100, rows=2)
    assert rows.splitlines() == [
        f" {FOX}  ▓▓▓▓▓▓▓▓▓░░░░░░  step 18 of 30 · about 14 s left",
        f" {FOX}  2nd in queue · starts in about 1 min, ready about 14:32  (+2)",
    ]


@pytest.mark.parametrize("columns", [1, 20, 46, 60, 80, 200])
def test_the_toolbar_never_wraps(columns):
    rows = toolbar([RUNNING, WAITING, WAITING], zone=UTC, columns=columns, rows=2)
    assert all(cell_len(row) <= columns for row in rows.splitlines())


def test_a_narrow_toolbar_keeps_the_numbers():
    assert toolbar([RUNNING], zone=UTC, columns=40, rows=1) == " step 18 of 30 · about 14 s left"
