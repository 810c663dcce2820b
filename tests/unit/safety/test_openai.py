from __future__ import annotations

import threading

import pytest
from PIL import Image

from inference.domain.errors import ModeratorUnavailable
from inference.domain.verdict import Reason
from inference.safety import openai as module
from inference.safety.openai import OpenAIModerator
from tests.fakes.openai_moderation import CATEGORIES, KEY, moderation_server


@pytest.fixture
def server():
    with moderation_server() as server:
        yield server


@pytest.fixture
async def moderator(server):
    async with OpenAIModerator(api_key=KEY, base_url=server.url) as moderator:
        yield moderator


@pytest.fixture
def stills(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path in paths:
        Image.new("RGB", (64, 36), "orange").save(path)
    return paths


async def test_harmless_texts_are_asked_about_in_one_request(server, moderator):
    assert await moderator.read(["a fox", "a red fox in the snow"], "guild:a") == frozenset()
    assert server.texts == ["a fox", "a red fox in the snow"]
    assert server.requests == 1


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        ("sexual", Reason.SEXUAL),
        ("sexual/minors", Reason.MINORS),
        ("violence", Reason.VIOLENCE),
        ("violence/graphic", Reason.GORE),
        ("self-harm/intent", Reason.SELF_HARM),
        ("hate/threatening", Reason.HATE),
        ("harassment", Reason.HARASSMENT),
        ("illicit/violent", Reason.ILLICIT),
        ("something/new", Reason.OTHER),
    ],
)
@pytest.mark.cases(3)
async def test_a_category_of_any_text_is_a_reason(server, moderator, category, reason):
    server.words["bad"] = category

    assert await moderator.read(["a fox", "a bad fox"], "guild:a") == {reason}


async def test_every_category_there_is_has_a_reason_of_its_own(server, moderator):
    server.words.update({name: name for name in sorted(CATEGORIES, reverse=True)})

    for name in CATEGORIES:
        assert await moderator.read([name], "guild:a") != {Reason.OTHER}


async def test_pictures_are_sent_one_at_a_time_and_one_is_enough(server, moderator, stills):
    server.pictures.extend([None, "violence/graphic", None])

    assert await moderator.look(stills) == {Reason.GORE}
    assert (server.seen, server.requests) == (3, 3)


async def test_busy_and_failing_servers_are_asked_again(server, moderator):
    server.troubles.append((429, {"retry-after-ms": "10"}, b'{"error": {"message": "slow down"}}'))
    server.troubles.append((503, {"retry-after-ms": "10"}, b""))
    server.words["bad"] = "sexual"

    assert await moderator.read(["bad"], "guild:a") == {Reason.SEXUAL}
    assert server.requests == 3


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "trouble",
    [
        (401, {}, b'{"error": {"message": "no such key", "code": "invalid_api_key"}}'),
        (400, {}, b'{"error": {"message": "too many images", "code": "too_many_images"}}'),
        (200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"),
        (200, {}, b"not json"),
        (200, {}, b'{"results": []}'),
        (200, {}, b'{"results": null}'),
        (200, {}, b'{"results": [{"flagged": true}]}'),
        (200, {}, b'{"results": [{"categories": {}}]}'),
        (200, {}, b'{"results": [{"categories": "none"}]}'),
        (200, {}, b"[]"),
    ],
)
async def test_no_answer_that_says_nothing_is_taken_for_a_yes(server, moderator, stills, trouble):
    server.troubles.extend([trouble] * 2)

    with pytest.raises(ModeratorUnavailable):
        await moderator.read(["a fox"], "guild:a")
    with pytest.raises(ModeratorUnavailable):
        await moderator.look(stills[:1])


async def test_one_picture_that_nobody_judged_is_enough_to_know_nothing(server, moderator, stills):
    server.troubles.append((400, {}, b"{}"))

    with pytest.raises(ModeratorUnavailable):
        await moderator.look(stills)


async def test_a_server_that_never_answers_is_given_up(server, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(module, "RETRIES", 0)
    server.gate = threading.Event()
    async with OpenAIModerator(api_key=KEY, base_url=server.url) as moderator:
        with pytest.raises(ModeratorUnavailable, match="APITimeoutError"):
            await moderator.read(["a fox"], "guild:a")


async def test_a_server_that_is_not_there_is_no_answer(monkeypatch):
    monkeypatch.setattr(module, "RETRIES", 0)
    with moderation_server() as gone:
        pass
    async with OpenAIModerator(api_key=KEY, base_url=gone.url) as moderator:
        with pytest.raises(ModeratorUnavailable, match="APIConnectionError"):
            await moderator.read(["a fox"], "guild:a")
