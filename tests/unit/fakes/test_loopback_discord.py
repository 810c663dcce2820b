"""A plain discord.py client against the loopback Discord: it works, and it is refused."""

import asyncio
import io
import re

import aiohttp
import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.fakes.discord import CannotAsk, ChannelKind, File, LoopbackDiscord, Permission
from tests.fakes.discord.rate_limits import THREAD_ROUTES, RateLimits
from tests.fakes.discord.rest_messages import OLD_EDITS
from tests.unit.fakes.discord_client import Installation, card_of, channel_for, refused

PNG = File(name="fox.png", data=b"not really a picture", content_type="image/png")


@pytest.fixture
async def place(monkeypatch):
    """A Discord with one guild."""
    async with LoopbackDiscord() as place:
        monkeypatch.setattr(Route, "BASE", place.api_url)
        monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(place.gateway_url))
        yield place
        assert place.api.slips == []


@pytest.fixture
def guild(place):
    return place.add_guild("studio")


@pytest.fixture
def general(place, guild):
    return place.add_channel(guild, "general")


@pytest.fixture
def alice(place, guild):
    return place.add_person("alice", guild)


@pytest.fixture
async def bot(place, general, alice):
    """The small bot, connected."""
    async with Installation() as bot:
        running = asyncio.create_task(bot.start(place.token))
        await place.bot_ready()
        await bot.wait_until_ready()
        yield bot
        await bot.close()
        await running


async def test_a_slash_command_is_answered_and_the_answer_is_witnessed(place, bot, alice, general):
    interaction = alice.slash(general, "generate", prompt="a red fox", aspect="9:16", image=PNG)
    card = await interaction.response()
    assert card.content.startswith("a red fox 9:16 http")
    assert interaction.latency > 0
    assert place.witness.in_channel(general) == [card]
    assert place.violations == []


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("generate", {}),
        ("generate", {"prompt": "x" * 21}),
        ("generate", {"prompt": "a", "aspect": "2:1"}),
        ("generate", {"prompt": "a", "colour": "red"}),
        ("generate", {"prompt": 7}),
        ("degenerate", {}),
        ("generate now", {"prompt": "a"}),
    ],
)
async def test_the_client_of_a_person_offers_only_what_is_registered(
    bot, alice, general, command, options
):
    with pytest.raises(CannotAsk):
        alice.slash(general, command, **options)


async def test_suggestions_arrive_while_typing(bot, alice, general):
    typing = alice.complete(general, "generate", "model", "nan", prompt="a")
    await typing.acknowledged()
    assert [choice["value"] for choice in typing.choices] == ["nano"]


async def test_a_button_opens_a_form_and_the_form_is_answered_to_one_person_only(
    place, bot, alice, general, guild
):
    card = await card_of(alice, general)
    shown = alice.click(card, "Edit")
    assert list((await shown.form()).fields) == ["Prompt"]
    answer = await alice.submit(shown, prompt="a blue fox").response()
    assert answer.content == "now a blue fox"
    assert place.witness.shown_to(alice.user) == [answer]
    assert place.witness.in_channel(general) == [card]
    with pytest.raises(CannotAsk):
        place.add_person("bob", guild).click(answer, "Edit")


async def test_a_button_changes_its_message(bot, alice, general):
    card = await card_of(alice, general)
    await alice.click(card, "Cancel").acknowledged()
    assert [state.content for state in card.states][1:] == ["cancelled"]
    with pytest.raises(CannotAsk):
        alice.click(card, "Cancel")


async def test_a_message_menu_brings_the_message(bot, alice, general):
    said = alice.say(general, "look", PNG)
    answer = await alice.context_menu(said, "Animate").response()
    assert answer.content == "fox.png"


async def test_a_deferred_answer_is_filled_in_later(bot, alice, general):
    interaction = alice.slash(general, "later")
    await interaction.acknowledged()
    assert interaction.original.loading
    asked = await bot.asked.get()
    await asked.followup.send("here")
    assert (await interaction.response()).content == "here"
    assert interaction.followups == []


async def test_a_clip_in_a_thread_pings_the_requester_only(place, bot, alice, general):
    card = await card_of(alice, general)
    assert not card.pings
    message = await channel_for(bot, general).fetch_message(card.id)
    thread = await message.create_thread(name="a red fox")
    assert thread.id == card.id
    clip = await thread.send(
        f"{alice.mention} <@1> @everyone",
        file=discord.File(io.BytesIO(b"film"), "fox.mp4"),
        allowed_mentions=discord.AllowedMentions(users=[discord.Object(alice.id)]),
    )
    [seen] = place.witness.in_channel(card.thread)
    assert [file.data for file in seen.files] == [b"film"]
    assert seen.pings == {alice.id}
    assert place.witness.pings(alice.user) == [seen]
    async with aiohttp.ClientSession() as web:
        async with web.get(clip.attachments[0].url) as answer:
            assert await answer.read() == b"film"
        place.clock.advance(48 * 3600)
        async with web.get(clip.attachments[0].url) as answer:
            assert answer.status == 404
    fresh = await thread.fetch_message(clip.id)
    assert await fresh.attachments[0].read() == b"film"


async def test_an_edit_keeps_what_it_lists_and_notifies_nobody(place, bot, alice, general):
    messageable = channel_for(bot, general)
    message = await messageable.send("one", file=discord.File(io.BytesIO(b"1"), "1.png"))
    mentions = discord.AllowedMentions(users=True)
    more = discord.File(io.BytesIO(b"2"), "2.png")
    await message.edit(
        content=alice.mention, attachments=[*message.attachments, more], allowed_mentions=mentions
    )
    [seen] = place.witness.messages
    assert [file.name for file in seen.files] == ["1.png", "2.png"]
    assert (seen.pings, [user.id for user in seen.mentions]) == (set(), [alice.id])
    await message.edit(attachments=[])
    assert seen.files == []


async def test_what_has_limits_is_refused_beyond_them(place, bot, alice, general):
    place.api.limits.on = False
    messageable = channel_for(bot, general)
    message = await messageable.send("x" * 2000)
    await refused(50035, messageable.send("x" * 2001))
    await refused(50006, messageable.send(""))
    long = [discord.Embed(description="x" * 4000), discord.Embed(description="x" * 2001)]
    await refused(50035, messageable.send(embeds=long))
    lost = discord.Embed().set_image(url="attachment://lost.png")
    await refused(50035, messageable.send(embed=lost))
    thread = Route(
        "POST",
        "/channels/{channel_id}/messages/{message_id}/threads",
        channel_id=general.id,
        message_id=message.id,
    )
    await refused(50035, bot.http.request(thread, json={"name": "x" * 101}))
    form = {"name": "x", "auto_archive_duration": 61}
    await refused(50035, bot.http.request(thread, json=form))
    await bot.http.request(thread, json={"name": "x"})
    await refused(160004, bot.http.request(thread, json={"name": "x"}))
    commands = Route(
        "PUT", "/applications/{application_id}/commands", application_id=place.world.application_id
    )
    shouted = [{"name": "Generate", "description": "Make a clip", "type": 1}]
    await refused(50035, bot.http.request(commands, json=shouted))
    assert len(place.violations) == 6


async def test_files_are_refused_by_the_limit_of_their_place(place, bot, general):
    boosted = place.add_channel(place.add_guild("boosted", boost_tier=2))
    large = b"x" * (10 * 2**20 + 1)
    await refused(
        40005, channel_for(bot, general).send(file=discord.File(io.BytesIO(large), "a.mp4"))
    )
    await channel_for(bot, boosted).send(file=discord.File(io.BytesIO(large), "a.mp4"))
    assert place.violations == []


async def test_the_same_nonce_is_the_same_message_for_some_minutes(place, bot, general):
    messageable = channel_for(bot, general)
    route = Route("POST", "/channels/{channel_id}/messages", channel_id=general.id)
    form = {"content": "clip", "nonce": "job:clip", "enforce_nonce": True}
    first = await bot.http.request(route, json=form)
    assert (await bot.http.request(route, json=form))["id"] == first["id"]
    assert [message.id async for message in messageable.history()] == [int(first["id"])]
    place.clock.advance(3600)
    assert (await bot.http.request(route, json=form))["id"] != first["id"]


async def test_permissions_are_those_of_the_place(place, bot, guild, alice, general):
    messageable = channel_for(bot, general)
    message = await messageable.send("hello")
    general.deny(place.world.bot, Permission.ATTACH_FILES, Permission.CREATE_PUBLIC_THREADS)
    await refused(50013, messageable.send(file=discord.File(io.BytesIO(b"x"), "x.png")))
    await refused(50013, message.create_thread(name="x"))
    general.deny(guild.everyone, Permission.VIEW_CHANNEL)
    await refused(50001, messageable.send("hello"))
    with pytest.raises(CannotAsk):
        alice.slash(general, "generate", prompt="a")
    await refused(10003, bot.get_partial_messageable(1).send("hello"))
    forum = place.add_channel(guild, "ideas", ChannelKind.FORUM)
    await refused(50008, channel_for(bot, forum).send("hello"))
    alice.user.accepts_direct_messages = False
    await refused(50007, channel_for(bot, alice.direct).send("hello"))
    place.world.remove_bot(guild)
    await refused(50001, messageable.send("hello"))
    assert place.violations == []


async def test_an_answer_in_time_counts_and_a_late_or_second_one_does_not(
    place, bot, alice, general
):
    missed = alice.slash(general, "never")
    asked = await bot.asked.get()
    place.clock.advance(4)
    assert missed.failed
    await refused(10062, asked.response.send_message("late"))
    card = alice.slash(general, "generate", prompt="a")
    await card.response()
    asked = await bot.asked.get()
    asked.response._response_type = None  # else the library itself says no
    await refused(40060, asked.response.send_message("again"))
    await asked.edit_original_response(content="still here")
    place.clock.advance(16 * 60)
    await refused(50027, asked.edit_original_response(content="too late"))
    await (await channel_for(bot, general).fetch_message(card.original.id)).edit(content="here")
    assert [state.content for state in card.original.states][1:] == ["still here", "here"]
    assert len(place.witness.dead_token_uses) == 3


async def test_events_missed_during_a_drop_are_handed_over_after_the_resume(
    place, bot, alice, general
):
    for how in (place.gateway.drop, place.gateway.ask_to_reconnect):
        resumes = place.gateway.resumes
        how()
        interaction = alice.slash(general, "generate", prompt="a")
        await interaction.response()
        assert place.gateway.resumes == resumes + 1
    assert place.gateway.identifies == 1


async def test_an_invalid_session_begins_anew(place, bot, alice, general):
    place.gateway.invalidate()
    await place.until(lambda: place.gateway.identifies == 2 and place.gateway.ready)
    await card_of(alice, general)


async def test_privileged_intents_are_refused(place, general):
    async with discord.Client(intents=discord.Intents.all()) as greedy:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await greedy.start(place.token)
    assert place.gateway.closes == [4014]


async def test_a_wrong_token_is_refused(place):
    async with discord.Client(intents=discord.Intents.none()) as stranger:
        with pytest.raises(discord.LoginFailure):
            await stranger.start("wrong")


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    "what",
    [
        {"retry_after": 0.05},
        {"retry_after": 0.05, "scope": "global"},
        {"retry_after": 0.05, "code": 30046},
        {"status": 502},
        {"status": 500},
        {"slow_seconds": 0.05},
    ],
    ids=str,
)
async def test_the_library_gets_through_passing_troubles(place, bot, general, what):
    trouble = place.trouble(r"POST /channels/\d+/messages", **what)
    await channel_for(bot, general).send("hello")
    assert trouble.left == 0
    assert [message.content for message in place.witness.messages] == ["hello"]


async def test_rate_limits_are_announced_and_obeyed(place, bot, general):
    place.api.limits.buckets["POST", "/channels/{channel_id}/messages"] = (2, 0.4)
    started = asyncio.get_running_loop().time()
    for number in range(5):
        await channel_for(bot, general).send(str(number))
    assert asyncio.get_running_loop().time() - started > 0.8
    assert 429 not in {seen.status for seen in place.witness.requests}


async def test_an_answer_can_be_lost_after_the_post_was_taken(place, bot, general):
    place.trouble(r"POST /channels/\d+/messages", reset=True, taken=True)
    with pytest.raises((OSError, aiohttp.ClientError)):
        await channel_for(bot, general).send("hello")
    assert [message.content for message in place.witness.messages] == ["hello"]


async def test_edits_that_nobody_can_read_are_noticed(place, bot, general):
    place.api.limits.on = False
    message = await channel_for(bot, general).send("0")
    for number in range(1, 11):
        await message.edit(content=str(number))
    assert len(place.witness.silly_edits) == 1


async def test_a_client_that_wants_no_compression_gets_none(place):
    async with (
        aiohttp.ClientSession() as web,
        web.ws_connect(place.gateway_url + "?v=10&encoding=json") as socket,
    ):
        assert (await socket.receive_json())["op"] == 10
        await socket.send_json({"op": 2, "d": {"token": "wrong", "intents": 0}})
        assert (await socket.receive()).data == 4004


async def test_a_reply_in_a_forum_begins_with_a_post(place, bot, guild):
    forum = place.add_channel(guild, "ideas", ChannelKind.FORUM)
    route = Route("POST", "/channels/{channel_id}/threads", channel_id=forum.id)
    await refused(50035, bot.http.request(route, json={"name": "clips"}))
    form = {"name": "clips", "message": {"content": "hello"}}
    post = await bot.http.request(route, json=form)
    assert [message.content for message in place.witness.messages] == ["hello"]
    assert place.witness.messages[0].channel.id == int(post["id"])


async def test_an_archived_thread_takes_posts_but_no_edits(place, bot, alice, general):
    thread = place.thread_of(alice, general, "old")
    sent = await channel_for(bot, thread).send("hello")
    thread.archived = True
    await refused(50083, sent.edit(content="changed"))
    await channel_for(bot, thread).send("again")
    assert not thread.archived
    thread.archived = thread.locked = True
    await refused(50013, channel_for(bot, thread).send("once more"))


async def test_a_deleted_channel_takes_its_threads_along(place, bot, alice, general):
    card = await card_of(alice, general)
    thread = place.thread_of(alice, general, "here")
    place.world.delete_channel(general)
    for channel in (general, thread):
        await refused(10003, bot.get_partial_messageable(channel.id).send("hello"))
    assert place.witness.messages == []
    with pytest.raises(CannotAsk):
        alice.click(card, "Edit")


@pytest.mark.parametrize("name", ["###", "ordered 1488 of them"])
async def test_names_of_threads_are_refused_by_their_words(place, bot, general, name):
    message = await channel_for(bot, general).send("hello")
    await refused(50035, message.create_thread(name=name))
    assert (await message.create_thread(name="a fox")).id == message.id
    assert place.violations == []


async def test_words_are_refused_with_the_code_of_who_refuses_them(place, bot, general):
    place.world.words_refused = {re.compile("spam"): 200000}
    message = await channel_for(bot, general).send("hello")
    await refused(200000, channel_for(bot, general).send("spam"))
    await refused(200000, message.edit(content="spam"))


async def test_a_server_has_so_many_active_threads_and_no_more(place, bot, guild, general):
    guild.max_active_threads = 1
    first, second = [await channel_for(bot, general).send(text) for text in "ab"]
    thread = await first.create_thread(name="first")
    await refused(160006, second.create_thread(name="second"))
    await thread.edit(archived=True)
    await second.create_thread(name="second")


async def test_a_bot_that_is_timed_out_reads_and_writes_nothing(place, bot, guild, general):
    message = await channel_for(bot, general).send("hello")
    place.world.time_out(guild)
    channel = channel_for(bot, general)
    for doing in (channel.send("more"), message.edit(content="more"), message.delete()):
        await refused(50013, doing)
    await refused(50013, message.create_thread(name="a fox"))
    assert (await channel.fetch_message(message.id)).content == "hello"
    place.world.time_out(guild, over=True)
    await message.edit(content="more")


async def test_voice_channels_are_read_by_those_who_may_connect(place, bot, guild):
    stage = place.add_channel(guild, "stage", ChannelKind.VOICE)
    message = await bot.get_partial_messageable(stage.id).send("hello")
    for role in guild.roles:
        stage.deny(role, Permission.CONNECT)
    await bot.get_partial_messageable(stage.id).send("still")
    await refused(50001, bot.get_partial_messageable(stage.id).fetch_message(message.id))
    with pytest.raises(discord.Forbidden):
        [each async for each in bot.get_partial_messageable(stage.id).history()]


async def test_old_messages_are_edited_a_few_times_only(place, bot, general):
    place.api.limits.on = False
    message = await channel_for(bot, general).send("0")
    place.clock.advance(2 * 3600)
    bot.http.max_ratelimit_timeout = 30.0
    for number in range(OLD_EDITS[0]):
        await message.edit(content=f"{number + 1}")
    with pytest.raises(discord.RateLimited) as limited:
        await message.edit(content="once more")
    assert limited.value.retry_after > 3000


def test_each_channel_has_fifty_new_threads_in_five_minutes():
    limits = RateLimits()

    def opened(channel):
        path = {"channel_id": channel, "message_id": "1"}
        return limits.pass_by(*THREAD_ROUTES[0], path, counts_globally=False)

    verdicts = [opened("1") for _ in range(51)]
    assert [verdict.headers["X-RateLimit-Remaining"] for verdict in verdicts[:2]] == ["49", "48"]
    assert 299 < float(verdicts[0].headers["X-RateLimit-Reset-After"]) <= 300
    assert [verdict.wait > 0 for verdict in verdicts] == [*[False] * 50, True]
    assert not opened("2").wait
    assert opened("2").headers["X-RateLimit-Bucket"] == verdicts[0].headers["X-RateLimit-Bucket"]
