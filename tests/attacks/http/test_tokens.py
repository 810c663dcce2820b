"""Requests without a valid token."""

from __future__ import annotations

import json
import time

import pytest

from bot.http.access.tokens import open_tokens
from bot.network import http_limits
from tests.attacks.http.target import asked, attacks

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "headers",
    attacks(
        "http auth",
        [
            ("no token", lambda _: {}),
            ("an empty token", lambda _: {"Authorization": "Bearer "}),
            ("another scheme", lambda s: {"Authorization": f"Basic {s.mine}"}),
            ("no scheme", lambda s: {"Authorization": s.mine}),
            ("a wrong secret", lambda s: {"Authorization": f"Bearer {s.mine[:-3]}abc"}),
            (
                "one token's id with another's secret",
                lambda s: {"Authorization": f"Bearer {s.mine[:15]}{s.other[15:]}"},
            ),
            ("a token with more after it", lambda s: {"Authorization": f"Bearer {s.mine} x"}),
            ("a token of OpenAI's form", lambda _: {"Authorization": "Bearer sk-proj-1234"}),
            ("SQL in the token", lambda _: {"Authorization": "Bearer rsh_' OR 1=1 --_x"}),
            ("a token in a cookie", lambda s: {"Cookie": f"token={s.mine}"}),
            ("a token as an X-API-Key", lambda s: {"X-Api-Key": s.mine}),
            ("64 kB of token", lambda _: {"Authorization": "Bearer " + "a" * 8000}),
        ],
    ),
)
async def test_without_a_valid_token_nothing_opens(served, headers):
    for method, path in (("GET", "/v1/videos"), ("POST", "/v1/videos"), ("GET", "/v1/models")):
        status, body = await asked(served, method, path, headers=headers(served))
        assert (status, json.loads(body)["error"]["code"]) == (401, "http.unauthorized")


@pytest.mark.attack("http auth", "a token in the address")
async def test_a_token_in_the_address_opens_nothing(served):
    status, _ = await asked(served, "GET", f"/v1/videos?token={served.mine}&api_key={served.mine}")
    assert status == 401


@pytest.mark.attack("http auth", "a token that was just revoked")
async def test_a_revoked_token_is_refused_at_once(served):
    with open_tokens(served.directory) as table:
        given = {"guild": "mine", "person": None, "roles": frozenset(), "now": time.time()}
        made = table.create(name="brief", expires=None, **given)
        assert (await asked(served, "GET", "/v1/models", token=made))[0] == 200
        table.revoke(made, time.time())
    assert (await asked(served, "GET", "/v1/models", token=made))[0] == 401


@pytest.mark.attack("http auth", "two Authorization headers")
def test_two_authorizations_are_none(served):
    answer = served.raw(
        f"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Bearer x\r\nAuthorization: Bearer {served.mine}\r\n\r\n".encode(),
        end=False,
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.attack("http auth", "guessing tokens, with another X-Forwarded-For each time")
async def test_guessing_is_slowed_and_hurts_nobody_else(served, monkeypatch):
    monkeypatch.setattr(http_limits, "PER_MINUTE", 3)
    found = []
    for number in range(6):
        headers = {"Authorization": f"Bearer {number}", "X-Forwarded-For": f"10.0.0.{number}"}
        found.append((await asked(served, "GET", "/v1/models", headers=headers))[0])
    assert found[-1] == 429
    assert (await asked(served, "GET", "/v1/models", token=served.mine))[0] == 200
