"""All ways into the bot from Slack, as people use them."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from bot.slack import connection
from inference.spec import Mode
from inference.store.maintenance import DATABASE_NAME
from tests.fakes.slack import LoopbackSlack
from tests.scenario.slack_house import House, declared

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")  # slack_sdk's, of aiohttp

PICTURE = ("fox.png", b"\x89PNG not really a picture")


@pytest.fixture
async def slack():
    async with LoopbackSlack(application=declared(), ping_seconds=0.05) as slack:
        yield slack
        assert slack.violations == []


@pytest.fixture
def acme(slack):
    team = slack.add_team("acme")
    team.install()
    return team


@pytest.fixture
def alice(acme):
    return acme.add_user("alice")


@pytest.fixture
def general(acme, alice):
    return acme.add_channel("general", alice)


@pytest.fixture
def make_house(slack, acme, tmp_path):
    def make(**options) -> House:
        section = {"bot_token": acme.installation.token, **options.pop("section", {})}
        return House(slack=slack, directory=tmp_path / "data", section=section, **options)

    return make


@pytest.fixture
async def house(make_house):
    async with make_house().open() as house:
        yield house


def card_of(prompt):
    """Tell the card of a job from all else."""
    return lambda message: message.metadata and prompt in message.words


async def clip_below(slack, card):
    """Wait for the clip in the thread of a card."""
    files = lambda: next((m for m in card.channel.thread(card) if m.files), None)  # noqa: E731
    return await slack.until(files)


async def buttons_below(slack, card):
    """Wait for the buttons of the clip."""
    found = lambda: next((m for m in card.channel.thread(card) if m.buttons), None)  # noqa: E731
    return await slack.until(found)


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
    assert "--ar" in reply.payload["text"]
    assert await house.jobs() == []


async def test_verbs_answer_their_writer_alone(house, alice, general):
    reply = await alice.command(general, "/rushes", "queue")
    assert reply.payload["response_type"] == "ephemeral"


async def test_a_slow_slack_is_acknowledged_first(slack, house, alice, general):
    slack.trouble(r"users\.info", slow_seconds=0.6, taken=True)
    reply = await alice.command(general, "/generate", "a fox --arr 9:16")
    assert reply.acknowledged
    assert reply.delivery.seconds < 0.5
    await alice.wait_for(general, lambda m: m.only_for == alice.id and "--ar" in m.words)


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
    assert (job.spec.aspect, job.spec.motion) == ("1:1", "high")
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


async def test_direct_messages_make_clips(slack, house, alice):
    alice.say(alice.dm, "a fox")
    card = await alice.wait_for(alice.dm, card_of("a fox"))
    await clip_below(slack, card)


# -- buttons and home ------------------------------------------------------------------------


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


# -- connections -----------------------------------------------------------------------------


async def test_a_silent_line_is_replaced(slack, house, alice, general, monkeypatch):
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(connection, "WORDLESS_SECONDS", 0.5)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)
    slack.socket.drop()
    await slack.until(lambda: slack.socket.opened == 2 and slack.socket.connections)
    slack.socket.numb("silent")
    await slack.until(lambda: [line.number for line in slack.socket.connections] == [3])
    reply = await alice.command(general, "/generate", "a fox")
    assert reply.acknowledged


async def test_slack_may_ask_for_a_new_line(slack, house, alice, general):
    asking = asyncio.create_task(slack.socket.ask_to_reconnect())
    reply = await alice.command(general, "/generate", "a fox")
    await asking
    assert reply.acknowledged
    await slack.until(lambda: slack.socket.opened == 2)


async def test_http_takes_what_is_signed_and_nothing_else(
    slack, alice, general, make_house, free_port
):
    section = {"mode": "http", "app_token": None, "port": free_port}
    url = f"http://127.0.0.1:{free_port}/slack/events"
    slack.post_to(url)
    async with make_house(section=section).open(connected=False) as house:
        await listening(free_port)
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data={"command": "/generate", "text": "a forgery"}) as response,
        ):
            assert response.status == 401
        await alice.command(general, "/generate", "a fox")
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
        assert [job.spec.prompt for job in await house.jobs()] == ["a fox"]


async def test_a_rejected_token_is_said_and_nothing_else_ends(slack, make_house):
    house = make_house(section={"bot_token": "xoxb-no-such-token"})
    async with house.open(connected=False):
        done, _ = await asyncio.wait({house.running}, timeout=5)
        assert done
        assert "slack.token_rejected" in repr(house.running.exception())
        assert "xoxb-no" not in repr(house.running.exception())


# -- many workspaces -------------------------------------------------------------------------


@pytest.fixture
async def two_teams(slack, tmp_path, free_port):
    """A bot that two workspaces installed by OAuth, without a token in its config."""
    section = {
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
        "port": free_port,
    }
    house = House(slack=slack, directory=tmp_path / "data", section=section)
    async with house.open():
        teams = []
        for name in ("north", "south"):
            team = slack.add_team(name)
            admin = team.add_user(f"{name}-admin")
            await slack.install(team, admin, f"http://127.0.0.1:{free_port}/slack/install")
            teams.append(team)
        yield house, *teams


async def test_each_workspace_is_answered_with_its_own_token(slack, two_teams):
    house, north, south = two_teams
    people = [team.add_user(f"person-{team.id}") for team in (north, south)]
    for team, person in zip((north, south), people, strict=True):
        channel = team.add_channel("general", person)
        await person.command(channel, "/generate", f"a fox of {team.id}")
        card = await person.wait_for(channel, card_of(f"a fox of {team.id}"))
        await clip_below(slack, card)
        assert card.team.id == team.id
    assert {job.tenant for job in await house.jobs()} == {f"slack:{north.id}", f"slack:{south.id}"}
    assert slack.leaks([(north, f"fox of {north.id}"), (south, f"fox of {south.id}")]) == []
    mode = (house.directory / DATABASE_NAME).stat().st_mode & 0o777
    assert mode == 0o600


async def test_a_team_cannot_touch_what_is_of_another(slack, two_teams):
    house, north, south = two_teams
    ann, sue = north.add_user("ann"), south.add_user("sue")
    here, there = north.add_channel("here", ann), south.add_channel("there", sue)
    await ann.command(here, "/generate", "a secret fox")
    card = await ann.wait_for(here, card_of("a secret fox"))
    await clip_below(slack, card)
    [job] = await house.jobs()
    for line in (f"status {job.id}", f"cancel {job.id}", f"show {job.id}", "history", "queue"):
        reply = await sue.command(there, "/rushes", line)
        assert "secret" not in str(reply.payload)
    assert slack.leaks([(north, "a secret fox")]) == []


async def test_uninstalling_ends_its_jobs_and_forgets_the_token(slack, two_teams):
    house, north, south = two_teams
    house.executor.automatic = False
    ann = north.add_user("ann")
    here = north.add_channel("here", ann)
    await ann.command(here, "/generate", "a fox")
    await ann.command(here, "/generate", "a cat")
    await ann.wait_for(here, card_of("a cat"))
    north.uninstall(reason="account_inactive")

    await written(house, "SELECT 1 FROM jobs GROUP BY tenant HAVING min(state = 'cancelled')")
    rows = await house.core.database.read("SELECT workspace FROM slack_installations")
    assert [row["workspace"] for row in rows] == [south.id]


async def test_people_of_another_company_need_leave(slack, two_teams):
    house, north, south = two_teams
    ann, sue = north.add_user("ann"), south.add_user("sue")
    shared = north.add_channel("shared", ann, sue, shared_with=[south])
    sue.mention_app(shared, "a fox", of=north.installation)
    await sue.wait_for(shared, lambda m: m.only_for == sue.id and "other companies" in m.words)
    assert await house.jobs() == []
    await ann.command(shared, "/generate", "a cat")
    clip = await buttons_below(slack, await ann.wait_for(shared, card_of("a cat")))
    await sue.click(clip, "Reroll")
    await sue.wait_for(shared, lambda m: m.only_for == sue.id and "other companies" in m.words)
    assert len(await house.jobs()) == 1


async def test_people_of_another_company_may_make_things_where_that_is_allowed(slack, two_teams):
    house, north, south = two_teams
    ann, sue = north.add_user("ann"), south.add_user("sue")
    ann.user.is_admin = True
    shared = north.add_channel("shared", ann, sue, shared_with=[south])
    own = north.add_channel("own", ann)
    await ann.command(own, "/generate", "a secret fox")
    await ann.command(own, "/rushes-admin", "settings set external allow")
    sue.mention_app(shared, "a cat", of=north.installation)
    card = await sue.wait_for(shared, card_of("a cat"))
    clip = await clip_below(slack, card)
    assert clip.pings == {sue.id}
    assert card.team.id == north.id
    job = (await house.jobs())[-1]
    assert (job.tenant, job.requester.id) == (f"slack:{north.id}", f"{sue.id}@{south.id}")
    sue.mention_app(shared, "/rushes queue", of=north.installation)
    await sue.wait_for(shared, lambda m: m.only_for == sue.id and "other companies" in m.words)
    assert slack.leaks([(north, "a secret fox")]) == []


async def written(house: House, sql: str) -> None:
    """Wait until a query finds something: the database tells nobody."""
    async with asyncio.timeout(10):
        while not await house.core.database.read(sql):  # noqa: ASYNC110 - as it says
            await asyncio.sleep(0.01)


async def listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
