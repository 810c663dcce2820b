"""Workers whose device fails, gets lost or makes numbers that are no picture."""

import asyncio
import os
import signal
from dataclasses import replace

import psutil
import pytest

from inference.domain.errors import EngineError, WorkerLost
from inference.domain.render import LATENTS_NAME
from inference.workers.local_slot import LocalSlot
from tests.process.worker_samples import LIMITS, Steps, executor, task, until

pytestmark = pytest.mark.process

TORCH = """
import os
from types import SimpleNamespace

class cuda:
    is_available = staticmethod(lambda: os.path.exists({gpu!r}))
    get_device_properties = staticmethod(
        lambda _: SimpleNamespace(name="NVIDIA Stub", total_memory=24 << 30)
    )
    reset_peak_memory_stats = staticmethod(lambda: None)
    max_memory_allocated = staticmethod(lambda: 1 << 30)

with open({gpu!r} + ".memory", "a") as noted:
    print(os.environ.get("PYTORCH_ALLOC_CONF"), file=noted)
"""

STUB = """
from inference.engines.built_in import TESTCARD
from inference.engines.registry import ModelEntry

ENTRY = ModelEntry(
    capabilities=TESTCARD.with_name("stub").capabilities, factory=TESTCARD.factory
)
"""


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert psutil.Process().children(recursive=True) == []


class Problems(dict):
    """What an executor reports, by key."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __call__(self, key, problem):
        self.pop(key, None)
        if problem is not None:
            self[key] = problem
            self.seen.append(key)


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A file that is there while the stub of torch sees a GPU."""
    path = tmp_path / "seen-gpu"
    path.touch()
    code = tmp_path / "code"
    metadata = code / "stub-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stub\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rushes.models]\nstub = stub_model:ENTRY\n")
    (code / "stub_model.py").write_text(STUB)
    (code / "torch.py").write_text(TORCH.format(gpu=str(path)))
    monkeypatch.setenv("PYTHONPATH", str(code))
    monkeypatch.syspath_prepend(str(code))
    return path


async def killed(worker):
    """Kill the worker and wait for the next one."""
    await until(lambda: worker.pid)
    pid = worker.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: worker.pid not in {None, pid})


def with_stub(tmp_path, problems=None):
    return LocalSlot(
        models={"testcard": {"step_seconds": 0.01}, "stub": {}},
        limits=LIMITS,
        gpu_file=tmp_path / "gpu",
        report=Problems() if problems is None else problems,
    )


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("fail", "code"),
    [
        ("sticky:1", "worker.device_failed"),
        ("nan:1", "worker.not_finite"),
        ("lost_gpu:1", "gpu.missing"),
    ],
)
async def test_a_device_that_fails_is_told_and_its_worker_replaced(tmp_path, fail, code):
    async with executor(fail=fail) as worker:
        await until(lambda: worker.pid)
        pid = worker.pid
        job = task(tmp_path, steps=2)
        behind = asyncio.create_task(worker.render(task(tmp_path, "behind", attempt=2), Steps()))
        with pytest.raises(EngineError) as caught:
            await worker.render(replace(job, job_id="first"), Steps())
        assert (caught.value.code, caught.value.transient) == (code, True)

        await behind
        await worker.render(replace(job, attempt=2), Steps())
        assert worker.pid != pid
    assert not list(tmp_path.rglob("first*/" + LATENTS_NAME))


@pytest.mark.slow
async def test_a_job_behind_a_broken_device_is_not_given_to_the_broken_worker(tmp_path):
    async with executor(fail="sticky:1") as worker:
        first = asyncio.create_task(worker.render(task(tmp_path, job_id="a"), Steps()))
        second = asyncio.create_task(worker.render(task(tmp_path, job_id="b", attempt=2), Steps()))
        with pytest.raises(EngineError):
            await first
        assert (await second).frames == 49


@pytest.mark.slow
async def test_memory_that_a_library_cannot_get_is_out_of_memory_and_the_worker_lives(tmp_path):
    async with executor(fail="alloc:1") as worker:
        with pytest.raises(EngineError) as caught:
            await worker.render(task(tmp_path), Steps())
        assert caught.value.code == "worker.out_of_memory"
        pid = worker.pid
        await worker.render(task(tmp_path, attempt=2), Steps())
        assert worker.pid == pid


async def test_a_preview_that_cannot_be_drawn_fails_no_render(tmp_path):
    steps = Steps()
    async with executor(fail="preview") as worker:
        manifest = await worker.render(task(tmp_path, steps=5), steps)
    assert manifest.frames == 49
    assert {step.previews for step in steps} == {0}


async def test_a_worker_that_does_not_start_is_reported_until_one_does(tmp_path):
    problems = Problems()
    made = LocalSlot(
        models={"testcard": {"step_seconds": 0.01, "fail": "no_hello:2"}},
        limits=LIMITS,
        report=problems,
    )
    async with made as worker:
        with pytest.raises(WorkerLost, match=r"worker\.silent"):
            await worker.render(task(tmp_path), Steps())
        assert worker.away
        assert problems["worker.start"].code == "worker.silent"

        await worker.ready()

        assert not worker.away
        assert problems == {}
        await worker.render(task(tmp_path), Steps())


async def test_a_worker_that_does_not_start_is_no_reason_to_wait_at_the_end(tmp_path):
    async with executor(fail="no_hello") as worker:
        await until(lambda: worker.away)
        waiting = asyncio.create_task(worker.ready())
    await waiting


@pytest.mark.slow
async def test_a_model_that_had_a_gpu_is_not_rendered_without_it(tmp_path, gpu):
    problems = Problems()
    async with with_stub(tmp_path, problems) as worker:
        await worker.render(task(tmp_path, model="stub"), Steps())
        assert worker.device.name == "NVIDIA Stub"
        gpu.unlink()
        await killed(worker)

        for attempt in (2, 3):
            with pytest.raises(EngineError) as caught:
                await worker.render(task(tmp_path, model="stub", attempt=attempt), Steps())
            assert (caught.value.code, caught.value.transient) == ("gpu.lost", True)
            assert caught.value.params == {"name": "NVIDIA Stub"}
        assert problems["worker.gpu"].code == "gpu.lost"
        await worker.render(task(tmp_path, "drawn"), Steps())  # it never needed one

        gpu.touch()
        await killed(worker)
        await until(lambda: "worker.gpu" not in problems)
        await worker.render(task(tmp_path, model="stub", attempt=4), Steps())


@pytest.mark.slow
async def test_a_gpu_that_is_gone_after_a_restart_is_missed_too(tmp_path, gpu):
    async with with_stub(tmp_path) as worker:
        await worker.render(task(tmp_path, model="stub"), Steps())
    gpu.unlink()

    async with with_stub(tmp_path) as worker:
        with pytest.raises(EngineError, match=r"gpu\.lost"):
            await worker.render(task(tmp_path, model="stub", attempt=2), Steps())
        await until(lambda: worker.device)
        with pytest.raises(EngineError, match=r"gpu\.lost"):
            worker.check_gpu("stub")


@pytest.mark.slow
async def test_a_machine_that_never_had_a_gpu_serves_everything(tmp_path, gpu):
    gpu.unlink()
    async with with_stub(tmp_path) as worker:
        await worker.render(task(tmp_path, model="stub"), Steps())


@pytest.mark.slow
async def test_torch_is_told_how_to_divide_memory_before_a_worker_imports_it(
    tmp_path, gpu, monkeypatch
):
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    noted = tmp_path / "seen-gpu.memory"
    async with with_stub(tmp_path) as worker:
        await until(lambda: worker.pid and noted.exists() and noted.read_text())
    assert set(noted.read_text().splitlines()) == {"expandable_segments:True"}


async def test_beside_a_gpu_the_cpu_renders_no_model_that_needs_one(tmp_path, gpu):
    problems = Problems()
    models = {"testcard": {"step_seconds": 0.01}, "stub": {}}
    async with LocalSlot(
        "cpu", device="cpu", gpu="cuda:0", models=models, limits=LIMITS, report=problems
    ) as worker:
        await worker.render(task(tmp_path), Steps())
        assert worker.device.name == "cpu"  # though torch sees the GPU
        with pytest.raises(EngineError, match=r"gpu\.lost.*cuda:0"):
            await worker.render(task(tmp_path, model="stub", attempt=2), Steps())
        assert problems == {}


async def test_a_worker_of_a_named_gpu_that_sees_none_says_so(tmp_path, gpu):
    gpu.unlink()
    problems = Problems()
    models = {"testcard": {"step_seconds": 0.01}, "stub": {}}
    async with LocalSlot(
        "cuda:3", device="cuda:3", models=models, limits=LIMITS, report=problems
    ) as worker:
        await until(lambda: "worker.gpu" in problems)
        assert problems["worker.gpu"].params == {"name": "cuda:3"}
        with pytest.raises(EngineError, match=r"gpu\.lost"):
            await worker.render(task(tmp_path, model="stub"), Steps())
