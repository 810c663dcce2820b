"""An operator's day: readiness, watchdog, and what a shell says of them."""

from __future__ import annotations

import socket
import threading
import time
from queue import SimpleQueue

import pytest

from tests.scenario.terminal_process import SECONDS, Shell, stop

pytestmark = pytest.mark.process


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    return shell


def test_systemd_hears_of_readiness_the_watchdog_and_the_stop(shell, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SECONDS)
        process = shell.start(
            "run",
            environment={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"},
        )
        # As systemd does: the socket is read all the time, for it holds ten messages.
        heard = threading.Thread(target=hear, args=(manager, said := SimpleQueue()), daemon=True)
        heard.start()
        while b"READY=1" not in (message := said.get(timeout=SECONDS)):
            assert message == b"WATCHDOG=1"
        assert message == b"READY=1\nSTATUS=connected: terminal"
        assert shell.rushes("health").out == "Ready: terminal.\n"
        process.terminate()
        assert process.wait(timeout=SECONDS) == 0
        process.communicate()
        heard.join(timeout=SECONDS)
        assert not heard.is_alive()


def hear(manager: socket.socket, said: SimpleQueue[bytes]) -> None:
    """Pass on what is said to the manager, until it is told of the stop."""
    message = b""
    while b"STOPPING=1" not in message:
        message = manager.recv(1000)
        said.put(message)


def test_health_fails_when_nothing_runs(shell):
    ended = shell.rushes("health")
    assert ended.code == 1
    assert "not running" in ended.err


def test_completion_knows_verbs_and_options(shell):
    script = shell.rushes("completion", "bash").out
    for word in ("submit", "--data-dir", "manifest"):
        assert word in script
    # The flags of prompts, and what they may be, follow from what is installed.
    assert "--camera" in script
    assert "16:9" in script
    assert shell.rushes("completion", "zsh").out.startswith("#compdef rushes")
    assert "complete -c rushes" in shell.rushes("completion", "fish").out


def wait_for_backup(folder, process) -> None:
    """Wait for the backup of the day."""
    while not list((folder / "data" / "backups").glob("*.sqlite3")):
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_a_backup_brings_jobs_and_history_into_an_empty_folder(shell, tmp_path):
    process = shell.serve()
    job = shell.rushes("submit", "a red fox", "--frames", "49").out.strip()
    shell.settled(job)
    wait_for_backup(tmp_path, process)
    saved = shell.rushes("db", "backup")
    assert saved.code == 0, saved
    stop(process)
    backups = sorted((tmp_path / "data" / "backups").iterdir())
    assert len(backups) == 2  # the one of the day, and the one that was asked for

    restored = shell.rushes("db", "restore", str(backups[-1]), "--data-dir", "again")
    assert restored.code == 0, restored
    assert (tmp_path / "again" / "rushes.sqlite3").exists()
    assert "intact" in shell.rushes("db", "check", "--data-dir", "again").out
    process = shell.serve(data="again")
    shown = shell.rushes("show", job, "--data-dir", "again").out
    assert "a red fox" in shown
    refused = shell.rushes("db", "restore", str(backups[-1]), "--data-dir", "again")
    assert refused.code == 1
    assert "again" in refused.err
    stop(process)
    kept = shell.rushes("db", "restore", str(backups[-1]), "--data-dir", "again")
    assert "rushes.sqlite3.replaced-" in kept.out


@pytest.mark.slow
def test_what_is_accepted_after_a_backup_outlives_a_kill(shell, tmp_path):
    """The backup of the day is made by the process that owns the database."""
    process = shell.serve()
    wait_for_backup(tmp_path, process)
    for verb in ("check", "backup"):  # each comes, reads and goes
        assert shell.rushes("db", verb).code == 0
    job = shell.rushes("submit", "a red fox", "--frames", "49").out.strip()
    saved = shell.rushes("db", "backup", "after.sqlite3")
    assert saved.code == 0, saved
    process.kill()
    process.communicate()
    process = shell.serve()
    assert "a red fox" in shell.settled(job)
    stop(process)
    assert shell.rushes("db", "restore", "after.sqlite3", "--data-dir", "again").code == 0
    assert "1 job," in shell.rushes("db", "check", "--data-dir", "again").out
