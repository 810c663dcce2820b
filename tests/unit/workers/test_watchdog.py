import pytest

from inference.domain.errors import WorkerLost
from inference.domain.render import Manifest, Progress, Stage
from inference.workers.protocol import Done, Heartbeat, ProgressMessage, Stopped
from inference.workers.watchdog import Watchdog, WorkerLimits

LIMITS = WorkerLimits(heartbeat_limit_seconds=10, step_limit_seconds=60, load_limit_seconds=600)
BEAT = Heartbeat(warm_model=None)
DONE = Done(
    job_id="a",
    manifest=Manifest(name="clip.mp4", size=1, sha256="0", width=2, height=2, frames=1),
)


def progress(stage):
    return ProgressMessage(job_id="a", progress=Progress(stage=stage, done=1, total=2))


def listen(watchdog, seconds):
    """Let time pass with a heartbeat in every second of it."""
    for _ in range(seconds):
        watchdog.heard(BEAT)
        watchdog.add_seconds(1)


@pytest.fixture
def watchdog():
    return Watchdog(LIMITS)


def test_silence_beyond_the_limit_is_a_hang(watchdog):
    watchdog.add_seconds(10)

    with pytest.raises(WorkerLost, match=r"worker\.hung"):
        watchdog.add_seconds(0.1)


def test_an_idle_worker_may_beat_for_ever(watchdog):
    listen(watchdog, 10_000)


@pytest.mark.parametrize(
    ("stage", "limit"), [(Stage.LOADING, 600), (Stage.RENDERING, 60), (Stage.FINISHING, 60)]
)
def test_each_stage_has_its_limit_without_progress(watchdog, stage, limit):
    watchdog.start()
    watchdog.heard(progress(stage))
    listen(watchdog, limit)

    with pytest.raises(WorkerLost, match=r"worker\.hung"):
        listen(watchdog, 1)


def test_a_job_that_never_reports_anything_counts_as_loading(watchdog):
    watchdog.start()
    listen(watchdog, 600)

    with pytest.raises(WorkerLost, match=r"worker\.hung"):
        listen(watchdog, 1)


def test_progress_starts_the_count_again(watchdog):
    watchdog.start()
    for _ in range(5):
        watchdog.heard(progress(Stage.RENDERING))
        listen(watchdog, 59)


def test_time_idle_before_a_job_does_not_count_against_it(watchdog):
    listen(watchdog, 1000)
    watchdog.start()
    listen(watchdog, 600)


@pytest.mark.parametrize("end", [DONE, Stopped(job_id="a")])
def test_after_the_job_no_progress_is_expected(watchdog, end):
    watchdog.start()
    watchdog.heard(progress(Stage.RENDERING))
    watchdog.heard(end)
    listen(watchdog, 1000)
