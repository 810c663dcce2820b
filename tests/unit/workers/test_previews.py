from __future__ import annotations

import threading

import numpy as np
import pytest

from inference.domain.render import PREVIEW_NAME
from inference.workers import previews
from inference.workers.previews import FIRST_STEP, Previews

STILL = np.zeros((36, 64, 3), np.uint8)


class Stills:
    """Counts how often one is drawn."""

    def __init__(self):
        self.drawn = 0

    def __call__(self):
        self.drawn += 1
        return STILL


@pytest.fixture
def stills():
    return Stills()


def test_the_first_one_is_written_once_there_is_something_to_see(tmp_path, stills):
    with Previews(tmp_path) as writer:
        for step in range(FIRST_STEP):
            writer.offer(step, stills)
        assert stills.drawn == 0
        writer.offer(FIRST_STEP, stills)

    assert (tmp_path / PREVIEW_NAME).is_file()
    assert writer.count == stills.drawn == 1


def test_between_two_there_is_a_pause(tmp_path, stills):
    with Previews(tmp_path) as writer:
        for step in range(FIRST_STEP, 50):
            writer.offer(step, stills)

    assert stills.drawn == 1


def test_a_slow_disk_holds_up_no_step(tmp_path, stills, monkeypatch):
    monkeypatch.setattr(previews, "PAUSE_SECONDS", 0)
    gate = threading.Event()
    monkeypatch.setattr(previews, "write_preview", lambda *_: gate.wait(180))
    with Previews(tmp_path) as writer:
        for step in range(FIRST_STEP, 50):
            writer.offer(step, stills)
        gate.set()

    assert stills.drawn == 1


def test_a_preview_that_cannot_be_written_fails_nothing(tmp_path, stills):
    with Previews(tmp_path / "gone") as writer:
        writer.offer(FIRST_STEP, stills)

    assert writer.count == 0


def test_a_model_that_draws_no_stills_is_fine(tmp_path):
    with Previews(tmp_path) as writer:
        writer.offer(FIRST_STEP, None)

    assert list(tmp_path.iterdir()) == []
