"""A chat of a plugin, installed by pip and served: killed and started again, it loses nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fakes.installs import ROOT, install
from tests.fakes.ports import free_port
from tests.scenario.terminal_process import SECONDS, Shell, stop

pytestmark = [pytest.mark.process, pytest.mark.slow]

PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "rushes-lines"
version = "1.0"

[project.entry-points."rushes.platforms"]
lines = "rushes_lines:make"

[tool.setuptools]
py-modules = ["line_chat", "rushes_lines"]
"""

JOURNAL = '''
"""The chat of `examples/line_chat.py`, with a journal of what was posted anew."""

import os

from line_chat import NAME, LineChat


def make(config):
    port = int(os.environ["LINE_CHAT_PORT"])
    return Journal(config.bot.data_dir / NAME, port, config.bot.data_dir / "journal")


class Journal(LineChat):
    def __init__(self, directory, port, journal):
        super().__init__(directory, port)
        self.journal = journal

    async def post(self, message, remember):
        new = await self.find(message) is None
        receipt = await super().post(message, remember)
        if new:
            with self.journal.open("a") as file:
                print(message.job.id, message.kind.value, file=file)
        return receipt
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    source = folder / "rushes-lines"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "rushes_lines.py").write_text(JOURNAL)
    shutil.copy(ROOT / "examples" / "line_chat.py", source)
    return install(source, folder)


class Lines:
    """A Rushes that serves the chat, and one person in it."""

    def __init__(self, shell, site):
        self.shell = shell
        self.port = free_port()
        self.environment = {
            "PYTHONPATH": f"{site}:{ROOT}",
            "LINE_CHAT_PORT": str(self.port),
            "XDG_CACHE_HOME": str(shell.directory / "cache"),
        }

    @contextlib.contextmanager
    def served(self, **more: str) -> Iterator:
        """Serve until the end of the block, or until the process was killed."""
        process = self.shell.start("run", environment={**self.environment, **more})
        try:
            yield process
        finally:
            if process.poll() is None:
                stop(process)
            process.wait(SECONDS)
            for pipe in (process.stdout, process.stderr):
                pipe.close()

    def talk(self, process) -> socket.socket:
        """Connect as ada once the chat listens."""
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(OSError):
                talk = socket.create_connection(("127.0.0.1", self.port), SECONDS)
                talk.sendall(b"ada\n")
                return talk
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @property
    def data(self):
        return self.shell.directory / "data"

    def posted(self) -> Counter[str]:
        with contextlib.suppress(FileNotFoundError):
            return Counter((self.data / "journal").read_text().splitlines())
        return Counter()

    def wait_for_cards(self, count: int, process) -> None:
        """Wait until so many cards are in the journal."""
        deadline = time.monotonic() + SECONDS
        while sum(line.endswith(" card") for line in self.posted()) < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def clips(self) -> set[str]:
        return {file.stem for file in (self.data / "lines").glob("*.mp4")}


@pytest.fixture
def lines(tmp_path, site):
    shell = Shell(directory=tmp_path)
    (tmp_path / "config.toml").write_text(
        '[bot]\nplatforms = ["lines"]\n[models]\ninstalled = ["testcard"]\n'
        "[models.testcard]\nstep_seconds = 0.1\n"
    )
    return Lines(shell, site)


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "moment",
    [
        "after:claim",
        "before:post_card",
        "after:post_card",
        "before:post_clip",
        "after:post_clip",
        "rendering",
    ],
)
def test_a_chat_of_a_plugin_is_killed_and_starts_again_with_nothing_lost_or_doubled(lines, moment):
    fault = {} if moment == "rendering" else {"RUSHES_FAULT": moment}
    with lines.served(**fault) as process, lines.talk(process) as talk:
        for prompt in ("a red fox", "a blue door"):
            with contextlib.suppress(OSError):  # it was killed already
                talk.sendall(f"/generate {prompt} --frames 49\n".encode())
        if moment == "rendering":
            # Not when the room hears of them: a little later it is written down, which counts here.
            lines.wait_for_cards(2, process)
            process.send_signal(signal.SIGKILL)
        assert process.wait(SECONDS) == -signal.SIGKILL
    with lines.served() as process, lines.talk(process) as talk:
        deadline = time.monotonic() + SECONDS
        while True:
            posted = lines.posted()
            accepted = {line.split()[0] for line in posted if line.endswith(" card")}
            finished = {line.split()[0] for line in posted if line.endswith(" clip")}
            talk.sendall(b"/rushes queue\n")
            if accepted and finished == accepted:
                break
            assert time.monotonic() < deadline, (posted, process.poll())
            time.sleep(0.2)
        assert lines.clips() == finished
    posted = lines.posted()
    assert set(posted.values()) == {1}, posted
    if moment == "rendering":
        assert len(finished) == 2
