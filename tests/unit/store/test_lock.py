from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from inference.domain.errors import StoreError
from inference.store.data_directory import own

HOLD = """
import sys, pathlib
from inference.domain.errors import StoreError
from inference.store.data_directory import own
try:
    with own(pathlib.Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except StoreError as error:
    print(error.code, error.params["pid"], flush=True)
"""


@pytest.fixture
def another_process(tmp_path):
    """Start a process that wants the same folder; its first line says how it went."""
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.communicate()


@pytest.mark.process
def test_a_second_process_is_told_who_holds_the_folder(tmp_path, another_process):
    with own(tmp_path):
        assert another_process()[1] == f"store.locked {os.getpid()}"

    assert another_process()[1] == "held"


@pytest.mark.process
def test_a_killed_process_leaves_no_lock_behind(tmp_path, another_process):
    holder, line = another_process()
    assert line == "held"
    with pytest.raises(StoreError) as error, own(tmp_path):
        pass
    assert (error.value.code, error.value.params["pid"]) == ("store.locked", str(holder.pid))

    holder.send_signal(signal.SIGKILL)
    holder.wait()

    with own(tmp_path):
        pass


def test_one_process_cannot_own_a_folder_twice(tmp_path):
    with own(tmp_path), pytest.raises(StoreError, match=r"store\.locked"), own(tmp_path):
        pass


def test_the_folder_is_made_and_its_lock_is_nobody_elses_to_read(tmp_path):
    folder = tmp_path / "deep" / "data"

    with own(folder):
        [lock] = folder.iterdir()
        assert lock.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match=r"store\.not_a_folder"), own(tmp_path / "file" / "data"):
        pass
