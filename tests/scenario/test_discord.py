"""Discord as people meet it: the real bot against a Discord on loopback."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from bot.discord.inbound import answers
from inference.domain.errors import UserError
from tests.fakes.discord import ChannelKind, File, Permission
from tests.scenario.discord_studio import SECONDS, eventually, installation
from tests.scenario.discord_verdict import stem

pytestmark = pytest.mark.process

FOX = "a red fox running through snow"
SHORT = f"{FOX} --res 360p --frames 49"


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False  # where they matter, a test turns them on
        yield place


def picture() -> File:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(data, "PNG")
    return File(name="fox.png", data=data.getvalue(), content_type="image/png")


async def prefilled(interaction) -> dict[str, str]:
    fields = (await interaction.form()).fields.values()
    return {field["custom_id"]: field.get("value", "") for field in fields}


async def text_of(interaction) -> str:
    return (await interaction.response()).text


@pytest.mark.tour
async def test_a_command_becomes_a_card_then_a_clip_in_its_thread_with_one_ping(place):
    place.discord.api.limits.on = True
    async with place.bot():
        asked = place.alice.slash(place.general, "generate", prompt=f"{SHORT} --seed 7")
        card = await asked.response()
        assert FOX in card.text
        clip = await place.clip(card)
        await place.done(card)
    assert card.thread.name == FOX
    [link] = [button for button in card.buttons if "url" in button]
    assert link["url"].endswith(f"/{card.thread.id}/{clip.id}")
    assert [file.name for file in card.files] == ["preview.jpg"]
    assert place.discord.witness.pings(place.alice.user) == [clip]
    assert clip.files[0].data[4:8] == b"ftyp"
    assert f"**\u2068{FOX}\u2069**" in clip.text
    assert [button["label"] for button in clip.buttons] == ["Reroll", "Edit", "Extend", "Info"]


@pytest.mark.slow
async def test_where_layouts_are_refused_cards_are_embeds(place):
    place.discord.world.layouts_refused = True
    async with place.bot(step_seconds=0.1):
        card = await place.alice.slash(place.general, "generate", prompt=SHORT).response()
        assert FOX in card.embeds[0]["title"]
        clip = await place.clip(card)
        place.discord.world.layouts_refused = False  # what is posted keeps its form
        await place.done(card)
    assert card.thread.mention in card.embeds[0]["description"]
    assert [file.name for file in card.files] == ["preview.jpg"]
    assert place.discord.witness.pings(place.alice.user) == [clip]


async def test_buttons_forms_and_menus_work_on_old_messages_after_a_restart(place):
    alice = place.alice
    async with place.bot():
        card = await alice.slash(place.general, "generate", prompt=SHORT).response()
        clip = await place.clip(card)
        opened = alice.click(clip, "Edit")
        assert (await prefilled(opened))["prompt"] == FOX
        photo = alice.say(place.general, "look", picture())
        animating = alice.context_menu(photo, "Animate this image")
        await animating.form()
    async with place.bot():
        assert "seed" in await text_of(alice.click(clip, "Info"))
        again = await alice.click(clip, "Reroll").response()
        assert again.channel is card.thread
        edited = await alice.submit(opened, prompt="a blue fox").response()
        assert "a blue fox" in edited.text
        animated = await alice.submit(
            animating, prompt="it blinks --res 360p --frames 49"
        ).response()
        assert animated.channel is place.general
        reused = alice.context_menu(clip, "Use these settings")
        assert (await prefilled(reused))["prompt"] == FOX
        nothing = alice.context_menu(photo, "Use these settings")
        assert "not one of my clips" in await text_of(nothing)
        await place.clip(animated)
        for more in (again, edited):
            await place.done(more)
        assert len(place.discord.witness.in_channel(card.thread)) == 5
        job = stem(clip)
        mallory = place.discord.add_person("mallory", place.guild)
        refused = await mallory.choose(clip, f"v1:more:{job}", f"v1:delete:{job}").response()
        assert (refused.visible_to, refused.buttons) == (mallory.user, [])
        assert "Alice" in refused.text
        asking = await alice.choose(clip, f"v1:more:{job}", f"v1:delete:{job}").response()
        assert asking.visible_to is alice.user
        await alice.click(asking, "Delete").response()
        await place.discord.until(lambda: clip.deleted, SECONDS, "clip taken back")


@pytest.mark.parametrize("patience", [60.0, 0.0])
async def test_the_answer_takes_the_place_of_the_question_and_its_button(
    place, monkeypatch, patience
):
    monkeypatch.setattr(answers, "PROMPT_SECONDS", patience)
    async with place.bot():
        alice = place.alice
        card = await alice.slash(place.general, "generate", prompt=SHORT).response()
        clip = await place.clip(card)
        menu = f"v1:more:{stem(clip)}", f"v1:delete:{stem(clip)}"
        first = await alice.choose(clip, *menu).response()
        second = await alice.choose(clip, *menu).response()
        for question, said in ((first, "Deleted job"), (second, "nothing left to delete")):
            assert await alice.click(question, "Delete").response() is question
            await place.discord.until(lambda shown=question: not shown.buttons, SECONDS, "answer")
            assert question.visible_to is alice.user
            assert said.casefold() in question.text.casefold()


async def test_what_is_private_is_shown_to_who_asked_only(place):
    async with place.bot(step_seconds=30.0):  # nobody is too late to cancel
        alice, discord = place.alice, place.discord
        card = await alice.slash(place.general, "image", prompt=FOX).response()
        job = card.buttons[0]["custom_id"].rpartition(":")[2]
        queue = await alice.slash(place.general, "rushes queue").response()
        assert queue.visible_to is alice.user
        typed = alice.complete(place.general, "rushes status", "job", "fox")
        await typed.acknowledged()
        assert [choice["value"] for choice in typed.choices] == [job]
        stranger = discord.add_person("mallory", place.guild)
        refused = await stranger.click(card, "Cancel").response()
        assert refused.visible_to is stranger.user
        assert "Alice" in refused.text
        cancelled = await alice.click(card, "Cancel").response()
        assert cancelled.visible_to is alice.user
        await discord.until(lambda: "Cancelled" in card.text, SECONDS, "card cancelled")
    assert discord.witness.in_channel(place.general) == [card]


async def test_where_the_bot_may_not_bring_a_result_it_says_so_and_queues_nothing(place):
    async with place.bot():
        place.general.deny(place.guild.everyone, Permission.CREATE_PUBLIC_THREADS)
        place.general.deny(place.guild.roles[1], Permission.CREATE_PUBLIC_THREADS)
        place.discord.world.changed(place.general)
        refused = await place.alice.slash(place.general, "generate", prompt=FOX).response()
        assert refused.visible_to is place.alice.user
        assert "“Create Public Threads”" in refused.text
        assert "#general" in refused.text
        queue = await place.alice.slash(place.general, "rushes queue").response()
        assert FOX not in queue.text


async def test_every_kind_of_channel_gets_its_clip_where_it_belongs(place):
    discord, alice = place.discord, place.alice
    channels = [
        discord.add_channel(place.guild, "stage", ChannelKind.VOICE),
        discord.add_channel(place.guild, "news", ChannelKind.ANNOUNCEMENT),
        discord.thread_of(alice, place.general, "ideas"),
        alice.direct,
    ]
    async with place.bot():
        cards = [await alice.slash(channel, "image", prompt=FOX).response() for channel in channels]
        for card, channel in zip(cards, channels, strict=True):
            await place.done(card)
            assert card.channel is channel
    came = sorted(clip.channel.id for clip in discord.witness.pings(alice.user))
    assert came == sorted((card.thread or card.channel).id for card in cards)
    assert [card.thread is not None for card in cards] == [False, True, False, False]


async def test_an_answer_that_was_lost_on_the_way_is_found_again(place):
    place.discord.trouble(r"POST /interactions/.*callback", times=2, reset=True, taken=True)
    async with place.bot():
        asked = place.alice.slash(place.general, "image", prompt=FOX)
        card = await asked.response()
        await place.done(card)
    assert place.discord.witness.in_channel(place.general) == [card]


@pytest.mark.slow
async def test_a_request_that_could_not_be_answered_still_gets_its_card_and_clip(place):
    place.discord.trouble(r"POST /interactions/.*callback", times=1, status=404, code=10062)
    async with place.bot():
        place.alice.slash(place.general, "image", prompt=FOX)
        shown = place.discord.witness.in_channel
        await place.discord.until(lambda: shown(place.general), SECONDS, "card")
        [card] = shown(place.general)
        await place.done(card)
    assert shown(place.general) == [card]


async def test_a_clip_is_posted_once_whatever_becomes_of_the_request(place):
    posting = r"POST /channels/\d+/messages$"
    place.discord.trouble(posting, times=1, reset=True, taken=True)
    place.discord.trouble(r"POST /channels/.*threads", times=1, reset=True, taken=True)
    async with place.bot():
        card = await place.alice.slash(place.general, "image", prompt=FOX).response()
        clip = await place.clip(card)
        await place.done(card)
    assert place.discord.witness.in_channel(card.thread) == [clip]


@pytest.mark.slow
async def test_a_file_that_is_too_large_comes_smaller(place):
    trouble = place.discord.trouble(
        r"POST /channels/\d+/messages$", times=9, status=413, code=40005, larger_than=30_000
    )
    async with place.bot():
        card = await place.alice.slash(place.general, "generate", prompt=SHORT).response()
        clip = await place.clip(card)
        await place.done(card)
    assert trouble.left < 9
    assert len(clip.files[0].data) < 30_000


@pytest.mark.slow
async def test_where_the_thread_is_closed_the_clip_comes_by_direct_message(place):
    async with place.bot(step_seconds=0.3):
        card = await place.alice.slash(place.general, "image", prompt=FOX).response()
        place.discord.world.delete_channel(place.general)
        direct = place.alice.direct
        shown = place.discord.witness.in_channel
        await place.discord.until(
            lambda: [m for m in shown(direct) if stem(m)], SECONDS, "clip by message"
        )
    assert card.channel.deleted


async def test_a_restart_and_a_dead_token_in_the_middle_of_a_job_change_nothing(place):
    async with place.bot(step_seconds=30.0):
        card = await place.alice.slash(place.general, "image", prompt=FOX).response()
        await place.discord.until(lambda: "%" in card.text, SECONDS, "card running")
    place.discord.clock.advance(3600)
    async with place.bot():
        await place.done(card)
        await place.clip(card)
    assert len(place.discord.witness.in_channel(place.general)) == 1
    assert place.discord.witness.dead_token_uses == []


@pytest.mark.slow
async def test_the_gateway_may_go_in_the_middle_of_a_job(place):
    async with place.bot(step_seconds=0.2):
        card = await place.alice.slash(place.general, "image", prompt=FOX).response()
        for lose in (place.discord.gateway.drop, place.discord.gateway.ask_to_reconnect):
            lose()
            await place.discord.until(lambda: place.discord.gateway.ready, SECONDS, "reconnected")
        await place.done(card)
        assert FOX in await text_of(place.alice.slash(place.general, "rushes history"))


@pytest.mark.slow
async def test_commands_are_told_to_discord_only_when_they_changed(place):
    place.discord.trouble(r"PUT /applications/\d+/commands", times=1, status=503)
    for _ in range(2):
        async with place.bot():
            await eventually((place.directory / "discord-commands").exists)
    assert place.discord.registry.overwrites == 1


async def test_an_attached_image_is_animated_and_admins_have_commands_of_their_own(place):
    async with place.bot():
        asked = place.alice.slash(place.general, "animate", prompt=SHORT, image=picture())
        card = await asked.response()
        assert "no job X" in await text_of(
            place.alice.slash(place.general, "rushes cancel", job="X")
        )
        paused = place.boss.slash(place.general, "rushes-admin settings")
        assert (await paused.response()).visible_to is place.boss.user
        await place.clip(card)


async def test_a_guild_that_sends_the_bot_away_gets_no_more_work_done(place):
    async with place.bot(step_seconds=30.0) as app:
        await place.alice.slash(place.general, "image", prompt=FOX).response()
        place.discord.world.remove_bot(place.guild)
        await eventually(lambda: not app.core.jobs.list_queued())


async def test_a_token_that_discord_does_not_take_is_one_clear_error(place):
    from bot.config.sections import DiscordSection
    from bot.discord.connection import log_in

    section = DiscordSection(token=place.alice.user.name, api_base_url=place.discord.api_url)
    with pytest.raises(UserError, match="token_rejected"):
        async with log_in(section, place.alice.user.name):
            pass


@pytest.mark.slow
async def test_slow_requests_say_thinking_first_and_end_with_the_same_one_card(place, monkeypatch):
    monkeypatch.setattr(answers, "PROMPT_SECONDS", 0.0)
    async with place.bot():
        card = await place.alice.slash(place.general, "image", prompt=FOX).response()
        await place.done(card)
        clip = await place.clip(card)
        again = place.alice.click(clip, "Reroll")
        await place.discord.until(
            lambda: len(place.discord.witness.in_channel(card.thread)) == 3, SECONDS, "again"
        )
        await place.discord.until(
            lambda: again.original is None or again.original.deleted, SECONDS, "thought"
        )
        refused = place.alice.slash(place.general, "generate", prompt="a fox --ar 5:4")
        await place.discord.until(lambda: refused.followups, SECONDS, "refusal")
        assert refused.followups[0].visible_to is place.alice.user
        queue = await place.alice.slash(place.general, "rushes quota").response()
        assert queue.visible_to is place.alice.user
    assert place.discord.witness.in_channel(place.general) == [card]


@pytest.mark.cases(1)
@pytest.mark.parametrize("fault", [{"reset": True, "taken": True}, {"status": 503}], ids=str)
async def test_thinking_is_not_left_behind_when_its_answer_is_lost(place, monkeypatch, fault):
    monkeypatch.setattr(answers, "PROMPT_SECONDS", 0.0)
    async with place.bot():
        place.discord.trouble(r"POST /interactions/", **fault)
        card = await place.alice.slash(place.general, "image", prompt=FOX).response()
        await place.done(card)
    assert place.discord.witness.in_channel(place.general) == [card]
