"""What holds for every test: no network but loopback, and the same examples every time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pytest_socket import socket_allow_hosts

from bot.http.access.tokens import TABLES as HTTP_TABLES
from bot.slack.installations import TABLES as SLACK_TABLES
from commands.handlers.privacy import remove_copies
from commands.policy.stores import TABLES
from inference.store.sqlite import database
from inference.store.sqlite.connection import close, connect, prepare
from inference.store.sqlite.identity import make_private
from inference.store.sqlite.migrate import migrate, migrate_package
from tests.fakes.bench import Bench
from tests.fakes.clock import ManualClock
from tests.fakes.executor import FakeSlot

gc.disable()  # while modules are imported: next to nothing of them is garbage

# Test processes share the cores already: torch and the children compute on one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Libraries of tests load onnxruntime too, whose reports would be strangers in tests of proxies.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A shell that starts the tests in its background lets them ignore interrupts, and their children.
with contextlib.suppress(ValueError):  # not in the main thread
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

# Databases are in memory where there is room, because each of their commits waits for the disk.
MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a private folder in it
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

ALWAYS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],  # it measures the machine
}
settings.register_profile("quick", **ALWAYS, max_examples=20)
settings.register_profile("thorough", **ALWAYS, max_examples=100)  # `make test-all`
settings.load_profile("quick")

CASES = 2
"""Of a test of models or of real processes, where its mark `cases` says nothing else."""

DEAR = re.compile(r"^pytestmark = (?:\[[^\]]*|.*)\bmark\.(model|process|deep)\b", re.MULTILINE)
DIFFUSERS = Path(__file__).parent / "diffusers"
"""All model tests, which its conftest marks."""


def pytest_ignore_collect(collection_path, config):
    """Leave out modules without a chosen test: importing them takes longer than what is chosen."""
    if "not model" not in (chosen := config.option.markexpr):
        return None
    if collection_path == DIFFUSERS:
        return True
    if collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    left_out = (mark := DEAR.search(text)) and f"not {mark[1]}" in chosen
    return True if left_out and "mark.tour" not in text else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark attacks and the further cases of a test slow; in tests/process each is another fault."""
    for item in items:
        if "tests/attacks/" in item.nodeid:
            item.add_marker(pytest.mark.slow)
    families: defaultdict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: (_dear(item), item.nodeid)):  # they come shuffled
        if (count := _cases(item)) and item.get_closest_marker("slow") is None:
            families[item.nodeid.partition("[")[0], count].append(item)
    for (_, count), family in families.items():
        chosen = {index * len(family) // count for index in range(count)}  # from all over
        for index, item in enumerate(family):
            if index not in chosen:
                item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Leave the modules out of every later garbage collection: they are most of what there is."""
    gc.freeze()
    gc.set_threshold(10_000)  # a test makes more objects than the usual 700, and little garbage
    gc.enable()


def _cases(item: pytest.Item) -> int:
    """Return how many of a test's cases `make test` runs; 0 for all."""
    if (mark := item.get_closest_marker("cases")) is not None:
        return int(mark.args[0])
    return CASES if _dear(item) and "tests/process/" not in item.nodeid else 0


def _dear(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("model", "process"))


@pytest.fixture(scope="session", autouse=True)
def exports():
    """Remove what `my-data` wrote, as a server does when it stops."""
    yield
    remove_copies()


def pytest_runtest_setup():
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Hand the marks of attacks to the summary, also from another test process."""
    report = yield
    if (mark := item.get_closest_marker("attack")) is not None and call.when == "call":
        kind, what = mark.args
        report.user_properties.append(("attack", (kind, what)))
    return report


def pytest_terminal_summary(terminalreporter):
    """Print what was tried against the rules, and what came of it."""
    rows = sorted(
        (kind, what, outcome)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "attack"
        for kind, what in [value]
    )
    if not rows:
        return
    through = sum(outcome == "failed" for _, _, outcome in rows)
    terminalreporter.section(f"{len(rows)} attacks, {through} got through")
    for kind, what, outcome in rows:
        came = "GOT THROUGH" if outcome == "failed" else "refused"
        terminalreporter.write_line(f"{kind:<14} {came:<12} {what}")


@pytest.fixture(autouse=True)
def restored_logging():
    """Leave logging as it was: a command that ran in this process has set it up for itself."""
    root, how = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**how)


@pytest.fixture(scope="session", autouse=True)
def _without_proxies():
    """Reach loopback directly, whatever the machine's environment says of proxies."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield


@functools.cache
def new_database() -> bytes:
    """Return a database with all our tables and nothing in them."""

    async def make(path: Path) -> None:
        connection = await connect(path, make=True)
        await migrate(connection, path)
        for package in (TABLES, HTTP_TABLES, SLACK_TABLES):
            await migrate_package(connection, path, package)
        await connection.commit()
        await connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in one file
        await close(connection)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.sqlite3"
        asyncio.run(make(path))
        alone = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)  # without its log
        with contextlib.closing(alone):
            alone.execute("SELECT id FROM jobs")
        return path.read_bytes()


def prepare_migrated(path: Path) -> None:
    """Begin a new database as a copy of one that is migrated already, and known to be ours."""
    if path.exists() or not path.parent.is_dir():
        prepare(path)
    else:
        path.write_bytes(new_database())
        make_private(path)


@pytest.fixture(scope="session", autouse=True)
def _migrated_once():
    """Run the migrations once: for each database of each test they would be most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "prepare", prepare_migrated)
        yield


@pytest.fixture
def unmigrated(monkeypatch):
    """Let a new database go through all migrations, as it does for a person."""
    monkeypatch.setattr(database, "prepare", prepare)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def executor():
    return FakeSlot()


@pytest.fixture
def bench(tmp_path, clock, executor):
    """A closed test bench; `async with bench.open()` starts the process."""
    return Bench(directory=tmp_path / "data", clock=clock, executor=executor)


@pytest.fixture
async def core(bench):
    """The bench's core, running."""
    async with bench.open() as core:
        yield core
