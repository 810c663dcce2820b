"""What every slot must do, so that the dispatcher may believe each of them, and tests the fake."""

from __future__ import annotations

import asyncio

import pytest

from inference.domain.errors import Cancelled, EngineError, WorkerLost
from inference.domain.render import Stage
from inference.workers.pool import Pool
from inference.workers.slot import verify_manifest
from tests.fakes.executor import FakeSlot
from tests.fakes.in_process_slot import InProcessSlot
from tests.process.worker_samples import Steps, executor, task

pytestmark = pytest.mark.deep

LONG = 10_000
"""Steps of a render that ends only when it is stopped."""

FAULTS = {
    "": [],
    "error:1": [EngineError("testcard.failed")],
    "transient:1": [EngineError("testcard.failed", transient=True)],
    "crash:1": [WorkerLost("worker.died")],
}


class Played(FakeSlot):
    """The fake, with a test that plays like a worker."""

    def __init__(self, fail):
        super().__init__()
        self.script += FAULTS[fail]

    async def render(self, task, on_progress):
        self.automatic = task.spec.steps < LONG
        rendering = asyncio.ensure_future(super().render(task, on_progress))
        await asyncio.sleep(0)
        if self.rendering:
            self.report(1, task.spec.steps)
        return await rendering


MAKERS = [
    pytest.param(Played, id="fake"),
    pytest.param(lambda fail: InProcessSlot(fail=fail), id="thread"),
    pytest.param(lambda fail: executor(fail=fail), id="child", marks=pytest.mark.process),
]


@pytest.fixture(params=MAKERS)
def make(request):
    return lambda fail="": request.param(fail)


async def begun(slot, job, steps):
    """Begin a render that goes on until it is stopped."""
    rendering = asyncio.create_task(slot.render(job, steps))
    await steps.reached(Stage.RENDERING, done=1)
    return rendering


async def test_a_slot_says_what_it_is_once_it_is_ready(make):
    async with make() as slot:
        await slot.ready()
        assert slot.name
        assert slot.device.memory_bytes > 0
        assert not slot.away
        assert slot.warm_model is None
        slot.check_gpu("testcard")


async def test_a_render_leaves_the_file_that_its_manifest_describes_and_a_warm_model(
    make, tmp_path
):
    async with make() as slot:
        for attempt in (1, 2):
            job = task(tmp_path, attempt=attempt)
            manifest = await slot.render(job, Steps())
            assert verify_manifest(manifest, job.directory) is None
            assert slot.warm_model == "testcard"


async def test_progress_is_reported_while_it_renders(make, tmp_path):
    async with make() as slot:
        steps = Steps()
        rendering = await begun(slot, task(tmp_path, steps=LONG), steps)
        assert steps[-1].total == LONG
        await slot.cancel("7Q2FK9XD")
        with pytest.raises(Cancelled):
            await rendering


async def test_a_cancel_stops_its_job_and_no_other(make, tmp_path):
    async with make() as slot:
        steps = Steps()
        rendering = await begun(slot, task(tmp_path, steps=LONG), steps)
        await slot.cancel("ANOTHER")
        if not isinstance(slot, FakeSlot):  # it makes no steps, and cancels at once
            await steps.reached(steps[-1].stage, done=steps[-1].done + 3)
        assert not rendering.done()
        await slot.cancel("7Q2FK9XD")
        with pytest.raises(Cancelled):
            await rendering
        await slot.cancel("7Q2FK9XD")
        await slot.render(task(tmp_path, attempt=2), Steps())


async def test_whoever_gives_up_waiting_frees_the_slot(make, tmp_path):
    async with make() as slot:
        rendering = await begun(slot, task(tmp_path, steps=LONG), Steps())
        rendering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rendering
        await slot.render(task(tmp_path, "NEXT"), Steps())


@pytest.mark.cases(4)
@pytest.mark.parametrize(("fail", "transient"), [("error:1", False), ("transient:1", True)])
async def test_an_engine_that_fails_is_told_and_the_slot_goes_on(make, tmp_path, fail, transient):
    async with make(fail) as slot:
        with pytest.raises(EngineError) as caught:
            await slot.render(task(tmp_path), Steps())
        assert (caught.value.code, caught.value.transient) == ("testcard.failed", transient)
        await slot.render(task(tmp_path, attempt=2), Steps())


async def test_a_lost_worker_is_told_and_replaced(make, tmp_path):
    slot = make("crash:1")
    if isinstance(slot, InProcessSlot):
        pytest.skip("a thread cannot be lost")
    async with slot:
        with pytest.raises(WorkerLost):
            await slot.render(task(tmp_path), Steps())
        await slot.render(task(tmp_path, attempt=2), Steps())


async def test_a_slot_that_is_closed_ends_its_render(make, tmp_path):
    async with make() as slot:
        rendering = await begun(slot, task(tmp_path, steps=LONG), Steps())
    with pytest.raises(WorkerLost, match=r"worker\.closed"):
        await rendering


async def test_a_pool_starts_and_ends_all_its_slots(make):
    async with Pool([make(), make()]) as pool:
        for slot in pool.slots:
            await slot.ready()
        assert not pool.away
        assert len(pool.kinds) == 1
