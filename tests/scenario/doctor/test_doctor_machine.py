"""Failing states of the doctor: Python, torch, the card, memory and the disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.doctor import machine
from bot.doctor.findings import Level
from inference.engines.diffusers_adapter import memory_check
from inference.workers.device_report import DeviceReport, read_device
from tests.scenario.doctor.findings import CARD, NO_CARD, config, fine, only


def test_an_old_python():
    only(machine.python((3, 10, 2)), Level.FAIL, "doctor.python.old")
    fine(machine.python())


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (DeviceReport(problem="torch.broken"), "doctor.torch.broken"),
        (DeviceReport(), "doctor.torch.missing"),
    ],
)
def test_torch_that_is_not_there_or_broken(tmp_path, report, code):
    only(machine.torch(config(tmp_path, models={"installed": ["nano"]}), report), Level.FAIL, code)


def test_torch_is_not_missed_by_the_test_card(tmp_path):
    fine(machine.torch(config(tmp_path), DeviceReport()))
    fine(machine.torch(config(tmp_path), NO_CARD))


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (NO_CARD, "doctor.gpu.cpu_build"),
        (replace(NO_CARD, cuda="13.0"), "doctor.gpu.missing"),
        (replace(NO_CARD, cuda="13.0", problem="gpu.missing"), "error.gpu.missing"),
        (replace(NO_CARD, cuda="13.0", problem="gpu.driver_too_old"), "error.gpu.driver_too_old"),
    ],
)
def test_a_card_that_is_needed_and_not_seen(tmp_path, report, code):
    only(
        machine.gpu(config(tmp_path, models={"installed": ["opensora"]}), report), Level.FAIL, code
    )


def test_a_card_that_is_there_or_not_needed(tmp_path):
    fine(machine.gpu(config(tmp_path, models={"installed": ["opensora"]}), CARD))
    fine(machine.gpu(config(tmp_path, models={"installed": ["nano"]}), NO_CARD))


@pytest.mark.parametrize(
    ("gigabytes", "free", "level", "code"),
    [
        (8, 8, Level.FAIL, "doctor.memory.too_small"),
        (80, 5, Level.FAIL, "doctor.memory.in_use"),
        (80, 18, Level.WARN, "doctor.memory.partly"),
    ],
)
def test_a_card_without_room(tmp_path, gigabytes, free, level, code):
    card = replace(CARD, memory_bytes=gigabytes * 10**9, free_bytes=free * 10**9)
    only(machine.memory(config(tmp_path, models={"installed": ["opensora"]}), card), level, code)
    fine(machine.memory(config(tmp_path, models={"installed": ["opensora"]}), CARD))


def test_a_machine_with_less_memory_than_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_check, "host_memory", lambda: 8 * 10**9)
    found = machine.memory(config(tmp_path, models={"installed": ["wan"]}), CARD)
    only(found, Level.FAIL, "error.memory.machine")


@pytest.mark.parametrize(
    ("free", "level", "code"),
    [(10**8, Level.FAIL, "doctor.disk.full"), (10**9, Level.WARN, "doctor.disk.low")],
)
def test_a_disk_without_room(tmp_path, free, level, code):
    only(machine.disk(config(tmp_path), free), level, code)
    fine(machine.disk(config(tmp_path), 10**11))


def test_a_full_disk_of_backups_elsewhere(tmp_path, monkeypatch):
    usage = {
        False: SimpleNamespace(free=10**11, total=1),
        True: SimpleNamespace(free=10**8, total=1),
    }
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage[Path(path).name == "saved"])
    (tmp_path / "saved").mkdir()
    known = config(tmp_path, backup={"directory": tmp_path / "saved"})
    fine(machine.disk(known))  # the same disk
    monkeypatch.setattr(machine, "_same_disk", lambda *_: False)
    assert "saved" in only(machine.disk(known), Level.FAIL, "doctor.disk.full").text("en")


@pytest.mark.process
@pytest.mark.model
def test_this_machine_is_asked_in_a_process_of_its_own():
    report = read_device()
    assert report.torch is not None
    assert report.memory_bytes > 10**9
