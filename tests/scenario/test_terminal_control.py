"""`rushes run` in one terminal, the other verbs in others, over the socket in the data folder."""

from __future__ import annotations

import signal
import stat
import subprocess
from pathlib import Path

import pytest

from inference.media.provenance import read_recipe
from tests.fakes.readable import readable
from tests.scenario.terminal_process import Shell, stop

pytestmark = pytest.mark.process


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config(step_seconds=0.1)
    return shell


@pytest.fixture
def serving(shell):
    process = shell.serve()
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def administer(shell, what):
    done = shell.rushes("chat", "--as", "boss", "--admin", script=f"/rushes-admin {what}\n")
    assert done.code == 0, done


SMALL = ("--res", "360p", "--frames", "49")


def test_a_job_is_submitted_watched_and_shown_over_the_socket(shell, serving, tmp_path):
    administer(shell, "pause")  # or a fast machine is done before anybody cancels
    submitted = shell.rushes("submit", "a red fox", *SMALL, "--camera", "pan left", "--as", "kim")
    assert submitted.code == 0, submitted
    job = submitted.out.strip()
    assert len(job) == 10
    assert submitted.err.strip()
    second = shell.rushes("submit", "a blue ball", *SMALL, "--as", "kim").out.strip()
    queue = readable(shell.rushes("queue").out)
    assert "a blue ball · kim" in queue
    cancelled = shell.rushes("cancel", second, "--as", "kim")
    assert (cancelled.code, second in cancelled.out) == (0, True), cancelled
    administer(shell, "resume")
    shown = shell.settled(job)
    [path] = [line[2:] for line in shown.splitlines() if line.startswith("▶ ")]
    recipe = readable(shell.rushes("show", path).out)
    marked, prompt, *_ = recipe.splitlines()
    assert marked.startswith("Marked as made by AI")
    assert prompt == "a red fox"
    assert "camera: pan left" in recipe
    assert "Cancelled." in shell.rushes("show", second).out
    assert not list((tmp_path / "data" / "threads" / "local" / second).glob("*.mp4"))
    assert stop(serving).code == 0


@pytest.mark.slow
def test_a_submit_that_comes_to_nothing_fails(shell, serving, tmp_path):
    missing = shell.rushes("submit", "a ball", *SMALL, "--image", "nothing.png")
    assert (missing.code, missing.out) == (1, ""), missing
    assert missing.err.startswith("rushes: There is no image at")
    (tmp_path / "words.png").write_text("no picture")
    unreadable = shell.rushes("submit", "a ball", *SMALL, "--image", "words.png", "--wait")
    assert unreadable.code == 1, unreadable
    assert "▶" not in unreadable.out


@pytest.mark.slow
def test_a_submit_may_wait_for_its_clip(shell, serving, tmp_path):
    made = shell.rushes("submit", "a ball", "--res", "360p", "--frames", "1", "--wait")
    assert made.code == 0, made
    job, *_ = made.out.splitlines()
    [path] = [line[2:] for line in made.out.splitlines() if line.startswith("▶ ")]
    assert job in path
    assert (tmp_path / path).is_file()


@pytest.mark.slow
def test_a_submit_of_several_names_each_and_waits_for_all(shell, serving, tmp_path):
    made = shell.rushes("submit", "a ball", *SMALL[:2], "--frames", "1", "--count", "2", "--wait")
    assert made.code == 0, made
    paths = [tmp_path / line[2:] for line in made.out.splitlines() if line.startswith("▶ ")]
    assert len(set(paths)) == 2
    assert all(path.is_file() for path in paths)
    jobs = [line for line in made.out.splitlines() if len(line) == 10 and line.isalnum()]
    assert {path.stem for path in paths} == set(jobs)


@pytest.mark.slow
def test_a_submit_whose_job_fails_fails(shell):
    shell.write_config(more='fail = "error"\n')
    serving = shell.serve()
    try:
        failed = shell.rushes("submit", "a ball", "--res", "360p", "--frames", "1", "--wait")
    finally:
        stop(serving)
    assert failed.code == 1, failed
    assert "rushes: " in failed.err
    assert "▶" not in failed.out


@pytest.mark.slow
def test_nobody_acts_on_the_jobs_of_others(shell, serving):
    administer(shell, "pause")  # or a fast machine is done before anybody cancels
    job = shell.rushes("submit", "a red fox", *SMALL, "--as", "kim").out.strip()
    stranger = shell.rushes("cancel", job, "--as", "bo")
    assert (stranger.code, "kim" in stranger.err) == (1, True), stranger
    unknown = shell.rushes("cancel", "7Q2FK9XDAB", "--guild", "films", "--admin").err
    foreign = shell.rushes("cancel", job, "--guild", "films", "--admin").err
    assert foreign == unknown.replace("7Q2FK9XDAB", job)
    assert shell.rushes("show", job, "--guild", "films").code == 1
    assert shell.rushes("cancel", job, "--as", "bo", "--admin").code == 0


def test_a_chat_attaches_to_the_running_process(shell, serving):
    ended = shell.rushes("chat", script="/generate a ball --res 360p --frames 1\n")
    assert (ended.code, "▶ data/threads/local/" in ended.out) == (0, True), ended
    assert serving.poll() is None


def test_a_second_process_on_the_same_data_says_who_has_it(shell, serving):
    second = shell.rushes("run")
    assert second.code == 1
    assert second.out == ""
    assert second.err.count("\n") == 1
    assert str(serving.pid) in second.err
    assert shell.rushes("queue").code == 0


def test_the_socket_is_for_its_owner_only_and_goes_with_the_process(shell, serving, tmp_path):
    socket = tmp_path / "data" / "rushes.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stop(serving).code == 0
    assert not socket.exists()


@pytest.mark.slow
def test_the_socket_of_a_killed_process_is_in_nobodys_way(shell, serving, tmp_path):
    serving.kill()
    serving.wait()
    assert (tmp_path / "data" / "rushes.sock").exists()
    assert "not running" in shell.rushes("queue").err
    again = shell.serve()
    assert stop(again).code == 0


@pytest.mark.slow
def test_a_folder_too_deep_for_a_socket_address_works_too(shell, tmp_path):
    deep = Path("d" * 60) / ("e" * 60)
    (tmp_path / deep).mkdir(parents=True)
    ended = shell.rushes("chat", "--data-dir", str(tmp_path / deep), script="/rushes queue\n")
    assert ended.code == 0, ended


@pytest.mark.slow
def test_a_script_may_talk_line_by_line(shell, serving):
    with shell.start("chat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/rushes queue\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith("> /rushes queue\n")
        assert process.stdout.readline().startswith("The queue is empty")
        process.stdin.close()
        assert process.wait(180) == 0


def test_an_interrupt_ends_a_chat_without_a_trace(shell):
    with shell.start("chat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/rushes queue\n")
        process.stdin.flush()
        while process.stdout.readline().strip():
            pass  # up to the blank line below the answer
        process.send_signal(signal.SIGINT)
        process.wait(timeout=180)  # with its input still open: the end of that would end it too
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "")


@pytest.mark.slow
def test_a_chat_whose_other_side_ends_goes_on_without_it(shell, serving):
    with shell.start("chat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/rushes queue\n")
        process.stdin.flush()
        assert process.stdout.readline()
        stop(serving)
        out, err = process.communicate("/rushes queue\n", timeout=180)
    assert (process.returncode, err) == (0, "")
    assert "queue" in out.casefold()


def test_a_render_needs_no_running_process_and_leaves_only_the_file(shell, tmp_path):
    ended = shell.rushes("render", "a red ball", *SMALL, "-o", "ball.mp4")
    assert (ended.code, ended.out, ended.err) == (0, "ball.mp4\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.mp4", "config.toml"]


@pytest.mark.slow
def test_a_render_of_several_numbers_its_files(shell, tmp_path):
    (tmp_path / "made").mkdir()
    common = (*SMALL[:2], "--seed", "7", "-o")
    made = shell.rushes("render", "a ball --count 2 --frames 1", *common, "made/ball.png")
    assert (made.code, made.out) == (0, "made/ball-1.png\nmade/ball-2.png\n")
    lines = "a star --count 2 --frames 1\n"
    made = shell.rushes("render", "--many", "-", *common, "made", script=lines)
    assert made.out == "made/001-a-star-1.png\nmade/001-a-star-2.png\n"
    files = sorted((tmp_path / "made").iterdir())
    assert [read_recipe(path)["seed"] for path in files] == [7, 8, 7, 8]


@pytest.mark.slow
def test_many_renders_share_one_worker_and_a_bad_line_stops_none(shell, tmp_path):
    (tmp_path / "made").mkdir()
    lines = "# a batch\na red ball\n\na star --frams 3\na still --frames 1\n 파란 공\n"
    ended = shell.rushes("render", "--many", "-", *SMALL, "-o", "made", script=lines)
    assert ended.code == 1, ended
    names = ["002-a-red-ball.mp4", "005-a-still.png", "006-파란-공.mp4"]
    assert ended.out.splitlines() == [f"made/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == names
    assert "line 4: " in ended.err
    assert "1 line failed" in ended.err
