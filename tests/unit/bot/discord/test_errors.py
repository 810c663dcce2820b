from __future__ import annotations

import asyncio
from types import SimpleNamespace

import aiohttp
import discord
import pytest

from bot.discord.errors import refusal, refuses_words, translate_errors
from inference.domain.errors import DeliveryError
from tests.fakes.orders import a_job

CLIENT = SimpleNamespace(get_guild=lambda _: None)
JOB = a_job(
    address={"channel": 7, "user": 1, "application": 2, "interaction": 3, "token": "secret"}
)


def answer(status: int, code: int = 0, errors=None, **headers: str) -> discord.HTTPException:
    response = SimpleNamespace(status=status, reason="", headers=headers)
    return discord.HTTPException(response, {"code": code, "message": "no", "errors": errors})


@pytest.mark.parametrize(
    ("status", "code", "meant", "when"),
    [
        (413, 40005, "delivery.too_large", "never"),
        (400, 40005, "delivery.too_large", "never"),
        (429, 30046, "delivery.busy", "later"),
        (429, 0, "delivery.busy", "later"),
        (500, 0, "delivery.unreachable", "later"),
        (503, 0, "delivery.unreachable", "later"),
        (503, 130000, "delivery.unreachable", "later"),
        (401, 0, "delivery.unreachable", "later"),
        (403, 0, "delivery.closed", "passing"),
        (403, 50001, "delivery.closed", "passing"),
        (403, 50013, "delivery.closed", "passing"),
        (403, 40058, "delivery.closed", "passing"),
        (400, 50083, "delivery.closed", "passing"),
        (400, 160005, "delivery.closed", "passing"),
        (400, 160006, "delivery.closed", "passing"),
        (404, 0, "delivery.closed", "passing"),
        (403, 50007, "delivery.closed", "never"),
        (404, 10003, "delivery.closed", "never"),
        (404, 10004, "delivery.closed", "never"),
        (404, 10008, "delivery.closed", "never"),
        (400, 200000, "delivery.closed", "never"),
        (400, 50035, "delivery.closed", "never"),
    ],
)
def test_every_refusal_is_for_later_for_a_while_or_final(status, code, meant, when):
    error = refusal(answer(status, code))
    assert (error.code, error.transient, error.passing) == (
        meant,
        when == "later",
        when == "passing",
    )


@pytest.mark.parametrize(
    ("code", "errors", "words"),
    [
        (200000, None, True),
        (200001, None, True),
        (240000, None, True),
        (20009, None, True),
        (50035, {"name": {"_errors": [{"code": "X", "message": "no"}]}}, True),
        (50035, {"embeds": {"0": {"title": {"_errors": [{"message": "no"}]}}}}, True),
        (50035, {"nonce": {"_errors": [{"message": "no"}]}}, False),
        (50035, None, True),
        (50013, None, False),
    ],
)
def test_words_that_are_refused_are_told_from_other_refusals(code, errors, words):
    assert refuses_words(answer(400, code, errors)) is words


def test_only_an_answer_says_that_a_message_was_not_taken():
    assert refusal(answer(403, 50013)).unsent
    assert refusal(answer(429)).unsent
    assert not refusal(answer(502)).unsent


def test_the_wait_that_discord_asks_for_is_kept():
    assert refusal(answer(429, **{"Retry-After": "1.5"})).retry_after == 1.5


@pytest.mark.parametrize(
    "lost", [aiohttp.ServerDisconnectedError(), ConnectionResetError(), TimeoutError()]
)
def test_no_answer_is_for_later(lost):
    with pytest.raises(DeliveryError) as caught, translate_errors(CLIENT, JOB):
        raise lost
    assert caught.value.transient


def test_a_long_rate_limit_is_the_outboxs_business():
    with pytest.raises(DeliveryError) as caught, translate_errors(CLIENT, JOB):
        raise discord.RateLimited(42.0)
    assert (caught.value.transient, caught.value.retry_after) == (True, 42.0)


def test_being_cancelled_passes():
    with pytest.raises(asyncio.CancelledError), translate_errors(CLIENT, JOB):
        raise asyncio.CancelledError
