"""`rushes run` in one terminal, the other verbs in others, over the socket in the data folder."""

from __future__ import annotations

import signal
import stat
import subprocess
from pathlib import Path

import pytest

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
    assert recipe.startswith("a red fox\n")
    assert "camera: pan left" in recipe
    assert "Cancelled." in shell.rushes("show", second).out
    assert not list((tmp_path / "data" / "threads" / "local" / second).glob("*.mp4"))
    assert stop(serving).code == 0


def test_nobody_acts_on_the_jobs_of_others(shell, serving):
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


def test_the_socket_of_a_killed_process_is_in_nobodys_way(shell, serving, tmp_path):
    serving.kill()
    serving.wait()
    assert (tmp_path / "data" / "rushes.sock").exists()
    assert "not running" in shell.rushes("queue").err
    again = shell.serve()
    assert stop(again).code == 0


def test_a_folder_too_deep_for_a_socket_address_works_too(shell, tmp_path):
    deep = Path("d" * 60) / ("e" * 60)
    (tmp_path / deep).mkdir(parents=True)
    ended = shell.rushes("chat", "--data-dir", str(tmp_path / deep), script="/rushes queue\n")
    assert ended.code == 0, ended


def test_a_script_may_talk_line_by_line(shell, serving):
    with shell.start("chat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/rushes queue\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith("> /rushes queue\n")
        assert process.stdout.readline().startswith("The queue is empty")
        process.stdin.close()
        assert process.wait(60) == 0


def test_an_interrupt_ends_a_chat_without_a_trace(shell):
    with shell.start("chat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/rushes queue\n")
        process.stdin.flush()
        while process.stdout.readline().strip():
            pass  # up to the blank line below the answer
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)  # with its input still open: the end of that would end it too
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "")


def test_a_chat_whose_other_side_ends_says_so(shell, serving):
    with shell.start("chat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/rushes queue\n")
        process.stdin.flush()
        assert process.stdout.readline()
        stop(serving)
        _, err = process.communicate("/rushes queue\n", timeout=60)
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert "data" in err


def test_a_render_needs_no_running_process_and_leaves_only_the_file(shell, tmp_path):
    ended = shell.rushes("render", "a red ball", *SMALL, "-o", "ball.mp4")
    assert (ended.code, ended.out, ended.err) == (0, "ball.mp4\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.mp4", "config.toml"]
