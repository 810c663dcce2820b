"""Fixtures of tests of the doctor."""

from __future__ import annotations

import pytest

from tests.scenario.doctor.findings import migrated


@pytest.fixture
def data(tmp_path):
    """A data folder with a database in it."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    migrated(folder)
    return folder
