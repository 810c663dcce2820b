from __future__ import annotations

import asyncio
from types import SimpleNamespace

import aiohttp
import discord
import pytest

from bot.discord.errors import refusal, translated
from inference.errors import DeliveryError


def answer(status: int, code: int = 0, **headers: str) -> discord.HTTPException:
    response = SimpleNamespace(status=status, reason="", headers=headers)
    return discord.HTTPException(response, {"code": code, "message": "no"})


@pytest.mark.parametrize(
    ("status", "code", "meant", "transient"),
    [
        (413, 40005, "delivery.too_large", False),
        (400, 40005, "delivery.too_large", False),
        (429, 30046, "delivery.closed", False),
        (429, 0, "delivery.busy", True),
        (500, 0, "delivery.unreachable", True),
        (503, 0, "delivery.unreachable", True),
        (401, 0, "delivery.unreachable", True),
        (403, 50001, "delivery.closed", False),
        (403, 50013, "delivery.closed", False),
        (403, 50007, "delivery.closed", False),
        (404, 10003, "delivery.closed", False),
        (404, 10008, "delivery.closed", False),
        (400, 200000, "delivery.closed", False),
    ],
)
def test_every_refusal_is_either_for_later_or_final(status, code, meant, transient):
    error = refusal(answer(status, code))
    assert (error.code, error.transient) == (meant, transient)


def test_the_wait_that_discord_asks_for_is_kept():
    assert refusal(answer(429, **{"Retry-After": "1.5"})).retry_after == 1.5


@pytest.mark.parametrize(
    "lost", [aiohttp.ServerDisconnectedError(), ConnectionResetError(), TimeoutError()]
)
def test_no_answer_is_for_later(lost):
    with pytest.raises(DeliveryError) as caught, translated():
        raise lost
    assert caught.value.transient


def test_a_long_rate_limit_is_the_outboxs_business():
    with pytest.raises(DeliveryError) as caught, translated():
        raise discord.RateLimited(42.0)
    assert (caught.value.transient, caught.value.retry_after) == (True, 42.0)


def test_being_cancelled_passes():
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError
