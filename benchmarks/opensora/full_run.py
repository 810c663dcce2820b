"""Full benchmark of a GPU within a time budget, the most important measurements first.

Rows are printed, and saved as JSON, as they finish. Measurements that do not fit the remaining time
are skipped and named; one that takes longer than expected is stopped when the time is over.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.opensora import micro
from benchmarks.opensora.ablation import as_the_original, every_branch, short_cuts
from benchmarks.opensora.job import Case, Measured, Model, measure, on_gpu, operations, uses_triton
from inference.opensora.graphs import CudaRecorder, GraphCache
from inference.opensora.networks import fp8
from inference.opensora.step_plan import branch_counts, find_skipped_steps

FEW_STEPS = 4
"""Steps in runs of the original's work, which are scaled up to all steps, and in ablations."""

_SMALL_GPU = 24_000_000_000
"""Memory limit in bytes for the row of a small GPU."""
_MARGIN = 1.2
"""Safety factor on the calculated time when deciding whether a part fits."""
_NEEDED_FOR_FILE = ("av", "pydantic", "structlog", "ftfy", "bs4")


class OutOfTimeError(Exception):
    """The time budget is used up."""


@dataclass(slots=True)
class Run:
    """State of a run: the results so far, and the remaining time."""

    ends: float
    console: Console
    kept: Path | None
    rates: dict[str, float]
    """FLOP/s by case; the entry with an empty name is the estimate for other cases."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Remaining seconds."""
        return self.ends - time.monotonic()

    def check(self) -> None:
        """Check the remaining time.

        Raises:
            OutOfTimeError: The time budget is used up.
        """
        if self.left <= 0:
            raise OutOfTimeError

    def expected(self, how: Model, case: Case) -> float:
        """Return the expected seconds of a job."""
        return _operations(how, case) / self.rates.get(case.name, self.rates[""])

    def add(self, name: str, **values: Any) -> None:
        """Print and save a row."""
        row = {"row": name, **values}
        self.rows.append(row)
        shown = " · ".join(f"{key} {_shown(value)}" for key, value in values.items())
        self.console.print(f"{name}: {shown}", highlight=False, soft_wrap=True)
        if self.kept is not None:
            with self.kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def leave_out(self, name: str, why: str) -> None:
        """Record that a row is skipped, and why."""
        self.left_out.append(name)
        self.console.print(f"{name}: left out, {why}", highlight=False, soft_wrap=True)

    def seconds(self, name: str) -> float | None:
        """Return the seconds of a row, or None if it was not measured."""
        return next((row["seconds"] for row in self.rows if row["row"] == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One row to measure."""

    name: str
    needs: Callable[[], float]
    """Returns the expected seconds."""
    measure: Callable[[], dict[str, Any]]


def run_all(
    model: Model,
    cases: list[Case],
    *,
    budget: float,
    peak: float,
    console: Console,
    kept: Path | None = None,
) -> Run:
    """Measure rows until the time budget is used up.

    Args:
        model: Model with all optimisations.
        cases: Cases, the most important first.
        budget: Time budget in seconds.
        peak: FLOP/s of a large matrix product.
        console: Console for rows.
        kept: File for rows as JSON, one per line.
    """
    run = Run(time.monotonic() + budget, console, kept, rates={"": peak / 4})
    if kept is not None:
        kept.unlink(missing_ok=True)
    run.add("machine", **machine(model, peak))
    for number, part in enumerate(_parts(run, model, cases)):
        expected = _MARGIN * part.needs()
        if number and expected > run.left:  # the first always runs: estimates need it
            left = max(0.0, run.left)
            run.leave_out(part.name, f"it takes about {expected:.0f} s and {left:.0f} s are left")
            continue
        try:
            run.add(part.name, **part.measure())
        except OutOfTimeError:
            run.leave_out(part.name, "the time was over")
        except (RuntimeError, ArithmeticError, ImportError) as error:
            words = str(error).strip().splitlines() or [""]
            run.leave_out(part.name, f"it failed: {type(error).__name__}: {words[0][:200]}")
            if on_gpu(model):
                torch.cuda.empty_cache()
    console.print(ratios(run, cases))
    return run


def _parts(run: Run, model: Model, cases: list[Case]) -> Iterator[Part]:
    """Yield the rows to measure, the most important first."""
    headline = cases[0]

    def job(name: str, case: Case, how: Model, **more: Any) -> Part:
        return Part(
            name=name,
            needs=lambda: run.expected(how, case) + run.expected(replace(how, steps=1), case),
            measure=lambda: {**_measured(run, how, case), **more},
        )

    yield job(headline.name, headline, model)
    yield _original(run, model, headline)
    yield job(f"{headline.name}, balanced", headline, replace(model, skips=True))
    if fp8.is_supported(model.transformer.device):
        yield _fast(run, model, headline)
    for case in cases[1:]:
        yield job(case.name, case, model)
        yield job(f"{case.name}, balanced", case, replace(model, skips=True))
        if on_gpu(model):
            graphs = GraphCache(CudaRecorder())
            yield job(f"{case.name}, CUDA graphs", case, replace(model, graphs=graphs))
    for case in cases[1:]:
        yield _original(run, model, case)
    yield from _ablations(run, model, headline)
    if on_gpu(model):
        yield _small_gpu(run, model, headline)
    for name, single in micro.parts(model.transformer.device, model.transformer.dtype):
        yield Part(name=name, needs=lambda: 1.0, measure=single)
    yield _file(run, model, headline)


def _measured(run: Run, how: Model, case: Case, *, decodes: bool = True) -> dict[str, Any]:
    """Measure a job after a short warm-up job."""
    measure(replace(how, steps=min(how.steps, 2)), case, check=run.check, decodes=decodes)
    found = measure(how, case, check=run.check, decodes=decodes)
    run.rates[case.name] = sum(found.operations.values()) / found.total
    run.rates[""] = max(run.rates.values())
    return _values(found)


def _values(found: Measured) -> dict[str, Any]:
    values: dict[str, Any] = {"seconds": found.total, **found.seconds, "forwards": found.forwards}
    if found.peak_bytes:
        values |= {"allocated": found.peak_bytes, "reserved": found.reserved_bytes}
    return values | {"flops": sum(found.operations.values()) / found.total}


def _original(run: Run, model: Model, case: Case) -> Part:
    """Return the row with the work of the original, in eager mode: a few steps, scaled up to all.

    The real original is slower, because this uses our implementation of the networks.
    """
    few = replace(model, steps=FEW_STEPS)
    branches = 3 if case.image else 2

    def run_it() -> dict[str, Any]:
        with as_the_original(few) as slow:
            measure(replace(slow, steps=1), case, check=run.check)
            found = measure(slow, case, check=run.check)
        forwards = branches * model.steps
        found.seconds["sample"] *= forwards / found.forwards
        found.forwards = forwards
        values = _values(found)
        return {key: value for key, value in values.items() if key != "flops"}

    return Part(
        name=f"{case.name}, the original's work",
        needs=lambda: 3 * run.expected(few, case),
        measure=run_it,
    )


def _fast(run: Run, model: Model, case: Case) -> Part:
    def run_it() -> dict[str, Any]:
        fp8.use_fp8(model.transformer, on=True)
        try:
            return _measured(run, replace(model, skips=True), case)
        finally:
            fp8.use_fp8(model.transformer, on=False)

    return Part(name=f"{case.name}, fast", needs=lambda: run.expected(model, case), measure=run_it)


def _ablations(run: Run, model: Model, case: Case) -> Iterator[Part]:
    """Yield a job of few steps with all optimisations, and without each of them."""
    few = replace(model, steps=FEW_STEPS)
    whole = f"{case.name}, {FEW_STEPS} steps"

    def needs() -> float:
        return 2 * run.expected(few, case)

    yield Part(name=whole, needs=needs, measure=lambda: _measured(run, few, case))
    preset = model.reference_preset if case.image else model.preset
    idle = len(set(branch_counts(preset, FEW_STEPS, references=case.image))) > 1
    for name, without in short_cuts(model).items():
        if without is every_branch and not idle:
            continue  # the table's forwards say what it saves at all steps

        def run_it(without: Any = without) -> dict[str, Any]:
            with without(few) as changed:
                values = _measured(run, changed, case)
            plain = run.seconds(whole)
            return values if plain is None else {**values, "times": values["seconds"] / plain}

        yield Part(name=f"{whole}, without {name}", needs=needs, measure=run_it)


def _small_gpu(run: Run, model: Model, case: Case) -> Part:
    """Return the job with the memory of a small GPU, with one network on it at a time."""
    turns = replace(model, steps=FEW_STEPS, sequential=True, turns=True)

    def run_it() -> dict[str, Any]:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, _SMALL_GPU / total))
        model.vae.work_in_slices(frames=1, rows=1024)
        try:
            return _values(measure(turns, case, check=run.check))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
            model.vae.work_in_slices(frames=None, rows=1024)

    return Part(
        name=f"{case.name}, {FEW_STEPS} steps in 24 GB",
        needs=lambda: 2 * run.expected(turns, case),
        measure=run_it,
    )


def _file(run: Run, model: Model, case: Case) -> Part:
    """Return the row for the path to the file; it must be last: it takes the networks over."""

    def run_it() -> dict[str, Any]:
        missing = [name for name in _NEEDED_FOR_FILE if find_spec(name) is None]
        if missing and shutil.which("ffmpeg") is not None:
            return x264(case)
        if missing:
            raise ImportError(f"not installed: {', '.join(missing)}")
        from benchmarks.opensora.file import from_request_to_file  # noqa: PLC0415 - see there

        return from_request_to_file(model, case)

    return Part(
        name=f"{case.name}, from the request to the file",
        needs=lambda: 1.5 * run.expected(model, case),
        measure=run_it,
    )


def _operations(how: Model, case: Case) -> float:
    """Return the FLOPs of a job."""
    preset = how.reference_preset if case.image else how.preset
    counts = branch_counts(preset, how.steps, references=case.image)
    left_out = find_skipped_steps(counts) if how.skips else frozenset[int]()
    forwards = sum(count for step, count in enumerate(counts) if step not in left_out)
    return sum(operations(how, case, forwards).values())


def x264(case: Case) -> dict[str, Any]:
    """Time x264 in ffmpeg on moving noise, which takes longer to encode than a clip."""
    height, width = case.size.height, case.size.width
    still = torch.randint(0, 255, (height, width, 3), dtype=torch.uint8)
    frames = b"".join(
        still.roll((at, 2 * at), (0, 1)).numpy().tobytes() for at in range(case.frames)
    )
    size = f"{width - width % 2}x{height - height % 2}"
    read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "24", "-i", "-"]
    made = ["-s", size, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "null", "-"]
    command = [str(shutil.which("ffmpeg")), "-v", "error", *read, *made]
    begun = time.perf_counter()
    subprocess.run(command, input=frames, check=True, timeout=120)  # noqa: S603 - a fixed command
    return {"seconds": time.perf_counter() - begun, "only": "x264"}


def machine(model: Model, peak: float) -> dict[str, Any]:
    """Return the properties of the machine that results depend on, as far as known."""
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "dtype": str(model.transformer.dtype),
        "threads": torch.get_num_threads(),
        "matmul": peak,
        "blocks": "eager",
        "fused work": "triton" if uses_triton(model) else "torch",
    }
    if not on_gpu(model):
        return found
    gpu = torch.cuda.get_device_properties(0)
    heads = model.transformer.config.num_heads
    width = model.transformer.config.head_channels
    query = torch.empty(
        2, heads, 3600, width, device=model.transformer.device, dtype=model.transformer.dtype
    )
    return {
        **found,
        "card": gpu.name,
        "memory": gpu.total_memory,
        "capability": f"{gpu.major}.{gpu.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "attention": micro.backend(query),
        "fp8": fp8.is_supported(model.transformer.device),
        "clocks and power": _smi(),
    }


def _smi() -> str:
    """Return the driver's version, clocks and power from nvidia-smi; empty without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    asked = (
        "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu"
    )
    command = [tool, f"--query-gpu={asked}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - a fixed command
    return done.stdout.strip()


def ratios(run: Run, cases: list[Case]) -> Table:
    """Return a table with the speed of all jobs relative to the original's work in this run."""
    table = Table(title="Against the original's work in this run", title_justify="left")
    for column in (
        "",
        "s",
        "text",
        "sample",
        "decode",
        "forwards",
        "reserved GB",
        "original / this",
    ):
        table.add_column(column, justify="right" if column else "left")
    for case in cases:
        original = run.seconds(f"{case.name}, the original's work")
        for row in run.rows:
            if row["row"].partition(",")[0] != case.name or "sample" not in row:
                continue
            comparable = original is not None and f"{FEW_STEPS} steps" not in row["row"]
            table.add_row(
                row["row"],
                *(f"{row.get(key, 0):.2f}" for key in ("seconds", "text", "sample", "decode")),
                str(row["forwards"]),
                f"{row['reserved'] / 1e9:.1f}" if "reserved" in row else "-",
                f"{original / row['seconds']:.2f} x" if comparable and original else "-",
            )
    if run.left_out:
        table.caption = "Left out: " + "; ".join(run.left_out)
        table.caption_justify = "left"
    return table


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
