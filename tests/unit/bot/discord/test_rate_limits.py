"""Rate limits as a loopback Discord announces them: nothing waits while requests remain."""

from __future__ import annotations

import asyncio
import io

import discord
import pytest
from discord.http import Route

from bot.config.sections import DiscordSection
from bot.discord.connection import log_in
from bot.discord.rate_limits import patience, sane_wait
from tests.fakes.discord import LoopbackDiscord

MESSAGES = "/channels/{channel_id}/messages"
THREADS = MESSAGES + "/{message_id}/threads"


@pytest.fixture
async def place():
    async with LoopbackDiscord() as place:
        yield place


@pytest.fixture
def general(place):
    return place.add_channel(place.add_guild("studio"), "general")


@pytest.fixture
async def client(place, monkeypatch):
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    section = DiscordSection(api_base_url=place.api_url)
    async with log_in(section, place.token) as client:
        yield client


async def say(client, channel, text="hello", **more):
    return await client.get_partial_messageable(channel.id).send(text, **more)


async def open_thread(client, message):
    return await client.http.start_thread_with_message(
        message.channel.id, message.id, name="a fox", auto_archive_duration=60
    )


async def under_way(trouble):
    """Wait until a request has run into a trouble."""
    async with asyncio.timeout(180):
        while trouble.left:  # noqa: ASYNC110 - a trouble tells nobody
            await asyncio.sleep(0.01)


def statuses(place):
    return {seen.status for seen in place.witness.requests}


async def test_a_long_window_holds_nothing_back_while_requests_remain(place, general, client):
    place.api.limits.buckets["POST", THREADS] = (3, 300.0)
    place.api.limits.buckets["POST", MESSAGES] = (50, 300.0)
    messages = [await say(client, general) for _ in range(4)]

    for message in messages[:3]:
        await open_thread(client, message)
    with pytest.raises(discord.RateLimited) as refused:
        await open_thread(client, messages[3])

    assert 290 < refused.value.retry_after <= 300
    assert 429 not in statuses(place)


async def test_a_limit_whose_mark_a_proxy_took_off_holds_up_nothing_else(place, general, client):
    other = place.add_channel(general.guild, "other")
    place.trouble("POST .*/messages$", retry_after=300.0, stripped=True)

    with pytest.raises(discord.RateLimited) as refused:
        await say(client, general)

    assert refused.value.retry_after == 300.0
    with patience(1.0):
        await say(client, other)


async def test_the_request_that_empties_a_bucket_returns_at_once(place, general, client):
    place.api.limits.buckets["POST", MESSAGES] = (1, 25.0)
    async with asyncio.timeout(180):
        await say(client, general)


async def test_a_burst_uses_the_whole_bucket_and_not_more(place, general, client):
    place.api.limits.buckets["POST", MESSAGES] = (10, 300.0)
    with patience(5):
        sent = await asyncio.gather(
            *(say(client, general, str(number)) for number in range(14)), return_exceptions=True
        )

    refused = [each for each in sent if isinstance(each, discord.RateLimited)]
    assert (len(sent) - len(refused), len(refused)) == (10, 4)
    assert 429 not in statuses(place)


async def test_channels_do_not_wait_for_each_other(place, general, client):
    place.api.limits.buckets["POST", MESSAGES] = (2, 300.0)
    other = place.add_channel(general.guild, "other")
    for channel in (general, general, other, other):
        await say(client, channel)
    for channel in (general, other):
        with pytest.raises(discord.RateLimited):
            await say(client, channel)


async def test_a_window_that_ends_opens_the_bucket_again(place, general, client):
    place.api.limits.buckets["POST", MESSAGES] = (2, 0.4)
    for number in range(7):
        await say(client, general, str(number))
    assert 429 not in statuses(place)


async def test_a_short_wait_is_waited_and_a_long_one_is_told(place, general, client):
    place.trouble(r"POST /channels/\d+/messages", retry_after=0.05)
    await say(client, general)
    place.trouble(r"POST /channels/\d+/messages", retry_after=45.0)
    with pytest.raises(discord.RateLimited) as refused:
        await say(client, general)
    assert 44 < refused.value.retry_after <= 45


async def test_after_a_429_the_bucket_is_left_alone(place, general, client):
    place.trouble(r"POST /channels/\d+/messages", retry_after=45.0)
    for _ in range(3):
        with pytest.raises(discord.RateLimited):
            await say(client, general)
    assert [seen.status for seen in place.witness.requests if seen.method == "POST"] == [429]


async def test_a_global_limit_stops_every_bucket_and_then_none(place, general, client):
    other = place.add_channel(general.guild, "other")
    place.trouble(r"POST /channels/\d+/messages", retry_after=0.6, scope="global")
    with patience(0.1):
        for channel in (general, other):
            with pytest.raises(discord.RateLimited):
                await say(client, channel)
    await say(client, other)
    assert [seen.status for seen in place.witness.requests if seen.method == "POST"] == [429, 200]


async def test_a_finer_limit_stops_only_its_message(place, general, client):
    old, new = await say(client, general), await say(client, general)
    place.trouble(rf"PATCH .*/{old.id}$", retry_after=45.0, code=30046)
    with pytest.raises(discord.RateLimited):
        await old.edit(content="changed")
    await new.edit(content="changed")


async def test_an_upload_that_is_told_to_wait_is_sent_whole(place, general, client):
    place.trouble(r"POST /channels/\d+/messages", retry_after=0.05, times=2)
    sent = await say(client, general, file=discord.File(io.BytesIO(b"clip" * 1000), "clip.mp4"))
    [message] = place.witness.messages
    assert (message.id, message.files[0].data) == (sent.id, b"clip" * 1000)


async def test_a_hung_upload_does_not_hold_its_channel(place, general, client):
    trouble = place.trouble(r"POST /channels/\d+/messages", slow_seconds=60.0)
    hung = asyncio.create_task(say(client, general, "hung"))
    await under_way(trouble)
    async with asyncio.timeout(180):
        await say(client, general, "next")
    hung.cancel()


async def test_a_request_that_is_cancelled_gives_its_place_back(place, general, client):
    place.api.limits.buckets["POST", MESSAGES] = (2, 300.0)
    trouble = place.trouble(r"POST /channels/\d+/messages", slow_seconds=60.0)
    hung = asyncio.create_task(say(client, general, "hung"))
    await under_way(trouble)
    hung.cancel()
    await asyncio.wait({hung})
    await say(client, general)
    await say(client, general)


@pytest.mark.parametrize("number", ["nan", "soon"])
async def test_a_header_that_is_no_number_loses_no_answer(place, general, client, number):
    pass_by = place.api.limits.pass_by

    def broken(*request, **more):
        verdict = pass_by(*request, **more)
        for name in ("Limit", "Remaining", "Reset", "Reset-After"):
            verdict.headers[f"X-RateLimit-{name}"] = number
        return verdict

    place.api.limits.pass_by = broken
    with patience(10):
        assert await say(client, general, "first")
        assert await say(client, general, "second")


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), -1.0, 1e12, "soon", None])
def test_a_wait_that_is_no_time_is_short(wait):
    assert 0 <= sane_wait(wait) <= 3600
