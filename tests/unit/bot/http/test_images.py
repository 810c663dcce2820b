"""Waiting for stills, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from bot.http.images import Images
from bot.http.shutdown import Shutdown
from inference.domain.errors import NotFound, StoreError

JOBS = (SimpleNamespace(id="one"), SimpleNamespace(id="two"))


@pytest.fixture
def images():
    return Images(SimpleNamespace(), None, None, Shutdown())


async def forever(*_):
    await asyncio.Event().wait()


async def test_a_still_that_is_deleted_leaves_nothing_waiting_for_the_others(images, monkeypatch):
    left = []

    async def until_ended(_, job_id):
        if job_id == "one":
            raise NotFound("job.unknown")
        try:
            await forever()
        finally:
            left.append(job_id)

    monkeypatch.setattr(images, "_until_ended", until_ended)
    monkeypatch.setattr(images, "_until_hopeless", forever)
    async with asyncio.timeout(180):
        with pytest.raises(NotFound):
            await images._wait_for(None, JOBS, keyed=False)
    assert left == ["two"]


async def test_a_store_that_fails_is_not_told_as_a_stop(images, monkeypatch):
    async def until_hopeless(*_):
        raise StoreError("store.unavailable")

    monkeypatch.setattr(images, "_until_ended", forever)
    monkeypatch.setattr(images, "_until_hopeless", until_hopeless)
    async with asyncio.timeout(180):
        with pytest.raises(StoreError):
            await images._wait_for(None, JOBS, keyed=False)
