"""The benchmark for a GPU runs on a CPU too, so that it works when there is a GPU."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from rich.console import Console  # noqa: E402

from benchmarks.opensora import full_run  # noqa: E402
from benchmarks.opensora.job import Case, build_nano, matmul_peak  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402

pytestmark = pytest.mark.model

SIZE = PixelSize(32, 48)
ROOT = Path(__file__).parents[2]
CASES = [
    Case(name="clip", size=SIZE, frames=17),
    Case(name="picture", size=SIZE, frames=1),
    Case(name="clip from an image", size=SIZE, frames=17, image=True),
]


def run(tmp_path, *, budget, steps=9, cases=CASES):
    said = io.StringIO()
    found = full_run.run_all(
        replace(build_nano(), steps=steps),
        cases,
        budget=budget,
        peak=matmul_peak(torch.device("cpu"), torch.float32),
        console=Console(file=said, width=400),
        kept=tmp_path / "rows.jsonl",
    )
    return found, said.getvalue()


@pytest.mark.slow
def test_everything_is_measured_kept_and_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(full_run, "FEW_STEPS", 2)

    found, said = run(tmp_path, budget=3600)

    assert found.left_out == [], said
    kept = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert kept == found.rows
    rows = {row["row"]: row for row in kept}
    assert list(rows)[:4] == ["machine", "clip", "clip, the original's work", "clip, balanced"]
    assert rows["clip"]["forwards"] == 18
    assert rows["clip, balanced"]["forwards"] == 14
    assert rows["clip from an image, the original's work"]["forwards"] == 27
    assert rows["clip, from the request to the file"]["file bytes"] > 0
    assert all(row["seconds"] > 0 for row in kept[1:])
    assert "clip, 2 steps, without windows without masks" in rows
    # in so few steps no branch is idle: the row would compare a job with itself
    assert not [name for name in rows if "guidance is 1" in name]
    table = said[said.index("Against the original") :]
    for name in ("clip", "picture, balanced", "clip from an image"):
        line = next(line for line in table.splitlines() if f" {name} " in line)
        assert line.rstrip(" \u2502").endswith(" x"), line


def test_what_does_not_fit_into_the_time_is_named(tmp_path):
    found, said = run(tmp_path, budget=0)

    assert [row["row"] for row in found.rows] == ["machine"]
    assert "clip: left out, the time was over" in said
    assert "clip, balanced: left out, it takes about" in said
    assert len(found.left_out) == said.count(": left out, ")
    assert set(found.left_out) >= {"picture", "clip, from the request to the file"}


BARE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"av", "ftfy", "bs4", "diffusers", "structlog", "pydantic"}:
            raise ImportError(f"no module named {name}")

sys.meta_path.insert(0, Missing())
from benchmarks.opensora.__main__ import main
main(["--all", "--budget", "0"])
"""


@pytest.mark.slow
@pytest.mark.process
def test_it_starts_from_the_command_line_without_the_rest_of_the_product():
    done = subprocess.run(
        [sys.executable, "-c", BARE], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "nano model" in done.stdout
