"""Memory and time of Open-Sora v1.3 on GPUs, by a dry run without one (`tests/opensora/dry_run`).

    python -m benchmarks.opensora.memory        all tables for RESULTS.md, with the Triton kernels
                                                and as on a GPU where Triton does not work
    --tables peaks      peak memory beside the plan, by mode and GPU
             speeds     the same for `balanced` and `fast`
             savings    the same for the savings that no GPU of the list needs
             roofline   seconds by kind of work, if each operation took what one H100 needs for it
                        at best
             derive     coefficients for `inference/engines/memory_plan.py`
    --kernels with | without                    one half of it

Devices, types, shapes and the order of operations are those of a real run; workspaces of kernels
and fragmentation are unknown. CUDA graphs are planned for but not recorded. Each case takes three
to fifteen seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from unittest import mock

from inference.domain.spec import Resolution
from inference.engines import memory_plan
from inference.engines.memory_plan import Saving
from inference.opensora.controls import Speed
from tests.opensora.dry_run.engine import FULL, Case, DryEngine, Report, case

GPU_GIGABYTES = (85, 48, 24)
"""Memory of GPUs in GB, as advertised; programs get slightly less or more."""

ENDLESS = 10**12
"""Memory of a GPU on which everything fits."""

STEPS = 1
"""Steps of a case for its memory; further steps take no more."""

CHUNKS = 2
"""Chunks decoded of a case for its memory; further chunks take as much as the second."""

FORWARDS = 50
"""Evaluations in thirty steps: from the tenth, every other step has no guidance."""

PROMPT = "a red fox running through snow in the morning light, seen from the side"

KINDS = ("matrices", "attention", "convolutions", "memory", "copies")
"""Kinds of work."""

STAGES = ("text", "sample", "decode")
"""Stages, with the engine's names."""

MODES: dict[str, dict[str, object]] = {
    "text": {},
    "text, negative prompt": {"negative": "dull and grey"},
    "image": {"frames": 1},
    "from an image": {"image": True},
    "between two images": {"image": True, "last": True},
    "extended": {"latents": "x", "after_frames": 49},
    "two passes": {"loops": 2},
}


SPREAD = ("text", "between two images")
"""Modes of the tables of speeds and savings: the fewest and the most branches and references."""

SPEEDS = {Speed.BALANCED: 3, Speed.FAST: STEPS}
"""Speeds beside `exact`, with the steps of a case. The third step is evaluated beside two
velocities of each branch. `fast` keeps them too, but a step of it takes a minute here: its peak is
without them."""

Row = Sequence[str]


def main() -> None:
    """Run the dry run from the command line, and print tables for RESULTS.md row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES)[:-1])
    parser.add_argument("--kernels", choices=("with", "without"))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    options = parser.parse_args()
    for kernels in ("with", "without"):
        if options.kernels in {None, kernels}:
            dry = DryEngine(FULL, with_kernels=kernels == "with")
            for name in options.tables:
                print(f"\n{name}, {kernels} kernels\n")
                dry.ledger.memory_bytes = ENDLESS
                _print(TABLES[name](dry, options.modes))


def _print(rows: Iterator[Row]) -> None:
    for number, row in enumerate(rows):
        print("|", " | ".join(row), "|", flush=True)
        if not number:
            print("|", " | ".join("---" for _ in row), "|")


def peaks(dry: DryEngine, modes: Sequence[str]) -> Iterator[Row]:
    """Run every mode on every GPU; yields peak and planned memory in GB."""
    yield _HEAD
    yield from _on_gpus(dry, _cases(modes))


def speeds(dry: DryEngine, modes: Sequence[str]) -> Iterator[Row]:
    """Run the speeds that change the result on every GPU; yields what `peaks` does."""
    yield _HEAD
    for speed, steps in SPEEDS.items():
        found = _cases(_spread(modes), steps=steps, speed=speed)
        yield from _on_gpus(dry, ((f"{name}, {speed}", wanted) for name, wanted in found))


def savings(dry: DryEngine, modes: Sequence[str]) -> Iterator[Row]:
    """Run every saving; yields peak and planned memory in GB."""
    yield ("peak / plan, GB", *(_title(saving) for saving in Saving))
    for name, wanted in _cases(_spread(modes)):
        yield (name, *(_cell(dry.render(wanted, one, chunks=CHUNKS), "") for one in Saving))


_HEAD = ("peak / plan, GB", *(f"{gigabytes} GB" for gigabytes in GPU_GIGABYTES))


def _on_gpus(dry: DryEngine, cases: Iterable[tuple[str, Case]]) -> Iterator[Row]:
    for name, wanted in cases:
        found: dict[Saving | None, str] = {None: "does not fit"}
        planned = []
        for gigabytes in GPU_GIGABYTES:
            dry.ledger.memory_bytes = gigabytes * 10**9
            planned.append(memory_plan.plan(dry.footprint, wanted.shape, dry.ledger.memory_bytes))
            if (saving := planned[-1]) is not None and saving not in found:
                found[saving] = _cell(dry.render(wanted, chunks=CHUNKS), _title(saving))
        yield (name, *(found[saving] for saving in planned))


def _title(saving: Saving) -> str:
    return saving.name.lower().replace("_", " ")


def _spread(modes: Sequence[str]) -> Sequence[str]:
    return [mode for mode in modes if mode in SPREAD]


def _cell(report: Report, saving: str) -> str:
    exceeded = any(size > report.planned[stage] for stage, (size, _) in report.peaks.items())
    wrong = "EXCEEDED" if exceeded or report.savings else ""
    numbers = f"{report.peak / 1e9:.1f} / {report.plan / 1e9:.1f}"
    return " ".join(filter(None, (numbers, saving, wrong)))


def coefficients(dry: DryEngine, modes: Sequence[str]) -> Iterator[Row]:
    """Run every mode with every saving; yields the coefficients that predict its peaks exactly."""
    fused = "_FUSED" if dry.footprint.fused else ""
    names = ("_ENCODING", "_EVALUATION", f"_DECODING{fused}", f"_DECODING_SLICED{fused}")
    yield ("", *names)
    largest = dict.fromkeys(names, 0.0)
    for label, wanted in _cases(modes):
        for saving in (Saving.RESIDENT, Saving.SEQUENTIAL, Saving.ALONE):
            decoding = names[3] if saving is Saving.ALONE else names[2]
            report = dry.render(wanted, saving, chunks=CHUNKS)
            needed = {
                name: _needed(name, stage, dry, wanted, report)
                for name, stage in zip((*names[:2], decoding), STAGES, strict=True)
            }
            largest |= {name: max(largest[name], value) for name, value in needed.items()}
            cells = (f"{needed[name]:.4g}" if name in needed else "" for name in names)
            yield (f"{label}, {saving.name.lower()}", *cells)
    yield ("largest", *(f"{largest[name]:.4g}" for name in names))
    yield ("in use", *(f"{getattr(memory_plan, name):.4g}" for name in names))


def _needed(name: str, stage: str, dry: DryEngine, wanted: Case, report: Report) -> float:
    """Return the value of a coefficient that predicts a stage exactly."""

    def predicted(value: float) -> int:
        with mock.patch.object(memory_plan, name, value):
            return memory_plan.stage_bytes(dry.footprint, wanted.shape, report.saving)[stage]

    return (report.peaks[stage][0] - predicted(0)) / (predicted(1) - predicted(0))


def roofline(dry: DryEngine, _modes: Sequence[str]) -> Iterator[Row]:
    """Yield the seconds of a job by kind of work, its steps scaled from two to thirty."""
    yield ("seconds", *KINDS, "sum")
    for label, wanted in _timed():
        report = dry.render(wanted)
        for stage, factor in (("sample", FORWARDS / report.forwards), ("decode", 1)):
            seconds = [factor * report.seconds[stage, kind] for kind in KINDS]
            yield (f"{label}, {stage}", *(f"{value:.2f}" for value in (*seconds, sum(seconds))))


def _timed() -> Iterator[tuple[str, Case]]:
    for resolution, frames in ((Resolution.P720, 97), (Resolution.P360, 97), (Resolution.P360, 1)):
        wanted = case(resolution=resolution, frames=frames, steps=2, prompt=PROMPT)
        yield f"{resolution.value} x {frames}", wanted


def _cases(modes: Sequence[str], **changes: object) -> Iterator[tuple[str, Case]]:
    for resolution in (Resolution.P720, Resolution.P360):
        for name in modes:
            given = {"resolution": resolution, "frames": 97, "steps": STEPS} | changes
            yield f"{resolution.value} {name}", case(**given | MODES[name])


TABLES = {
    "peaks": peaks,
    "speeds": speeds,
    "savings": savings,
    "roofline": roofline,
    "derive": coefficients,
}


if __name__ == "__main__":
    main()
