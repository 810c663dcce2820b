"""Limits of keys, pages, methods and requests at once."""

from __future__ import annotations

import json

import pytest

from bot.http.access import guard
from tests.attacks.http.target import GOOD, asked, attacks

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "key",
    attacks(
        "http keys",
        [("an empty key", ""), ("a key of a kilobyte", "a" * 1000), ("a key with a tab", "a\tb")],
    ),
)
async def test_a_key_is_short_and_printable(served, key):
    status, body = await asked(
        served, "POST", "/v1/videos", token=served.mine, json=GOOD, headers={"Idempotency-Key": key}
    )
    assert (status, json.loads(body)["error"]["code"]) == (400, "http.key")


@pytest.mark.attack("http limits", "a hundred requests of one token at once")
async def test_a_token_has_so_many_requests_at_once(served, monkeypatch):
    monkeypatch.setattr(guard, "PER_TOKEN", 2)
    async with served.session(served.token("at once")) as session:
        async with session.post("/v1/videos", json={"prompt": "a"}) as answer:
            video = (await answer.json())["id"]
        path = f"/v1/videos/{video}/events"
        async with session.get(path), session.get(path), session.get("/v1/models") as third:
            assert third.status in {200, 429}  # the job may have ended
            if third.status == 429:
                assert int(third.headers["Retry-After"]) > 0


@pytest.mark.attack("http limits", "paging without end")
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=-1", "limit=1e3", "limit=٣", "order=up"]
)
async def test_a_page_has_bounds(served, query):
    assert (await asked(served, "GET", f"/v1/videos?{query}", token=served.mine))[0] == 400


@pytest.mark.attack("http methods", "other methods")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "PROPFIND"])
async def test_other_methods_do_nothing(served, method):
    path = f"/v1/videos/{served.video}"
    assert (await asked(served, method, path, token=served.mine))[0] == 405
