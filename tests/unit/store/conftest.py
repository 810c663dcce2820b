from __future__ import annotations

import pytest

from inference.domain.events import EventBus
from inference.store.jobs import JobStore
from inference.store.outbox import OutboxStore
from inference.store.sqlite.database import open_database


@pytest.fixture
async def database(tmp_path):
    async with open_database(tmp_path / "test.sqlite3") as database:
        yield database


@pytest.fixture
def events():
    return EventBus()


@pytest.fixture
def store(database, clock, events):
    return JobStore(database, clock, events)


@pytest.fixture
def outbox(database, clock, events):
    return OutboxStore(database, clock, events)
