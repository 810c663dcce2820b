"""What people of a Discord server see of its private places, and what direct messages take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.domain.job import Audience
from tests.fakes.discord import Permission
from tests.fakes.discord.entities import Channel
from tests.fakes.discord.typing_in import CannotAsk
from tests.fakes.orders import an_order
from tests.scenario.discord_studio import SECONDS, installation
from tests.scenario.discord_verdict import stem

pytestmark = pytest.mark.process

HIDDEN = "a unicorn in secret --res 360p --frames 49"


def attack(what):
    return pytest.mark.attack("visibility", f"Discord: {what}")


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as made:
        made.discord.api.limits.on = False
        yield made


@pytest.fixture
def bob(place):
    return place.discord.add_person("bob", place.guild)


@pytest.fixture
def vault(place):
    """A channel that @everyone does not see; Alice and the bot do."""
    channel = place.discord.add_channel(place.guild, "vault")
    view = int(Permission.VIEW_CHANNEL)
    channel.deny(place.guild.everyone, Permission.VIEW_CHANNEL)
    for user in (place.alice.user, place.discord.world.bot):
        channel.overwrites[user.id] = (view, 0)
    place.discord.world.changed(channel)
    return channel


async def answer(person, channel, command, **options) -> str:
    return (await person.slash(channel, command, **options).response()).text


async def waiting(place, channel: Channel) -> str:
    card = await place.alice.slash(channel, "generate", prompt=HIDDEN).response()
    return card.buttons[0]["custom_id"].rpartition(":")[2]


@attack("list a channel that one does not see, and have it shown")
async def test_a_hidden_channel_is_for_its_people_alone(place, bob, vault):
    async with place.bot(step_seconds=1.0) as app:
        await app.core.jobs.pause()
        job = await waiting(place, vault)
        assert "unicorn" in await answer(place.alice, vault, "rushes queue")
        assert "unicorn" in await answer(place.alice, place.general, "rushes queue")
        listed = await answer(bob, place.general, "rushes queue")
        assert "unicorn" not in listed
        assert "private job" in listed
        for command in ("rushes show", "rushes status", "rushes cancel"):
            assert "no job" in await answer(bob, place.general, command, job=job)
        typed = bob.complete(place.general, "rushes status", "job", "")
        await typed.acknowledged()
        assert typed.choices == []


async def test_a_job_that_came_over_http_stands_in_the_queue_of_its_server(place, bob):
    async with place.bot(step_seconds=1.0) as app:
        await app.core.jobs.pause()
        tenant = f"discord:{place.guild.id}"
        order = an_order(tenant, model="testcard", prompt="a fox from afar")
        audience = Audience(channel="http", private=False)
        await app.core.jobs.submit(replace(order, platform="http", audience=audience))
        assert "a fox from afar" in await answer(bob, place.general, "rushes queue")


@attack("list a private thread from its own channel")
@pytest.mark.slow
async def test_a_private_thread_is_for_its_people_alone(place, bob):
    async with place.bot(step_seconds=1.0) as app:
        await app.core.jobs.pause()
        thread = place.discord.thread_of(place.alice, place.general, "hidden", private=True)
        job = await waiting(place, thread)
        assert "unicorn" not in await answer(bob, place.general, "rushes queue")
        assert "no job" in await answer(bob, place.general, "rushes show", job=job)
        assert "unicorn" in await answer(place.alice, thread, "rushes queue")


async def test_an_admin_sees_the_channels_that_they_may_look_into(place, vault):
    async with place.bot(step_seconds=1.0) as app:
        await app.core.jobs.pause()
        job = await waiting(place, vault)
        manager = place.discord.add_role(place.guild, "manager", int(Permission.MANAGE_GUILD))
        chief = place.discord.add_role(place.guild, "chief", int(Permission.ADMINISTRATOR))
        outside = place.discord.add_person("kim", place.guild, roles=(manager,))
        inside = place.discord.add_person("lee", place.guild, roles=(chief,))
        assert "unicorn" not in await answer(outside, place.general, "rushes queue")
        assert "unicorn" in await answer(inside, place.general, "rushes queue")
        assert "no job" in await answer(outside, place.general, "rushes status", job=job)
        assert "unicorn" in await answer(inside, place.general, "rushes status", job=job)


@attack("ask after a channel was hidden")
async def test_a_channel_that_turned_private_hides_its_jobs(place, bob):
    async with place.bot(step_seconds=1.0) as app:
        await app.core.jobs.pause()
        hall = place.discord.add_channel(place.guild, "hall")
        await waiting(place, hall)
        assert "unicorn" in await answer(bob, place.general, "rushes queue")
        hall.deny(place.guild.everyone, Permission.VIEW_CHANNEL)
        place.discord.world.changed(hall)
        await place.discord.bot_ready()
        assert "unicorn" not in await answer(bob, place.general, "rushes queue")


@pytest.mark.attack("tenants", "Discord: make something in closed direct messages")
@pytest.mark.slow
async def test_closed_direct_messages_offer_no_command_and_take_nothing(place):
    alice, discord = place.alice, place.discord
    async with place.bot():
        card = await alice.slash(alice.direct, "image", prompt="a fox").response()
        await place.done(card)
        told = discord.registry.overwrites
    async with place.bot(house={"direct_messages": "closed"}) as app:
        await discord.until(lambda: discord.registry.overwrites > told, SECONDS, "commands told")
        with pytest.raises(CannotAsk):
            alice.slash(alice.direct, "generate", prompt="a fox")
        clip = next(m for m in alice.direct.visible() if stem(m))
        assert "direct messages" in (await alice.click(clip, "Reroll").response()).text
        assert "a fox" in await answer(alice, alice.direct, "rushes history")
        made = await app.core.database.read("SELECT count(*) AS jobs FROM jobs")
        assert made[0]["jobs"] == 1


@pytest.mark.attack("tenants", "Discord: use the bot in a server that is not allowed")
async def test_a_server_that_is_not_allowed_gets_a_sentence(place):
    async with place.bot(house={"allowed_tenants": ["discord:1"]}):
        for command, options in (("generate", {"prompt": "a fox"}), ("rushes queue", {})):
            assert "is not enabled" in await answer(place.alice, place.general, command, **options)
