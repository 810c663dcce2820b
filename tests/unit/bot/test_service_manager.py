from __future__ import annotations

import asyncio
import os
import socket

import pytest

from bot.service_manager import notify, notify_watchdog, watchdog_seconds


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(180)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_states_reach_the_service_manager(manager):
    notify("READY=1", "STATUS=connected: discord")
    assert manager.recv(1000) == b"READY=1\nSTATUS=connected: discord"


def test_without_a_service_manager_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


def test_a_name_in_the_abstract_namespace_is_one(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0rushes-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@rushes-test-{os.getpid()}")
        notify("STOPPING=1")
        assert listening.recv(1000) == b"STOPPING=1"


@pytest.mark.parametrize(
    ("limit", "process", "expected"),
    [("30000000", None, 15), ("30000000", "1", None), ("", None, None), ("soon", None, None)],
)
def test_the_watchdog_is_fed_at_half_its_time(monkeypatch, limit, process, expected):
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if process is not None:
        monkeypatch.setenv("WATCHDOG_PID", process)
    assert watchdog_seconds() == expected


async def test_the_watchdog_hears_of_a_loop_that_runs(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    feeding = asyncio.create_task(notify_watchdog())
    for _ in range(3):
        assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"
    feeding.cancel()
