import asyncio
import os

import pytest

from inference.domain.render import Manifest
from inference.workers.base import find_lie
from tests.process.worker_samples import Steps, executor, task

pytestmark = pytest.mark.process


class Lag:
    """The longest time that the event loop did not come round."""

    def __init__(self):
        self.worst_seconds = 0.0

    async def __aenter__(self):
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _measure(self):
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            self.worst_seconds = max(self.worst_seconds, loop.time() - before - 0.005)


async def test_the_loop_stays_free_while_a_worker_starts_and_renders(tmp_path):
    async with Lag() as lag, executor(step_seconds=0.001) as worker:
        for number in range(2):
            await worker.render(task(tmp_path, job_id=f"job{number}", steps=200), Steps())

    assert lag.worst_seconds < 0.1


async def test_the_loop_stays_free_while_a_large_file_is_hashed(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(os.urandom(2**20) * 300)
    size = path.stat().st_size
    manifest = Manifest(name="clip.mp4", size=size, sha256="0", width=2, height=2, frames=1)

    async with Lag() as lag:
        assert await asyncio.to_thread(find_lie, manifest, tmp_path) == "sha256"

    assert lag.worst_seconds < 0.1
