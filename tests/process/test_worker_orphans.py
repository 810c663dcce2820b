import subprocess
import sys

import pytest

from tests.process.worker_samples import ROOT, gone, gone_within

pytestmark = pytest.mark.process

BOT = """
import asyncio
from pathlib import Path
from tests.process.worker_samples import LIMITS, task
from inference.domain.render import Stage
from inference.workers.local_slot import LocalSlot

async def main():
    def on_progress(progress):
        if progress.stage is Stage.RENDERING:
            print(worker.pid, flush=True)

    models = {{{model!r}: {options!r}}}
    async with LocalSlot(models=models, limits=LIMITS) as worker:
        work = task(Path({directory!r}), model={model!r}, steps=10_000)
        await worker.render(work, on_progress)

asyncio.run(main())
"""


@pytest.fixture
def bot(tmp_path):
    """Start a process that renders on a worker; yield it and the worker's pid."""
    running = []

    def start(model="testcard", **options):
        code = BOT.format(
            model=model,
            options=options,
            directory=str(tmp_path),
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    "options", [{"step_seconds": 0.01}, {"step_seconds": 60}, {"fail": "hang"}]
)
def test_the_worker_ends_with_a_killed_bot_also_inside_a_step(bot, options):
    process, pid = bot(**options)
    assert not gone(pid)

    process.kill()

    assert gone_within(pid, 180)


STUCK_MODEL = """
import ctypes
from inference.engines.built_in import TESTCARD
from inference.engines.registry import ModelEntry

class Stuck:
    def load(self, on_progress):
        pass

    def render(self, spec, inputs, monitor):
        monitor.on_step(1, 2, None)
        # PyDLL: unlike an ordinary foreign call it keeps all other threads out.
        ctypes.PyDLL(None).sleep(600)
        yield

ENTRY = ModelEntry(
    capabilities=TESTCARD.with_name("stuck").capabilities, factory=lambda options: Stuck()
)
"""


def test_the_worker_ends_with_the_bot_also_when_native_code_holds_the_interpreter(
    bot, tmp_path, monkeypatch
):
    metadata = tmp_path / "stuck-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stuck\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rushes.models]\nstuck = stuck:ENTRY\n")
    (tmp_path / "stuck.py").write_text(STUCK_MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process, pid = bot(model="stuck")

    process.kill()

    assert gone_within(pid, 180)
