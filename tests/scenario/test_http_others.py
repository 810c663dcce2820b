"""`/v1/images/generations` and `/v1/moderations` with OpenAI's own client, unchanged."""

from __future__ import annotations

import asyncio
import base64
import io

import openai
import pytest
from PIL import Image

from tests.scenario.http_client import SECONDS, http_config, serving

pytestmark = pytest.mark.process


@pytest.fixture
async def house(tmp_path):
    config = http_config(tmp_path / "data", safety={"words": ["heron"]})
    async with serving(config) as house:
        yield house


@pytest.fixture
async def client(house):
    async with house.client(house.token()) as client:
        yield client


async def test_the_client_makes_a_still(client, house):
    made = await client.images.generate(
        prompt="a red fox", size="640x360", n=1, extra_body={"rushes": {"seed": 7}}
    )
    assert made.created > 0
    [image] = made.data
    assert Image.open(io.BytesIO(base64.b64decode(image.b64_json))).size == (640, 360)
    made = await client.images.generate(prompt="a red fox", response_format="url", model="testcard")
    async with house.session(client.api_key) as session, session.get(made.data[0].url) as answer:
        assert Image.open(io.BytesIO(await answer.read())).format == "PNG"


async def test_the_client_makes_several_stills(client, house):
    made = await client.images.generate(
        prompt="a red fox",
        size="640x360",
        n=3,
        response_format="url",
        extra_body={"rushes": {"seed": 7}},
    )
    seeds = []
    async with house.session(client.api_key) as session:
        for image in made.data:
            async with session.get(image.url) as answer:
                assert Image.open(io.BytesIO(await answer.read())).format == "PNG"
            async with session.get(image.url.removesuffix("/content")) as answer:
                video = await answer.json()
            assert video["id"] == image.rushes["id"]
            seeds.append(video["rushes"]["seed"])
    assert seeds == [7, 8, 9]
    assert made.rushes["id"] == made.data[0].rushes["id"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"n": 5}, "http.range"),
        ({"n": True}, "http.range"),
        ({"extra_body": {"rushes": {"count": 2}}}, "http.count"),
        ({"size": "1x1"}, "http.size"),
        ({"size": "large"}, "http.form"),
        ({"model": "dall-e-3"}, "model.unknown"),
        ({"prompt": "a heron"}, "safety.prompt"),
        ({"quality": "hd"}, "http.field_unknown"),
        ({"extra_body": {"rushes": {"camra": "x"}}}, "http.field_unknown"),
        ({"extra_body": {"rushes": {"frames": 49}}}, "option.fixed"),
    ],
)
async def test_a_still_that_cannot_be_is_refused(client, options, code):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.generate(**{"prompt": "a fox", **options})
    assert caught.value.body["code"] == code


@pytest.mark.tour
async def test_one_key_makes_stills_once(client, house):
    keys = {"extra_headers": {"Idempotency-Key": "once"}}
    asked = {"prompt": "a fox", "size": "640x360", "n": 2, "response_format": "url", **keys}
    first, second = await asyncio.gather(*(client.images.generate(**asked) for _ in range(2)))
    assert [image.url for image in first.data] == [image.url for image in second.data]
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await client.images.generate(**{**asked, "n": 1})
    assert caught.value.body["code"] == "http.key_reused"
    async with house.session(client.api_key) as session, session.get("/v1/videos") as answer:
        assert len((await answer.json())["data"]) == 2


async def stills_to_come(session, ids, *, keyed=True):
    """Return the answer to a request for stills, once its jobs are there."""
    asked = {"prompt": "a hare", "size": "640x360", "n": 2}
    headers = {"Idempotency-Key": "hare"} if keyed else {}
    sent = session.post("/v1/images/generations", json=asked, headers=headers)
    request = asyncio.create_task(sent)
    async with asyncio.timeout(SECONDS):
        while len(ids) < 2:
            async with session.get("/v1/videos") as answer:
                found = (await answer.json())["data"]
            ids[:] = [video["id"] for video in found if video["prompt"] == "a hare"]
    return request


async def said_later(request, ids, *, keyed=True):
    async with asyncio.timeout(SECONDS), await request as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (503, "http.stopping")
    assert sorted(error["rushes"]["ids"]) == sorted(ids)
    assert f": {', '.join(error['rushes']['ids'])}. " in error["message"]
    if keyed:
        assert int(answer.headers["Retry-After"]) > 0
    else:  # the same request again would make new ones
        assert "Retry-After" not in answer.headers
    assert answer.headers.get("x-should-retry") == (None if keyed else "false")


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_stop_answers_who_waits_for_stills_in_the_queue(tmp_path, keyed):
    config = http_config(tmp_path / "data", step_seconds=60.0)
    async with serving(config) as house, house.session(house.token()) as session:
        async with session.post("/v1/videos", json={"prompt": "a storm"}) as answer:
            assert answer.status == 200
        ids = []
        request = await stills_to_come(session, ids, keyed=keyed)
        house.app.core.jobs.stop_accepting()
        await said_later(request, ids, keyed=keyed)
        async with session.get(f"/v1/videos/{ids[0]}") as answer:
            assert (await answer.json())["status"] == "queued"


async def test_a_server_that_closes_answers_who_waits_for_stills(tmp_path):
    config = http_config(tmp_path / "data", step_seconds=60.0)
    ids = []
    async with serving(config) as house:
        stack = house.session(house.token())
        session = await stack.__aenter__()
        request = await stills_to_come(session, ids)
    try:
        await said_later(request, ids)
    finally:
        await stack.__aexit__(None, None, None)


@pytest.mark.tour
async def test_the_client_asks_the_safety_checks(client):
    found = await client.moderations.create(input=["a red fox", "a HERON by the lake"])
    assert [one.flagged for one in found.results] == [False, True]
    assert not found.results[0].categories.sexual_minors
    assert found.results[1].rushes["reasons"] == ["house_words"]
    [one] = (await client.moderations.create(input="a fox", model="omni-moderation-latest")).results
    assert one.category_scores.violence == 0.0
    for wrong in ([], "", ["a"] * 33, [{"type": "image_url", "image_url": {"url": "http://a"}}]):
        with pytest.raises(openai.BadRequestError):
            await client.moderations.create(input=wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("http", "link"),
    [
        ({"proxies": ["127.0.0.1"]}, "https://clips.example/v1/videos/"),
        ({"proxies": ["10.0.0.0/8"]}, "http://127.0.0.1:"),
        ({"public_url": "https://a.example/rushes/"}, "https://a.example/rushes/v1/videos/"),
    ],
)
async def test_links_are_right_behind_a_proxy(tmp_path, http, link):
    config = http_config(tmp_path / "data", http={"port": 0, **http})
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "clips.example"}
    async with serving(config) as house, house.client(house.token()) as client:
        made = await client.images.generate(
            prompt="a fox", response_format="url", extra_headers=headers
        )
        assert made.data[0].url.startswith(link)
