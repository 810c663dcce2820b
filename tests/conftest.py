"""What holds for every test: no network but loopback, and the same examples every time."""

from __future__ import annotations

import logging

import pytest
import structlog
from hypothesis import settings
from pytest_socket import socket_allow_hosts

from tests.fakes.bench import Bench
from tests.fakes.clock import ManualClock
from tests.fakes.executor import FakeExecutor

settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci")


def pytest_runtest_setup():
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def restored_logging():
    """Leave logging as it was: a command that ran in this process has set it up for itself."""
    root, how = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**how)


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
