"""All ways into the bot from Slack, as people use them."""

from __future__ import annotations

from bot.slack.inbound import slash_commands
from inference.domain.spec import Mode
from tests.scenario.slack_house import buttons_below, card_of, clip_below, written

PICTURE = ("fox.png", b"\x89PNG not really a picture")


# -- commands --------------------------------------------------------------------------------


async def test_a_command_brings_a_card_and_the_clip_below_it(slack, house, acme, alice, general):
    reply = await alice.command(general, "/generate", "a fox &amp; &lt;snow&gt; --ar 9:16")
    assert reply.acknowledged
    assert reply.payload == {}
    card = await alice.wait_for(general, card_of("a fox &amp; &lt;snow&gt;"))
    clip = await clip_below(slack, card)
    assert clip.pings == {alice.id}
    [job] = await house.jobs()
    assert job.spec.prompt == "a fox & <snow>"
    assert (job.spec.aspect, job.tenant) == ("9:16", f"slack:{acme.id}")


async def test_a_job_is_accepted_before_the_command_is_acknowledged(house, alice, general):
    await alice.command(general, "/generate", "a fox")
    assert len(await house.jobs()) == 1


async def test_a_wrong_flag_is_answered_to_its_writer_alone(house, alice, general):
    reply = await alice.command(general, "/generate", "a fox --arr 9:16")
    assert reply.payload["response_type"] == "ephemeral"
    assert "--aspect" in reply.payload["text"]
    assert await house.jobs() == []


async def test_verbs_answer_their_writer_alone(house, alice, general):
    reply = await alice.command(general, "/rushes", "queue")
    assert reply.payload["response_type"] == "ephemeral"


async def test_a_clip_is_brought_again_to_who_asks_for_it(slack, house, alice, general):
    await alice.command(general, "/generate", "a fox")
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done'")
    [job] = await house.jobs()
    reply = await alice.command(general, "/rushes", f"show {job.id}")
    assert reply.acknowledged
    await alice.wait_for(alice.dm, lambda m: m.files)
    assert sum(bool(m.files) for m in general.messages) == 1


async def test_a_slow_slack_is_acknowledged_first(slack, house, alice, general, monkeypatch):
    monkeypatch.setattr(slash_commands, "ACK_SECONDS", 0.1)
    slack.trouble(r"users\.info", slow_seconds=2.0, taken=True)
    reply = await alice.command(general, "/generate", "a fox --arr 9:16")
    assert reply.acknowledged
    assert not reply.payload  # which would carry the answer, were it waited for
    await alice.wait_for(general, lambda m: m.only_for == alice.id and "--aspect" in m.words)


async def test_where_the_bot_is_not_nothing_is_accepted(slack, house, acme, alice):
    private = acme.add_channel("secret", alice, kind="private", bot=False)
    public = acme.add_channel("open", alice, bot=False)
    for channel in (private, public):
        reply = await alice.command(channel, "/generate", "a fox")
        assert "/invite @" in reply.payload["text"]
    assert await house.jobs() == []


async def test_a_public_channel_is_joined_where_that_is_allowed(slack, acme, alice, make_house):
    acme.installation.scopes |= {"channels:join"}
    channel = acme.add_channel("open", alice, bot=False)
    async with make_house().open():
        await alice.command(channel, "/generate", "a fox")
        await clip_below(slack, await alice.wait_for(channel, card_of("a fox")))


# -- forms -----------------------------------------------------------------------------------


async def test_the_bare_command_opens_a_form_that_makes_a_job(slack, house, alice, general):
    await alice.command(general, "/generate")
    form = await alice.wait_for_modal()
    reply = await alice.submit(
        form, {"prompt": "a fox", "aspect": "1:1", "image": [PICTURE], "motion": "high"}
    )
    assert reply.payload == {}
    await alice.wait_for(general, card_of("a fox"))
    [job] = await house.jobs()
    assert (job.spec.aspect, job.spec.options["motion"]) == ("1:1", "high")
    assert job.spec.mode is Mode.IMAGE_TO_VIDEO


async def test_a_form_that_is_sent_twice_makes_one_job(alice, general, make_house, slack):
    slack.hub.faults.doubled_views = 1.0
    async with make_house().open() as house:
        await alice.command(general, "/generate")
        form = await alice.wait_for_modal()
        await alice.submit(form, {"prompt": "a fox"})
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
        assert len(await house.jobs()) == 1


async def test_what_is_wrong_with_a_form_is_shown_at_its_field(house, alice, general):
    await alice.command(general, "/generate")
    form = await alice.wait_for_modal()
    reply = await alice.submit(form, {"prompt": "a fox --frames 12"})
    assert set(reply.payload["errors"]) == {"frames"}
    reply = await alice.submit(form, {"prompt": "a fox --seed 12x"})
    assert set(reply.payload["errors"]) == {"prompt"}
    assert await house.jobs() == []
    await alice.submit(form, {"prompt": "a fox"})
    assert len(await house.jobs()) == 1


async def test_more_options_keep_what_is_written(house, alice, general):
    await alice.command(general, "/generate")
    form = await alice.wait_for_modal()
    await alice.click(form, "More options")
    form = await alice.wait_for_modal(
        lambda view: any(b.get("block_id") == "seed" for b in view.content["blocks"])
    )
    await alice.submit(form, {"prompt": "a fox", "seed": "7"})
    [job] = await house.jobs()
    assert job.spec.seed == 7


async def test_the_global_shortcut_asks_where(slack, house, alice, general):
    await alice.shortcut("Make a clip")
    form = await alice.wait_for_modal()
    await alice.submit(form, {"channel": general.id, "prompt": "a fox"})
    await clip_below(slack, await alice.wait_for(general, card_of("a fox")))


async def test_an_image_in_a_message_is_animated_by_its_shortcut(slack, house, alice, general):
    message = alice.say(general, "look", files=[PICTURE])
    await alice.message_shortcut("Animate this image", message)
    form = await alice.wait_for_modal()
    await alice.submit(form, {"prompt": "it runs"})
    [job] = await house.jobs()
    assert job.spec.mode is Mode.IMAGE_TO_VIDEO
    await clip_below(slack, await alice.wait_for(general, card_of("it runs")))


async def test_a_message_without_an_image_cannot_be_animated(house, alice, general):
    message = alice.say(general, "look")
    await alice.message_shortcut("Animate this image", message)
    await alice.wait_for(general, lambda m: m.only_for == alice.id and "no image" in m.words)


# -- mentions --------------------------------------------------------------------------------


async def test_a_mention_in_a_thread_is_answered_there(slack, house, alice, general):
    root = alice.say(general, "any ideas?")
    alice.mention_app(general, "a fox --ar 1:1", thread=root)
    card = await alice.wait_for(general, card_of("a fox"))
    assert card.thread_ts == root.ts
    clip = await slack.until(lambda: next((m for m in general.thread(root) if m.files), None))
    assert clip.pings == {alice.id}


async def test_a_mention_takes_the_image_of_its_thread(slack, house, alice, general):
    root = alice.say(general, "look at this", files=[PICTURE])
    other = alice.say(general, "something else")
    await written(house, "SELECT 1 FROM slack_files")
    alice.mention_app(general, "it runs", thread=root)
    alice.mention_app(general, "a cat", thread=other)
    await alice.wait_for(general, card_of("it runs"))
    await alice.wait_for(general, card_of("a cat"))
    modes = {job.spec.prompt: job.spec.mode for job in await house.jobs()}
    assert modes == {"it runs": Mode.IMAGE_TO_VIDEO, "a cat": Mode.TEXT_TO_VIDEO}


async def test_a_mention_takes_its_own_image(house, alice, general):
    alice.mention_app(general, "it runs", files=[PICTURE])
    await alice.wait_for(general, card_of("it runs"))
    [job] = await house.jobs()
    assert job.spec.mode is Mode.IMAGE_TO_VIDEO


async def test_a_file_of_others_is_never_taken_by_its_id(house, acme, alice, general):
    bob = acme.add_user("bob")
    private = acme.add_channel("private", bob, kind="private")
    file = bob.say(private, "not for alice", files=[PICTURE]).files[0].id
    for flag in (f"--image {file}", f"--last {file}", f"--image={file}"):
        await alice.command(general, "/generate", f"a fox {flag}")
        await alice.command(general, "/animate", f"a fox {flag}")
        alice.mention_app(general, f"a fox {flag}")
        await alice.command(general, "/generate")
        form = await alice.wait_for_modal()
        reply = await alice.submit(form, {"prompt": f"a fox {flag}"})
        assert reply.payload["response_action"] == "errors"
        form.open = False
    answers = lambda: [m for m in general.messages if m.only_for and not m.deleted]  # noqa: E731
    await alice.wait_for(general, lambda _: len(answers()) == 9)
    assert await house.jobs() == []


async def test_nobody_is_mentioned_by_a_prompt(slack, house, acme, alice, general):
    bob = acme.add_user("bob")
    general.members.add(bob.id)
    alice.mention_app(general, f"a fox with {bob.mention} and <!channel>")
    card = await alice.wait_for(general, card_of("a fox"))
    clip = await clip_below(slack, card)
    assert clip.pings == {alice.id}
    assert all(m.pings <= {alice.id} for m in general.messages if m.bot_id)


async def test_an_event_that_comes_again_makes_one_job(alice, general, make_house, slack):
    slack.hub.faults.redelivered = 1.0
    async with make_house().open() as house:
        alice.mention_app(general, "a fox")
        await slack.until(
            lambda: (
                sum(
                    d.name == "app_mention" and d.seconds is not None
                    for d in slack.world.deliveries
                )
                == 2
            )
        )
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
        assert len(await house.jobs()) == 1


async def test_a_mention_is_accepted_before_it_is_acknowledged(slack, house, alice, general):
    alice.mention_app(general, "a fox")
    await slack.until(
        lambda: any(d.name == "app_mention" and d.seconds for d in slack.world.deliveries)
    )
    assert len(await house.jobs()) == 1


async def test_what_was_said_while_the_bot_was_away_is_heard_later(
    slack, alice, general, make_house
):
    alice.mention_app(general, "a fox")
    async with make_house().open() as house:
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
        assert len(await house.jobs()) == 1


async def test_direct_messages_make_clips(slack, house, alice):
    alice.say(alice.dm, "a fox")
    card = await alice.wait_for(alice.dm, card_of("a fox"))
    await clip_below(slack, card)


# -- buttons and home ------------------------------------------------------------------------


async def test_a_greeting_is_answered_with_help_and_makes_nothing(house, alice, general):
    alice.say(alice.dm, "Hello!")
    alice.mention_app(general, "안녕하세요 :wave:")
    for place in (alice.dm, general):
        await alice.wait_for(place, lambda m: m.bot_id and "/rushes queue" in m.words)
    assert await house.jobs() == []


async def test_buttons_work_after_a_restart(slack, alice, general, make_house):
    async with make_house().open():
        await alice.command(general, "/generate", "a fox")
        clip = await buttons_below(slack, await alice.wait_for(general, card_of("a fox")))
    async with make_house().open() as house:
        await alice.click(clip, "Reroll")
        await slack.until(lambda: sum(bool(m.files) for m in general.messages) == 2)
        first, second = await house.jobs()
        assert first.spec.prompt == second.spec.prompt
        assert first.spec.seed != second.spec.seed


async def test_edit_opens_a_form_whose_answer_is_a_new_job(slack, house, alice, general):
    await alice.command(general, "/generate", "a fox")
    clip = await buttons_below(slack, await alice.wait_for(general, card_of("a fox")))
    await alice.click(clip, "Edit")
    form = await alice.wait_for_modal()
    reply = await alice.submit(form, {"aspect": "7:7"})
    assert set(reply.payload["errors"]) == {"aspect"}
    await alice.submit(form, {"prompt": "a cat", "aspect": "1:1"})
    await alice.wait_for(general, card_of("a cat"))
    assert [job.spec.prompt for job in await house.jobs()] == ["a fox", "a cat"]


async def test_cancelling_is_answered_to_who_pressed(slack, make_house, alice, general):
    house = make_house()
    house.executor.automatic = False
    async with house.open():
        await alice.command(general, "/generate", "a fox")
        card = await alice.wait_for(general, lambda m: card_of("a fox")(m) and m.buttons)
        await alice.click(card, "Cancel")
        await alice.wait_for(general, lambda m: m.only_for == alice.id)
        await slack.until(lambda: "ancelled" in card.words)


async def test_the_answer_takes_the_place_of_the_message_whose_button_deletes(
    house, alice, general
):
    await alice.command(general, "/generate", "a fox")
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done'")
    [job] = await house.jobs()
    offers = []
    for _ in range(2):
        await alice.command(general, "/rushes", f"cancel {job.id}")
        offers.append(alice.sees(general)[-1])
    for offer, said in zip(offers, ("Deleted job", "nothing left to delete"), strict=True):
        assert (offer.only_for, "already finished" in offer.words) == (alice.id, True)
        seen = alice.sees(general)
        await alice.click(offer, "Delete")
        await alice.wait_for(general, lambda m, shown=offer: m is shown and not m.buttons)
        assert said in offer.words
        assert all(message in seen for message in alice.sees(general))


async def test_home_shows_own_jobs_and_the_line(slack, house, acme, alice, general):
    bob = acme.add_user("bob")
    await alice.command(general, "/generate", "a fox")
    await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
    await alice.open_home()
    await slack.until(lambda: alice.home and "a fox" in str(alice.home.content))
    await bob.open_home()
    await slack.until(lambda: bob.home)
    assert "Your newest jobs" not in str(bob.home.content)
    await bob.click(bob.home, "Make a clip")
    form = await bob.wait_for_modal()
    assert any(block.get("block_id") == "channel" for block in form.content["blocks"])
