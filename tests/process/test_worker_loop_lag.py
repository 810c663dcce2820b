import asyncio
import os
import time

import pytest

from inference.domain.render import Manifest
from inference.workers.slot import verify_manifest
from tests.process.worker_samples import Steps, executor, task

pytestmark = pytest.mark.process

TURNS = 20
"""A loop that waits for a worker or a file comes round a few times; a free one, all the time."""


class Lag:
    """What the event loop did: its turns, and the longest that one of them computed.

    Its thread's own time counts, not that of the clock: a busy machine makes no difference.
    """

    def __init__(self):
        self.turns = 0
        self.worst_seconds = 0.0

    async def __aenter__(self):
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _measure(self):
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.turns += 1
            self.worst_seconds = max(self.worst_seconds, time.thread_time() - before)


async def test_the_loop_stays_free_while_a_worker_starts_and_renders(tmp_path):
    async with executor(step_seconds=0.001) as worker:
        for number in range(2):
            async with Lag() as lag:
                await worker.render(task(tmp_path, job_id=f"job{number}", steps=200), Steps())
            assert lag.turns > TURNS
            assert lag.worst_seconds < 0.1


async def test_the_loop_stays_free_while_a_large_file_is_hashed(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(os.urandom(2**20) * 300)
    size = path.stat().st_size
    manifest = Manifest(name="clip.mp4", size=size, sha256="0", width=2, height=2, frames=1)

    async with Lag() as lag:
        assert await asyncio.to_thread(verify_manifest, manifest, tmp_path) == "sha256"

    assert lag.turns > TURNS
    assert lag.worst_seconds < 0.1
