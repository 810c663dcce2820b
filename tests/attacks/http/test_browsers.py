"""Pages of other origins, and links to other hosts."""

from __future__ import annotations

import json

import pytest

from tests.attacks.http.target import asked

pytestmark = pytest.mark.process


@pytest.mark.attack("http browsers", "a page of another origin")
async def test_no_page_of_another_origin_is_let_in(served):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with served.session(served.mine) as session:
        for method in ("OPTIONS", "GET"):
            async with session.request(method, "/v1/videos", headers=headers) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
        async with session.options("/v1/videos", headers=headers) as answer:
            assert answer.status == 405


@pytest.mark.attack("http host", "a link to the Host of the request")
async def test_no_link_leads_to_where_a_host_header_says(served):
    body = {"prompt": "a fox", "response_format": "url"}
    for host, link in (("evil.example", served.url), ("localhost:1234", "http://localhost:1234")):
        status, answer = await asked(
            served,
            "POST",
            "/v1/images/generations",
            token=served.mine,
            json=body,
            headers={"Host": host},
        )
        assert status == 200
        assert json.loads(answer)["data"][0]["url"].startswith(f"{link}/v1/videos/")
