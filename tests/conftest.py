"""What holds for every test: no network but loopback, and the same examples every time."""

from __future__ import annotations

import logging
import os

import pytest
import structlog
from hypothesis import settings
from pytest_socket import socket_allow_hosts

from tests.fakes.bench import Bench
from tests.fakes.clock import ManualClock
from tests.fakes.executor import FakeExecutor

# Test processes share the cores already: torch and the children compute on one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci")


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
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**how)


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    """Reach loopback directly, whatever the machine's environment says of proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def executor():
    return FakeExecutor()


@pytest.fixture
def bench(tmp_path, clock, executor):
    """A closed test bench; `async with bench.open()` starts the process."""
    return Bench(directory=tmp_path / "data", clock=clock, executor=executor)


@pytest.fixture
async def core(bench):
    """The bench's core, running."""
    async with bench.open() as core:
        yield core
