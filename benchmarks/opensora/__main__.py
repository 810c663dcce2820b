"""Benchmark of Open-Sora v1.3 on this machine, with random weights of the real shapes.

    python -m benchmarks.opensora --all --budget 540   everything that fits into so many seconds
    python -m benchmarks.opensora             seconds, peak memory and TFLOP/s per size and stage
    python -m benchmarks.opensora --ablate    the gain of each optimisation, all in one run
    python -m benchmarks.opensora --small     a small model; without a GPU it is nano, or --small

Times are those of a warm engine: each case runs once before it is measured. Requires torch,
transformers and rich; PyAV and the rest of Rushes only to encode files.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.opensora.ablation import short_cuts
from benchmarks.opensora.full_run import run_all
from benchmarks.opensora.job import Case, Model, build, build_nano, matmul_peak, measure
from inference.opensora.geometry import PixelSize, official_size


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = _parser().parse_args(arguments)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    small = options.small or not cuda
    dtype = torch.bfloat16 if cuda else torch.float32
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    peak = matmul_peak(device, dtype)
    model, kind = _model(device, dtype, small=options.small, nano=options.all and not cuda)
    if options.steps:
        model = replace(model, steps=options.steps)
    console = Console(width=120)
    console.print(
        f"{name} · torch {torch.__version__} · {dtype} · {kind} model"
        f" · matmul {peak / 1e12:.3g} TFLOP/s"
    )
    if options.all:
        ordered = sorted(cases(small=small), key=_importance)
        run_all(
            model,
            ordered,
            budget=options.budget,
            peak=peak,
            console=console,
            kept=options.keep,
        )
    elif options.ablate:
        console.print(ablation(model, cases(small=small)[1]))
    else:
        console.print(overview(model, cases(small=small), peak))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="everything that fits into the budget")
    parser.add_argument("--budget", type=float, default=540, help="seconds for --all (540)")
    parser.add_argument("--keep", type=Path, help="file for the rows of --all, as JSON lines")
    parser.add_argument("--ablate", action="store_true", help="turn each short cut off in turn")
    parser.add_argument("--small", action="store_true", help="a small model")
    parser.add_argument("--steps", type=int, help="sampling steps (30; small: 12; nano: 14)")
    return parser


def _model(
    device: torch.device, dtype: torch.dtype, *, small: bool, nano: bool
) -> tuple[Model, str]:
    """Return the networks, and their name."""
    if nano and not small:
        try:
            return build_nano(), "nano"
        except ImportError:  # transformers is not installed
            small = True
    small = small or device.type == "cpu"
    made = build(device, dtype, small=small, steps=12 if small else 30)
    return made, "small" if small else "full-size"


def cases(*, small: bool) -> list[Case]:
    """Return the cases to measure: those of the target table, or small ones."""
    if small:
        size = PixelSize(64, 112)
        return [
            Case(name="small image", size=size, frames=1),
            Case(name="small x 49", size=size, frames=49),
            Case(name="small x 49 from an image", size=size, frames=49, image=True),
        ]
    middle, large = official_size("360p", "16:9"), official_size("720p", "16:9")
    return [
        Case(name="360p image", size=middle, frames=1),
        Case(name="360p x 49", size=middle, frames=49),
        Case(name="360p x 49 from an image", size=middle, frames=49, image=True),
        Case(name="360p x 97", size=middle, frames=97),
        Case(name="720p image", size=large, frames=1),
        Case(name="720p x 97", size=large, frames=97),
    ]


def _importance(case: Case) -> tuple[bool, bool, int]:
    """Sort key of cases: the largest clip, then images, then the others."""
    headline = case.name in {"720p x 97", "small x 49"}
    return not headline, case.frames > 1, case.frames


def overview(model: Model, measured: Sequence[Case], peak: float) -> Table:
    """Measure the cases, each after a warm-up, and return a table."""
    table = Table(title=f"A job of {model.steps} steps", title_justify="left")
    for column in ("", "s", "text", "sample", "decode", "forwards", "peak GB", "TFLOP/s", "share"):
        table.add_column(column, justify="right" if column else "left")
    for case in measured:
        measure(model, case)
        found = measure(model, case)
        rate = sum(found.operations.values()) / found.total
        table.add_row(
            case.name,
            f"{found.total:.2f}",
            *(f"{found.seconds[stage]:.2f}" for stage in ("text", "sample", "decode")),
            str(found.forwards),
            f"{found.peak_bytes / 1e9:.1f}" if found.peak_bytes else "-",
            f"{rate / 1e12:.3g}",
            f"{rate / peak:.0%}",
        )
    return table


def ablation(model: Model, case: Case) -> Table:
    """Measure a case without each optimisation, between runs with all of them."""
    table = Table(title=f"{case.name}, {model.steps} steps", title_justify="left")
    for column in ("without", "s", "with it", "gain", "peak GB"):
        table.add_column(column, justify="left" if column == "without" else "right")
    for name, without in short_cuts(model).items():
        measure(model, case)
        before = measure(model, case).total
        with without(model) as changed:
            measure(changed, case)
            found = measure(changed, case)
        measure(model, case)
        whole = (before + measure(model, case).total) / 2
        table.add_row(
            name,
            f"{found.total:.2f}",
            f"{whole:.2f}",
            f"{found.total / whole:.2f} x",
            f"{found.peak_bytes / 1e9:.1f}" if found.peak_bytes else "-",
        )
    return table


if __name__ == "__main__":
    main()
