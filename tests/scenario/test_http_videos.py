"""`/v1/videos` with OpenAI's own client, unchanged."""

from __future__ import annotations

import asyncio
import base64
import io
import json

import aiohttp
import openai
import pytest
from openai.types import Video
from PIL import Image

from tests.scenario.http_client import SECONDS, SMALL, ended, http_config, serving

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning"),
]


@pytest.fixture
async def house(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    async with serving(http_config(tmp_path / "data")) as house:
        yield house


@pytest.fixture
async def client(house):
    async with house.client(house.token()) as client:
        yield client


def picture(side=64):
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return file.getvalue()


async def make(client, prompt="a red fox", **options):
    options.setdefault("poll_interval_ms", 100)
    extra = {"rushes": {**SMALL, **options.pop("rushes", {})}}
    video = await client.videos.create_and_poll(prompt=prompt, extra_body=extra, **options)
    assert video.status == "completed", video
    return video


async def started(client, video):
    async with asyncio.timeout(SECONDS):
        while (await client.videos.retrieve(video)).status == "queued":  # noqa: ASYNC110 - a server's state
            await asyncio.sleep(0.05)


@pytest.mark.tour
async def test_the_client_makes_polls_and_downloads_a_clip(client, house):
    video = await make(client, rushes={"camera": "pan left", "seed": 7})
    assert (video.model, video.object, video.progress) == ("testcard", "video", 100)
    assert (video.rushes["camera"], video.rushes["seed"]) == ("pan left", 7)
    assert video.expires_at > video.completed_at >= video.created_at
    clip = await client.videos.download_content(video.id)
    assert (await clip.aread())[4:8] == b"ftyp"
    for variant in ("thumbnail", "spritesheet"):
        still = await (await client.videos.download_content(video.id, variant=variant)).aread()
        assert Image.open(io.BytesIO(still)).format == "JPEG"
    again = await client.videos.retrieve(video.id)
    assert (again.id, again.prompt, again.seconds) == (video.id, "a red fox", video.seconds)


async def test_seconds_and_size_mean_what_the_model_has_nearest(client):
    video = await client.videos.create(prompt="a fox", seconds="4", size="640x360")
    assert (video.size, video.rushes["frames"]) == ("640x360", 97)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.videos.create(prompt="a fox", size="1x1")
    assert caught.value.body["code"] == "http.size"
    assert "x" in caught.value.body["rushes"]["nearest"]


async def test_a_picture_comes_as_a_file_or_inside_the_request(client):
    video = await make(client, input_reference=("first.png", picture(), "image/png"))
    assert video.status == "completed"
    url = "data:image/png;base64," + base64.b64encode(picture()).decode()
    inside = await client.videos.create(
        prompt="a", extra_body={"input_reference": {"image_url": url}, "rushes": SMALL}
    )
    assert (await client.videos.poll(inside.id, poll_interval_ms=100)).status == "completed"
    elsewhere = {"image_url": "http://169.254.169.254/latest"}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.videos.create(prompt="a", extra_body={"input_reference": elsewhere})
    assert caught.value.body["code"] == "http.reference"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.videos.create(prompt="a", input_reference=("a.png", b"nothing", "image/png"))
    assert caught.value.body["code"] == "image.not_an_image"
    assert caught.value.body["param"] == "input_reference"


@pytest.mark.slow
async def test_a_list_goes_on_where_its_page_ended(client):
    made = [(await make(client, f"clip {number}")).id for number in range(3)]
    newest = [video.id async for video in client.videos.list(limit=2)]
    assert newest == made[::-1]
    assert [video.id async for video in client.videos.list(limit=1, order="asc")] == made


@pytest.mark.tour
async def test_remix_and_extend_start_from_a_finished_clip(client, house):
    first = await make(client, rushes={"seed": 7})
    async with house.session(client.api_key) as session:
        remix = await client.videos.remix(first.id, prompt="a blue fox")
        assert (remix.prompt, remix.remixed_from_video_id) == ("a blue fox", first.id)
        assert (await ended(session, remix.id))["rushes"]["seed"] == 7
        # The client's own methods take a video as a file only; this is its way to send an id.
        given = {"video": {"id": first.id}, "prompt": "a green fox"}
        edit = await client.post("/videos/edits", body=given, cast_to=Video)
        assert edit.rushes["frames"] == 49
        given |= {"prompt": "it runs", "seconds": "1"}
        longer = await client.post("/videos/extensions", body=given, cast_to=Video)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.post(
                "/videos/extensions", body=given | {"rushes": {"seed": 7}}, cast_to=Video
            )
        assert (caught.value.param, caught.value.code) == ("rushes.seed", "http.field_unknown")
        assert "seconds" in caught.value.message
        with pytest.raises(openai.BadRequestError) as caught:
            await client.videos.extend(video=b"a file", prompt="it runs", seconds="1")
        assert caught.value.body["code"] == "http.video"
        done = await ended(session, longer.id)
    assert (done["status"], done["prompt"]) == ("completed", "it runs")
    assert float(done["seconds"]) > float(first.seconds) + 0.5


async def test_there_are_no_characters(client):
    with pytest.raises(openai.NotFoundError) as caught:
        await client.videos.create_character(name="a fox", video=b"a file")
    assert caught.value.body["code"] == "http.no_route"
    with pytest.raises(openai.NotFoundError):
        await client.videos.get_character("char_1")


async def test_what_is_deleted_is_gone(client, house):
    video = await make(client)
    assert (await client.videos.delete(video.id)).deleted
    for ask in (client.videos.retrieve, client.videos.download_content):
        with pytest.raises(openai.NotFoundError):
            await ask(video.id)
    assert [found async for found in client.videos.list()] == []


async def gone(client, session, video):
    """Check that nothing can be read of a deleted video any more."""
    for ask in (client.videos.retrieve, client.videos.download_content, client.videos.delete):
        with pytest.raises(openai.NotFoundError):
            await ask(video)
    async with session.get(f"/v1/videos/{video}/events") as answer:
        assert answer.status == 404
    assert video not in [found.id async for found in client.videos.list()]


async def test_delete_stops_what_runs_and_waits_and_ends_its_events(tmp_path):
    async with serving(http_config(tmp_path / "data", step_seconds=30.0)) as house:
        token = house.token()
        async with house.client(token) as client, house.session(token) as session:
            running = await client.videos.create(prompt="a fox")
            await started(client, running.id)
            waiting = await client.videos.create(prompt="a hare")
            for video in (running.id, waiting.id):
                listening = house.app.services.events._queues
                others = len(listening)
                events = asyncio.create_task(events_of(session, video))
                while len(listening) == others:  # noqa: ASYNC110 - an event bus
                    await asyncio.sleep(0.01)
                assert (await client.videos.delete(video)).deleted
                assert (await events)[-1] == "video.deleted"
                await gone(client, session, video)
        folder = house.directory / "jobs"
        async with asyncio.timeout(SECONDS):
            while any((folder / video).exists() for video in (running.id, waiting.id)):  # noqa: ASYNC110 - a folder
                await asyncio.sleep(0.05)


async def events_of(session, video):
    async with session.get(f"/v1/videos/{video}/events") as answer:
        lines = (await answer.read()).decode().splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


@pytest.mark.slow
async def test_what_failed_can_be_deleted(client, house):
    bad = await client.videos.create(prompt="a fox")
    await house.app.services.jobs.cancel(bad.id, tenant="terminal:api")
    async with house.session(client.api_key) as session:
        assert (await ended(session, bad.id))["status"] == "failed"
        assert (await client.videos.delete(bad.id)).deleted
        await gone(client, session, bad.id)


async def test_one_key_is_one_job(client):
    keys = {"extra_headers": {"Idempotency-Key": "once"}}
    first, second = [await client.videos.create(prompt="a fox", **keys) for _ in range(2)]
    other = await client.videos.create(prompt="a fox", extra_headers={"Idempotency-Key": "twice"})
    assert first.id == second.id != other.id


async def test_requests_with_one_key_at_once_make_one_job(client, house):
    keys = {"extra_headers": {"Idempotency-Key": "once"}}
    others = house.token(name="other")
    made = [client.videos.create(prompt="a fox", **keys) for _ in range(8)]
    assert len({video.id for video in await asyncio.gather(*made)}) == 1
    # A key is that of one token.
    async with house.client(others) as other:
        assert (await other.videos.create(prompt="a fox", **keys)).id != (await made_by(client))[0]
    assert len(await made_by(client)) == 1


async def made_by(client):
    return [video.id async for video in client.videos.list()]


async def test_a_key_is_for_one_body(client):
    keys = {"extra_headers": {"Idempotency-Key": "once"}}
    same = {"input_reference": ("a.png", picture(), "image/png"), **keys}
    first = await client.videos.create(prompt="a fox", **same)
    assert (await client.videos.create(prompt="a fox", **same)).id == first.id
    for other in (
        {"prompt": "a hare", **same},
        {"prompt": "a fox", **keys},
        {**same, "prompt": "a fox", "input_reference": ("a.png", picture(65), "image/png")},
    ):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await client.videos.create(**other)
        assert caught.value.body["code"] == "http.key_reused"
    assert await made_by(client) == [first.id]
    with pytest.raises(openai.UnprocessableEntityError):  # also elsewhere
        await client.images.generate(prompt="a fox", **keys)
    await client.videos.delete(first.id)
    second = await client.videos.create(prompt="a fox", **keys)
    assert await made_by(client) == [second.id]


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"model": "testcrad"}, "model.mistyped", "model"),
        ({"model": "sora-2"}, "model.unknown", "model"),
        ({"extra_body": {"rushes": {"camra": "pan left"}}}, "http.field_unknown", "rushes.camra"),
        ({"extra_body": {"rushes": {"camera": "pan lef"}}}, "value.mistyped", "rushes.camera"),
        ({"extra_body": {"rushes": {"frames": 100}}}, "model.length", "rushes.frames"),
        ({"extra_body": {"rushes": {"prompt": "x"}}}, "http.field_unknown", "rushes.prompt"),
        (
            {"extra_body": {"rushes": {"image": "/etc/passwd"}}},
            "http.field_unknown",
            "rushes.image",
        ),
        ({"extra_body": {"rushes": {"last": "/etc/passwd"}}}, "http.picture", "rushes.last"),
        ({"extra_body": {"rushes": {"preset": "dusk"}}}, "preset.unknown", "rushes.preset"),
        ({"extra_body": {"second": 4}}, "http.field_unknown", "second"),
        ({"seconds": "soon"}, "http.form", "seconds"),
        ({"seconds": "\uff14"}, "http.form", "seconds"),
        ({"size": "720p"}, "http.form", "size"),
        ({"seconds": "9999"}, "http.seconds_range", "seconds"),
        ({"seconds": "0"}, "http.seconds_range", "seconds"),
        ({"extra_body": {"rushes": [1]}}, "http.object", "rushes"),
        ({"extra_body": {"rushes": "abc"}}, "http.object", "rushes"),
        ({"extra_body": {"rushes": {"seed": [1]}}}, "http.scalar", "rushes.seed"),
        ({"extra_body": {"rushes": {"seed": {"a": 1}}}}, "http.scalar", "rushes.seed"),
        ({"extra_body": {"rushes": {"seed": -(2**70)}}}, "value.out_of_range", "rushes.seed"),
        ({"seconds": "4", "extra_body": {"rushes": {"frames": 49}}}, "http.twice", "seconds"),
    ],
)
async def test_what_cannot_be_is_a_400_that_says_what_can(client, options, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.videos.create(prompt="a fox", **options)
    assert (caught.value.body["code"], caught.value.body["param"]) == (code, param)
    assert [video async for video in client.videos.list()] == []


@pytest.mark.parametrize(
    ("path", "param", "said"),
    [
        ("?order=up", "order", "desc or asc"),
        ("?limit=0", "limit", "1 to 100"),
        ("/7Q2FK9XDAB/content?variant=x", "variant", "thumbnail"),
    ],
)
async def test_a_wrong_parameter_is_named_with_its_values(client, house, path, param, said):
    async with (
        house.session(client.api_key) as session,
        session.get(f"/v1/videos{path}") as answer,
    ):
        error = (await answer.json())["error"]
    assert (answer.status, error["param"]) == (400, param)
    assert said in error["message"]


async def test_a_field_that_comes_twice_is_named(client, house):
    fields = [("prompt", "a"), ("rushes[seed]", "1"), ("rushes[seed]", "2")]
    form = aiohttp.FormData(fields, default_to_multipart=True)
    async with (
        house.session(client.api_key) as session,
        session.post("/v1/videos", data=form) as answer,
    ):
        error = (await answer.json())["error"]
    assert (answer.status, error["code"], error["param"]) == (
        400,
        "http.field_twice",
        "rushes.seed",
    )


async def test_a_refusal_offers_what_works_as_data(client):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.videos.create(prompt="a fox", extra_body={"rushes": {"frames": 100}})
    assert {"frames": 97} in caught.value.body["rushes"]["offers"]


async def test_words_that_look_like_flags_are_words(client):
    video = await client.videos.create(prompt='a "fox" --ar 9:16 \\ --nonsense')
    assert video.prompt == 'a "fox" --ar 9:16 \\ --nonsense'


async def test_the_job_stands_in_the_queue_of_its_guild(house, client):
    from commands.caller import Caller, Channel
    from commands.run import execute
    from commands.text.card import plain

    await house.app.core.jobs.pause()  # or a fast machine is done before anybody looks
    await client.videos.create(prompt="a fox from afar")
    call = house.app.services.call(
        caller=Caller(id="kim", name="kim"),
        channel=Channel(platform="terminal", tenant="terminal:api", address={}, id="general"),
        locale="en",
        key=None,
    )
    assert "a fox from afar" in plain(await execute("/rushes queue", call))


async def test_a_full_queue_and_a_draining_one_say_when(tmp_path):
    config = http_config(tmp_path / "data", step_seconds=30.0, queue={"waiting_per_user": 1})
    async with serving(config) as house, house.client(house.token()) as client:
        video = await client.videos.create(prompt="a fox")
        await started(client, video.id)
        await client.videos.create(prompt="a fox")
        with pytest.raises(openai.RateLimitError) as caught:
            await client.videos.create(prompt="a fox")
        assert caught.value.body["code"] == "queue.full_user"
        assert int(caught.value.response.headers["Retry-After"]) > 0
        await house.app.services.jobs.drain()
        with pytest.raises(openai.InternalServerError) as refused:
            await client.videos.create(prompt="a fox")
        assert (refused.value.status_code, refused.value.body["code"]) == (503, "queue.draining")


@pytest.mark.tour
async def test_models_probes_and_metrics(client, house):
    assert [model.id async for model in client.models.list()] == ["testcard"]
    assert (await client.models.retrieve("testcard")).owned_by == "rushes"
    await make(client, "nobody else reads this")
    async with house.session() as session:
        for path in ("/livez", "/readyz"):
            async with session.get(path) as response:
                assert (response.status, (await response.json())["status"]) == (200, "ok")
        async with session.get("/metrics") as response:
            page = await response.text()
        assert 'rushes_jobs{platform="http",state="done",tenant_class="terminal"} 1.0' in page
        assert 'route="/v1/videos/{video}"' in page
        assert "nobody" not in page
        house.app.services.health.report("discord.connection", "Discord is away.")
        await house.app.services.jobs.drain()
        async with session.get("/readyz") as response:
            assert response.status == 503
            assert {"discord.connection", "queue"} <= set((await response.json())["reasons"])


async def test_a_request_by_hand_in_json_or_as_a_form(client, house):
    async with house.session(client.api_key) as session:
        body = {"prompt": "a fox", "seconds": 4, "rushes": {"seed": 7}}
        async with session.post("/v1/videos", json=body) as response:
            assert (await response.json())["rushes"]["seed"] == 7
        form = {"prompt": "a fox", "rushes": json.dumps({"seed": 8})}
        async with session.post("/v1/videos", data=_form(form)) as response:
            assert (await response.json())["rushes"]["seed"] == 8


def _form(fields):
    with aiohttp.MultipartWriter("form-data") as writer:
        for name, value in fields.items():
            writer.append(value).set_content_disposition("form-data", name=name)
    return writer
