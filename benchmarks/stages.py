"""Records the times of workers' progress reports in real renders, for tests of estimates.

    python -m benchmarks.stages tests/unit/jobs/recorded_renders.json

Each session starts a new worker and loads the model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference.domain.render import Progress
from inference.domain.spec import Aspect, Resolution, Spec
from inference.domain.watermark import WatermarkSettings
from inference.workers.local_slot import LocalSlot
from inference.workers.slot import RenderTask

STEPS = {"nano": 14, "testcard": 10}

CLIP: dict[str, Any] = {"frames": 49}
SESSIONS: dict[str, tuple[str, int, Sequence[dict[str, Any]]]] = {
    # name -> model, number of busy processes in the background, consecutive renders
    "one size": ("nano", 0, [CLIP] * 5),
    "other sizes": (
        "nano",
        0,
        [CLIP, CLIP, {"frames": 1}, {"frames": 1}, {"frames": 1}, {"frames": 1}]
        + [{"frames": 97}] * 3
        + [{"frames": 65, "aspect": "1:1"}, {"frames": 49, "steps": 30}]
        + [{"frames": 49, "loops": 2}] * 2,
    ),
    "other load": ("nano", 2, [CLIP] * 4),
    "test card": (
        "testcard",
        0,
        [{"frames": 97, "resolution": "720p"}] * 3 + [{"frames": 49}] * 3,
    ),
}


def _spin() -> None:
    while True:
        pass


def spec(model: str, options: dict[str, Any]) -> Spec:
    """Return the spec of a session's render."""
    return Spec(
        prompt="a red ball moving to the right in the snow",
        model=model,
        resolution=Resolution(options.get("resolution", "360p")),
        aspect=Aspect(options.get("aspect", "16:9")),
        frames=options["frames"],
        refine=False,
        seed=1,
        steps=options.get("steps", STEPS[model]),
        cfg=4,
        loops=options.get("loops", 1),
        options={"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
    )


async def record(
    model: str, load: int, renders: Sequence[dict[str, Any]], folder: Path
) -> list[dict[str, Any]]:
    """Record a session: each render's options, the times of its reports, and of its end.

    Args:
        model: Name of the model.
        load: Number of busy processes in the background.
        renders: Options of each render.
        folder: Folder for files.
    """
    spinning = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(load)]
    for process in spinning:
        process.start()
    recorded = []
    try:
        async with LocalSlot("cpu", device="cpu", models={model: {}}) as slot:
            for number, options in enumerate(renders):
                started = time.monotonic()
                reports: list[list[Any]] = []

                def note(
                    progress: Progress,
                    reports: list[list[Any]] = reports,
                    started: float = started,
                ) -> None:
                    at = round(time.monotonic() - started, 3)
                    reports.append([at, progress.stage.value, progress.done, progress.total])

                task = RenderTask(
                    job_id=f"{number:010}",
                    attempt=1,
                    spec=spec(model, options),
                    directory=folder / str(number),
                    image=None,
                    watermark=WatermarkSettings(),
                    recipe={},
                )
                manifest = await slot.render(task, note)
                took = round(time.monotonic() - started, 3)
                timings = {name: round(value, 3) for name, value in manifest.timings.items()}
                recorded.append(
                    {"asked": options, "reports": reports, "took": took, "timings": timings}
                )
                print(model, options, took, timings, flush=True)
    finally:
        for process in spinning:
            process.kill()
            process.join()
    return recorded


def main() -> None:
    """Record all sessions into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    found = {}
    for name, (model, load, renders) in SESSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            renders_made = asyncio.run(record(model, load, renders, Path(folder)))
        found[name] = {"model": model, "renders": renders_made}
        file.write_text(json.dumps(found, separators=(",", ":")).replace('{"asked"', '\n{"asked"'))


if __name__ == "__main__":
    main()
