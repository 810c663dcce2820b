"""Tokens that are revoked, or expire, while an answer to them is under way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import aiohttp
import pytest

from bot.http.access.tokens import open_tokens, webhook_of
from bot.http.videos import actions
from inference.domain.errors import StoreError, UserError
from inference.domain.events import JobEvent
from inference.domain.job import JobState
from tests.scenario.http_client import SECONDS, SMALL, ended, http_config, serving

pytestmark = pytest.mark.process

WAITING = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
async def house(tmp_path):
    async with serving(http_config(tmp_path / "data", step_seconds=600)) as house:
        yield house


def _revoke(house, token):
    with open_tokens(house.directory) as table:
        table.revoke(token, time.time())


def _expire(house, token):
    with open_tokens(house.directory) as table, table._connection as connection:
        connection.execute(
            "UPDATE http_tokens SET expires_at = ? WHERE id = ?", (time.time(), token[4:14])
        )


async def _begun(session):
    video = {"prompt": "a fox", "rushes": SMALL}
    async with session.post("/v1/videos", json=video) as answer:
        return (await answer.json())["id"]


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("events", _revoke),
        ("wait", _revoke),
        pytest.param("image", _revoke, marks=pytest.mark.slow),
        pytest.param("events", _expire, marks=pytest.mark.slow),
    ],
)
async def test_a_token_that_ends_receives_nothing_more(house, kind, end, caplog):
    token = house.token()
    other = house.token(name="other")
    async with house.session(token) as session, house.session(other) as watching:
        video = await _begun(session)
        if kind == "events":
            asked = session.get(f"/v1/videos/{video}/events")
        elif kind == "wait":
            call = {"name": "wait", "arguments": {"id": video, "seconds": 600}}
            asked = session.post("/mcp", json={**WAITING, "params": call}, headers=ACCEPT)
        else:
            asked = session.post("/v1/images/generations", json={"prompt": "a fox"})

        async def received():
            with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
                async with asked as answer:
                    await answer.read()
                    return answer.status

        listening = house.app.services.events._queues
        others = len(listening)
        reading = asyncio.create_task(received())
        async with asyncio.timeout(SECONDS):
            while len(listening) == others:  # noqa: ASYNC110 - an event bus
                await asyncio.sleep(0.01)
            with caplog.at_level(logging.ERROR):
                await asyncio.to_thread(end, house, token)
                status = await reading
        assert status in ({401} if kind == "image" else {200, None})
        async with watching.get(f"/v1/videos/{video}") as answer:
            assert (await answer.json())["status"] in {"queued", "in_progress"}
    assert not caplog.records


async def test_a_download_ends_with_its_token(tmp_path, caplog):
    async with serving(http_config(tmp_path / "data")) as house:
        token, jobs = house.token(), house.app.services.jobs
        async with house.session(token) as session:
            video = await _begun(session)
            await ended(session, video)
            job = await jobs.get(video, tenant="terminal:api")
            file = await asyncio.to_thread(jobs.files, job)
            with file.open("ab") as clip:
                clip.truncate(2**28)  # more than the buffers of a connection take
            async with (
                asyncio.timeout(SECONDS),
                session.get(f"/v1/videos/{video}/content") as answer,
            ):
                assert await answer.content.readany()
                with caplog.at_level(logging.ERROR):
                    await asyncio.to_thread(_revoke, house, token)
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await _read_slowly(answer)
    assert not caplog.records


async def _read_slowly(answer):
    while await answer.content.readany():  # noqa: ASYNC110 - the pace of a slow client
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "problem", [StoreError("store.unavailable"), RuntimeError(), UserError("http.busy")]
)
async def test_an_error_after_an_answer_has_begun_cuts_it_off(house, problem, monkeypatch):
    async with house.session(house.token()) as session:
        video = await _begun(session)
        reads, find = [], actions.find

        async def found(*asked):
            reads.append(asked)
            if len(reads) > 2:  # once to find it, and once for the first event
                raise problem
            return await find(*asked)

        monkeypatch.setattr(actions, "find", found)
        moved = JobEvent(job_id=video, tenant="", state=JobState.RUNNING, progress=None)
        async with asyncio.timeout(SECONDS), session.get(f"/v1/videos/{video}/events") as answer:
            received = await answer.content.readuntil(b"\n\n")
            house.app.services.events.publish(moved)
            with pytest.raises(aiohttp.ClientPayloadError):
                received += await answer.content.read()
    assert received.startswith(b"event: video.")
    assert b"HTTP/" not in received


@pytest.mark.parametrize("end", [_revoke, _expire])
async def test_the_webhook_of_a_token_ends_with_it(house, end):
    webhook = ("https://hooks.example/rushes", "secret")
    token = house.token(webhook=webhook)
    database = house.app.services.database
    assert await webhook_of(database, token[4:14], time.time()) == webhook
    await asyncio.to_thread(end, house, token)
    assert await webhook_of(database, token[4:14], time.time()) is None
