import asyncio
import sys
import threading

import pytest

from inference.workers import local_slot
from inference.workers.slot import verify_manifest
from tests.process.worker_samples import Steps, executor, task

pytestmark = pytest.mark.process

TURNS = 20
"""A loop that waits for a worker or a file comes round a few times; a free one, all the time."""

CALLS = 50_000
"""Of functions, between two turns: far more than the messages of a render take, and far fewer than
an import or a loop over a file."""


class Lag:
    """What the event loop did: its turns, and the most that was called in one of them.

    Calls count, not time: a busy machine makes no difference.
    """

    def __init__(self):
        self.turns = 0
        self.worst_calls = 0
        self._calls = 0

    async def __aenter__(self):
        self._before = sys.getprofile()
        sys.setprofile(self._count)
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_):
        sys.setprofile(self._before)
        self._task.cancel()
        await asyncio.wait({self._task})

    def _count(self, frame, event, argument):
        self._calls += event in {"call", "c_call"}

    async def _measure(self):
        while True:
            before = self._calls
            await asyncio.sleep(0.001)
            self.turns += 1
            self.worst_calls = max(self.worst_calls, self._calls - before)


async def test_the_loop_stays_free_while_a_worker_starts_and_renders(tmp_path):
    async with executor(step_seconds=0.001) as worker:
        for number in range(2):
            async with Lag() as lag:
                await worker.render(task(tmp_path, job_id=f"job{number}", steps=200), Steps())
            assert lag.turns > TURNS
            assert 0 < lag.worst_calls < CALLS


async def test_the_loop_stays_free_while_a_finished_file_is_hashed(tmp_path, monkeypatch):
    loop = asyncio.get_running_loop()
    hashed = []

    def verify(manifest, directory):
        assert threading.current_thread() is not threading.main_thread()
        turn = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
        turn.result(180)  # the loop comes round before the file is read to its end
        hashed.append(manifest.name)
        return verify_manifest(manifest, directory)

    monkeypatch.setattr(local_slot, "verify_manifest", verify)
    async with executor() as worker:
        manifest = await worker.render(task(tmp_path), Steps())
    assert hashed == [manifest.name]
