from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from inference.assist.base import RefinementRequest
from inference.assist.openai import RETRIES, AssistantSettings, open_assistant
from inference.domain.errors import AssistantError
from inference.domain.spec import Mode
from tests.fakes import openai_server
from tests.fakes.openai_server import KEY, MODEL, PNG, Reply, failure, prompt, said

FOX = RefinementRequest(words="a red fox in snow", mode=Mode.TEXT_TO_VIDEO)
BRIEFLY = {"retry_after_ms": "1"}
"""What a server says that may be asked again at once."""


@pytest.fixture
def server():
    with openai_server.serving() as server:
        yield server
    assert server.complaints == []


def settings(server, **changes):
    values = {"model": MODEL, "base_url": server.base_url, "api_key": KEY, "timeout_seconds": 180.0}
    return AssistantSettings(**values | changes)


async def ask(server, draft=FOX, **changes):
    async with open_assistant(settings(server, **changes)) as assistant:
        return await assistant.refine(draft)


async def refusal(server, **changes):
    with pytest.raises(AssistantError) as caught:
        await ask(server, **changes)
    return caught.value.code


async def test_a_request_is_as_the_protocol_has_it_and_the_answer_comes_back(server):
    server.replies = [prompt("A red fox runs through deep snow.")]

    assert await ask(server) == "A red fox runs through deep snow."

    (request,) = server.requests
    assert request["messages"][1]["content"] == "a red fox in snow"
    schema = request["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["prompt"]


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        (FOX, "video clips from text"),
        (RefinementRequest(words="a fox", mode=Mode.TEXT_TO_IMAGE), "frozen moment"),
        (
            RefinementRequest(words="a fox", mode=Mode.IMAGE_TO_VIDEO),
            "begins with the given picture",
        ),
        (RefinementRequest(words="a fox", mode=Mode.TEXT_TO_VIDEO, drawn=True), "drawn by lot"),
        (RefinementRequest(words="a fox", mode=Mode.TEXT_TO_VIDEO, advice="Shout."), "Shout."),
    ],
)
@pytest.mark.cases(2)
async def test_every_kind_of_render_has_instructions_of_its_own(server, draft, told):
    await ask(server, draft)

    system = server.requests[0]["messages"][0]["content"]
    assert told in system
    assert "six" in system or "6 sentences" in system
    assert "English" in system
    assert "without cuts" in " ".join(system.split())


async def test_the_image_of_an_animation_is_sent_along(server, tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(PNG + b"pixels")

    await ask(server, RefinementRequest(words="it runs", mode=Mode.IMAGE_TO_VIDEO, image=image))

    text, picture = server.requests[0]["messages"][1]["content"]
    assert text == {"type": "text", "text": "it runs"}
    assert picture["image_url"]["detail"] == "low"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (failure(500, "server_error", **BRIEFLY), "assistant.unavailable"),
        (failure(503, "overloaded", **BRIEFLY), "assistant.unavailable"),
        (failure(429, "rate_limit_exceeded", **BRIEFLY), "assistant.unavailable"),
    ],
)
async def test_what_may_pass_is_tried_twice_more(server, reply, code):
    server.replies = [reply]

    assert await refusal(server) == code

    assert len(server.requests) == 1 + RETRIES


async def test_an_answer_after_two_failures_is_as_good_as_any(server):
    server.replies = [
        failure(429, "rate_limit_exceeded", **BRIEFLY),
        failure(500, "server_error", **BRIEFLY),
        prompt("At last."),
    ]

    assert await ask(server) == "At last."


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (failure(401, "invalid_api_key"), "assistant.rejected"),
        (failure(404, "model_not_found"), "assistant.rejected"),
        (failure(429, "insufficient_quota", x_should_retry="false"), "assistant.unavailable"),
        (failure(429, "rate_limit_exceeded", retry_after="3600"), "assistant.unavailable"),
        (said(None, refusal="I would rather not."), "assistant.declined"),
        (said("", finish_reason="content_filter"), "assistant.declined"),
        (said('{"prompt": "cut o', finish_reason="length"), "assistant.unusable"),
        (said("Sure! Here is your prompt: a fox"), "assistant.unusable"),
        (said('{"text": "a fox"}'), "assistant.unusable"),
        (said('{"prompt": "a fox", "more": 1}'), "assistant.unusable"),
        (said(""), "assistant.unusable"),
        (said(None), "assistant.unusable"),
        (prompt("  \n "), "assistant.unusable"),
        (prompt("..."), "assistant.unusable"),
        (prompt("fox " * 1000), "assistant.unusable"),
        (Reply(body=b"<html>"), "assistant.unusable"),
        (Reply(body=b"<html>", headers={"Content-Type": "text/html"}), "assistant.unusable"),
        (Reply(body={}), "assistant.unusable"),
        (Reply(body={"choices": []}), "assistant.unusable"),
        (Reply(body=[]), "assistant.unusable"),
    ],
)
async def test_what_will_not_change_is_asked_once(server, reply, code):
    server.replies = [reply]

    assert await refusal(server) == code

    assert len(server.requests) == 1


async def test_a_slow_server_is_not_waited_for_longer_than_the_time_out(server):
    answered = threading.Event()
    server.replies = [Reply(until=answered, body={})]
    try:
        assert await refusal(server, timeout_seconds=0.3) == "assistant.unavailable"
    finally:
        answered.set()


async def test_retries_do_not_outlast_the_time_out(server):
    server.replies = [failure(429, "rate_limit_exceeded", retry_after="30")]

    assert await refusal(server, timeout_seconds=0.3) == "assistant.unavailable"

    assert len(server.requests) <= 1  # none where the machine is too busy for the first


async def test_a_server_that_is_not_there_is_unavailable(server):
    assert await refusal(server, base_url="http://127.0.0.1:9/v1", timeout_seconds=3.0) == (
        "assistant.unavailable"
    )


async def test_an_operator_hears_of_a_wrong_key_and_nobody_reads_prompts_in_the_log(server, caplog):
    caplog.set_level("INFO")
    server.replies = [failure(401, "invalid_api_key")]

    with capture_logs() as entries:
        await refusal(server)

    assert entries == [{"event": "assistant.rejected", "log_level": "error", "status": 401}]
    for secret in (KEY, FOX.words):
        assert secret not in caplog.text


def test_the_key_is_not_in_the_representation_of_the_settings():
    assert KEY not in repr(AssistantSettings(model=MODEL, api_key=KEY))
