"""Benchmark of the diffusers engine's overhead over a bare pipeline, in paired runs.

    python -m benchmarks.diffusers

Random weights, on the CPU. Each pair renders the same clip with the pipeline alone and with the
engine, in alternating order. The overhead is the median difference in percent of the bare time; its
limit is 3 %. The bare pipeline takes about 20 s on one idle core (8 s of sampling, the rest
decoding), and all 12 renders take four minutes. On a busy machine, CPU seconds are more accurate
than wall time, but only roughly.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from inference.diffusers_pipelines.call import ClipRequest, build_call
from inference.diffusers_pipelines.pipeline import Settings, VideoModel
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from tests.diffusers import tiny_models

LEAST_SECONDS = 10
"""Shortest time of the bare pipeline for a meaningful overhead."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="wan-5b", choices=list(tiny_models.BUILDERS))
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        folder = inspect_folder(tiny_models.saved(chosen.family, Path(directory) / "model"))
        model = VideoModel(folder, torch.device("cpu"), Settings())
        model.load(lambda *_: None)
        request = ClipRequest(
            prompt="a red ball",
            width=chosen.side,
            height=chosen.side,
            frames=chosen.frames,
            fps=24,
            steps=chosen.steps,
            guidance=4.0,
            seed=7,
        )
        pipeline = model.pipeline_for(request)
        pipeline.set_progress_bar_config(disable=True)

        def bare() -> None:
            video = pipeline(**build_call(pipeline, folder.family, request)).frames[0]
            (video.permute(0, 2, 3, 1) * 255).round().byte().numpy()

        def engine() -> None:
            model.memory.clear()  # so that both encode the prompt
            for _ in model.render(request):
                pass

        bare()  # warm up
        engine()
        bare_seconds: list[float] = []
        shares: list[float] = []
        cpu_shares: list[float] = []
        for number in range(chosen.pairs):
            order = (bare, engine) if number % 2 == 0 else (engine, bare)
            seconds, cpu = {}, {}
            for way in order:
                started, busy = time.perf_counter(), time.process_time()
                way()
                seconds[way] = time.perf_counter() - started
                cpu[way] = time.process_time() - busy
            bare_seconds.append(seconds[bare])
            shares.append(100 * (seconds[engine] / seconds[bare] - 1))
            cpu_shares.append(100 * (cpu[engine] / cpu[bare] - 1))
            print(
                f"bare {seconds[bare]:.2f} s, engine {seconds[engine]:.2f} s, {shares[-1]:+.1f} %"
                f" (CPU {cpu[bare]:.2f} s, {cpu[engine]:.2f} s, {cpu_shares[-1]:+.1f} %)",
                flush=True,
            )
    print(
        f"{chosen.family}, {chosen.side}x{chosen.side}, {chosen.frames} frames,"
        f" {chosen.steps} steps: bare {median(bare_seconds):.1f} s,"
        f" overhead {median(shares):+.1f} %, in CPU seconds {median(cpu_shares):+.1f} %"
        f" (medians of {chosen.pairs} pairs)"
    )
    if median(bare_seconds) < LEAST_SECONDS:
        print(f"The bare pipeline takes less than {LEAST_SECONDS} s: choose a larger clip.")


if __name__ == "__main__":
    main()
