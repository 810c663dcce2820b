"""Two terminal chats on one data folder: when the one that serves leaves, the other goes on."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import time

import pytest

from tests.scenario.terminal_process import SECONDS, Shell

pytestmark = pytest.mark.process

ORDER = "/generate a red ball --res 360p --frames 49"


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config(step_seconds=0.3)
    return shell


@pytest.fixture
def first(shell):
    """A chat that serves the folder until its input ends."""
    process = shell.start("chat", stdin=subprocess.PIPE)
    wait_for(lambda: shell._listens("data"))
    yield process
    process.kill()
    process.communicate()


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def clips(shell):
    return list((shell.directory / "data" / "threads").glob("*/*/*.mp4"))


def leave(process):
    """Let a chat end; return what it said."""
    process.stdin.close()
    process.stdin = None
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    return out


@pytest.mark.slow
def test_a_script_whose_server_leaves_waits_for_its_job_all_the_same(shell, first):
    with shell.start("chat", "--as", "kim", stdin=subprocess.PIPE) as second:
        second.stdin.write(f"{ORDER}\n")
        second.stdin.flush()
        wait_for(lambda: list((shell.directory / "data" / "threads").glob("*/*/card.txt")))
        leave(first)
        second.stdin.write("/rushes queue\n")
        second.stdin.flush()
        out = leave(second)
    assert out.count("▶ data/") == len(clips(shell)) == 1


_INVISIBLE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\r| (?=\x1b\[0m\r?\n)")


class Screen:
    """What a chat shows on a terminal, and a keyboard for it."""

    def __init__(self, shell):
        self._shell = shell
        self._shown = b""

    def __enter__(self):
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        environment = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "30"}
        self.process = self._shell.start(
            "chat", "--as", "kim", stdin=slave, stdout=slave, environment=environment
        )
        os.close(slave)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        os.close(self._master)

    def type(self, line):
        os.write(self._master, line.encode() + b"\r")

    def until(self, condition):
        """Wait for it; what is shown is read meanwhile, or the chat would wait for us."""
        wait_for(lambda: self.shows("") and condition())

    def shows(self, words):
        with contextlib.suppress(OSError):  # nothing new, or it has ended
            self._shown += os.read(self._master, 65536)
        return words.encode() in _INVISIBLE.sub(b"", self._shown)


@pytest.mark.slow
def test_who_types_goes_on_with_what_was_typed_and_loses_no_job(shell, first):
    with Screen(shell) as second:
        wait_for(lambda: second.shows("kim@"))
        second.type(ORDER)
        second.until(lambda: list((shell.directory / "data" / "threads").glob("*/*/card.txt")))
        leave(first)
        second.until(
            lambda: second.shows("queue has ended. This chat\ntakes over; no job is lost.")
        )
        second.until(lambda: clips(shell))
        second.type("/quit")
        second.until(lambda: second.process.poll() is not None)
        assert second.process.returncode == 0
