import asyncio
import os
import signal
from dataclasses import replace

import psutil
import pytest
from structlog.testing import capture_logs

from inference.domain.errors import EngineError, WorkerLost
from inference.domain.render import Stage
from tests.process.worker_samples import LIMITS, Steps, executor, gone, task, until

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert psutil.Process().children(recursive=True) == []


async def test_a_worker_killed_while_rendering_is_replaced(tmp_path):
    steps = Steps()
    async with executor() as worker:
        render = asyncio.create_task(worker.render(task(tmp_path, steps=10_000), steps))
        await steps.reached(Stage.RENDERING, done=1)
        pid = worker.pid
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(180):
            with pytest.raises(WorkerLost) as caught:
                await render
        assert caught.value.code == "worker.died"
        assert caught.value.params == {"exit": -signal.SIGKILL}
        assert worker.warm_model is None

        await worker.render(task(tmp_path, attempt=2), Steps())
        assert worker.pid != pid
        assert gone(pid)


@pytest.mark.slow
async def test_a_worker_killed_while_idle_is_replaced_before_the_next_job(tmp_path):
    async with executor() as worker:
        await worker.render(task(tmp_path), Steps())
        pid = worker.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: worker.pid != pid)
        await worker.render(task(tmp_path, attempt=2), Steps())
        assert worker.pid != pid


@pytest.mark.slow
async def test_a_stopped_worker_is_noticed_by_its_heartbeat(tmp_path):
    steps = Steps()
    async with executor(replace(LIMITS, heartbeat_limit_seconds=15)) as worker:
        render = asyncio.create_task(worker.render(task(tmp_path, steps=10_000), steps))
        await steps.reached(Stage.RENDERING, done=1)
        pid = worker.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match=r"worker\.hung"):
            await render
        assert gone(pid)
        await worker.render(task(tmp_path, attempt=2), Steps())


@pytest.mark.cases(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_for_the_whole_group_are_left_to_the_parent(tmp_path, number):
    steps = Steps()
    async with executor() as worker:
        render = asyncio.create_task(worker.render(task(tmp_path, steps=20), steps))
        await steps.reached(Stage.RENDERING, done=1)
        os.kill(worker.pid, number)
        await render


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("fail", "code", "params"),
    [
        ("crash:1", "worker.died", {"exit": -signal.SIGABRT}),
        ("segfault:1", "worker.died", {"exit": -signal.SIGSEGV}),
        ("exit:1", "worker.died", {"exit": 3}),
        pytest.param("hang:1", "worker.hung", {"idle_seconds": 10}, marks=pytest.mark.slow),
        pytest.param("silent:1", "worker.silent", {"silent_seconds": 20}, marks=pytest.mark.slow),
        ("lie:1", "worker.bad_manifest", {"reason": "sha256"}),
        ("truncate:1", "worker.bad_manifest", {"reason": "size"}),
        ("missing:1", "worker.bad_manifest", {"reason": "file"}),
    ],
)
async def test_each_way_to_lose_the_worker_is_told_and_survived(tmp_path, fail, code, params):
    limits = {"hang:1": {"step_limit_seconds": 10}, "silent:1": {"hello_seconds": 20}}
    async with executor(replace(LIMITS, **limits.get(fail, {})), fail=fail) as worker:
        with pytest.raises(WorkerLost) as caught:
            await worker.render(task(tmp_path), Steps())
        assert (caught.value.code, caught.value.params) == (code, params)

        await worker.render(task(tmp_path, attempt=2), Steps())


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("fail", "code", "transient"),
    [
        ("error:1", "testcard.failed", False),
        ("transient:1", "testcard.failed", True),
        ("oom:1", "worker.out_of_memory", True),
        ("bug:1", "worker.bug", False),
    ],
)
async def test_each_failure_of_the_engine_is_told_and_the_worker_lives_on(
    tmp_path, fail, code, transient, capfd
):
    async with executor(fail=fail) as worker:
        with pytest.raises(EngineError) as caught:
            await worker.render(task(tmp_path), Steps())
        assert (caught.value.code, caught.value.transient) == (code, transient)
        assert caught.value.params.get("job") == ("7Q2FK9XD" if code == "worker.bug" else None)
        pid = worker.pid

        await worker.render(task(tmp_path, attempt=2), Steps())
        assert worker.pid == pid
        assert not any((tmp_path / "7Q2FK9XD" / "1").iterdir())
    log = capfd.readouterr().err
    assert ("render.bug" in log and "RuntimeError" in log) is (fail == "bug:1")
    assert "red fox" not in log


async def test_a_worker_that_dies_at_once_is_not_restarted_in_a_spin(tmp_path):
    limits = replace(LIMITS, restart_min_seconds=0.2, restart_max_seconds=60)
    # A fault nobody knows ends the child before its hello.
    with capture_logs() as entries:

        def pauses():
            return [entry["next_seconds"] for entry in entries if entry["event"] == "worker.lost"]

        async with executor(limits, fail="explode") as worker:
            with pytest.raises(WorkerLost) as caught:
                await worker.render(task(tmp_path), Steps())
            await until(lambda: len(pauses()) >= 3)

    assert caught.value.code == "worker.silent"
    assert caught.value.params == {"exit": 1}
    assert pauses() == [0.2 * 2**index for index in range(len(pauses()))]


@pytest.mark.slow
async def test_a_bug_of_the_child_does_not_cost_the_jobs_behind_it(tmp_path):
    async with executor(fail="crash:1") as worker:
        first = asyncio.create_task(worker.render(task(tmp_path, job_id="a"), Steps()))
        second = asyncio.create_task(worker.render(task(tmp_path, job_id="b", attempt=2), Steps()))
        with pytest.raises(WorkerLost):
            await first
        await second
