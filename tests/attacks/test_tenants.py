"""Getting more than one's share by changing the place: direct messages, throw-away guilds."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import discord
import pytest

from bot.config.sources import load_config
from bot.discord import command_sync
from bot.discord.inbound.answers import Answers
from bot.discord.inbound.command_gateway import CommandGateway
from bot.discord.inbound.commands import make_tree
from bot.factories import operator_rules
from commands.caller import Caller, Channel
from commands.installation import Installation
from commands.policy.operator_rules import DirectMessages, OperatorRules
from commands.run import execute, press
from commands.text.card import CardKind, plain
from inference.domain.errors import UserError
from inference.domain.job import Requester
from inference.domain.limits import QueueLimits
from inference.domain.quota import Quota
from tests.attacks.asking import a_call
from tests.fakes.bench import Bench
from tests.fakes.commands import COMMANDS
from tests.fakes.orders import an_order

GUILD = Channel(platform="test", tenant="test:g1", address={"channel": 1}, id="hall", private=False)
OTHER = replace(GUILD, tenant="test:g2")
DIRECT = replace(GUILD, tenant="test:dm-u1", id="dm", private=True, direct=True, personal=True)
ALICE = Caller(id="u1", name="Alice")
ADMIN = Caller(id="u2", name="Admin", admin=True)
OPERATOR = Caller(id="u3", name="Op", operator=True)


def attack(what):
    return pytest.mark.attack("tenants", what)


@pytest.fixture
async def call(tmp_path):
    async with a_call(tmp_path) as made:
        made.jobs.limit = 100
        yield replace(made, caller=ALICE, channel=GUILD)


def in_house(call, **rules):
    return replace(call, policy=replace(call.policy, operator_rules=OperatorRules(**rules)))


async def makes(call, channel, caller=ALICE) -> bool:
    before = len(call.jobs.orders)
    await execute("/generate a fox", replace(call, channel=channel, caller=caller))
    return len(call.jobs.orders) > before


# -- blocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("/rushes-admin block u1 spam", marks=attack("go on in direct messages")),
        pytest.param(
            "/rushes-admin block u1 spam --everywhere", marks=attack("go on in another guild")
        ),
        pytest.param("/rushes-admin block test:u1", marks=attack("go on where the id differs")),
    ],
)
async def test_the_operators_block_holds_everywhere(call, line):
    operator = replace(call, caller=OPERATOR)
    await execute(line, operator)
    for channel in (GUILD, OTHER, DIRECT):
        assert not await makes(call, channel)
    assert await makes(call, OTHER, Caller(id="u9", name="Other"))
    log = plain(await execute("/rushes-admin settings log", operator))
    assert "Op" in log
    assert "test:u1" in log
    await execute("/rushes-admin unblock u1", replace(operator, channel=OTHER))
    for channel in (GUILD, OTHER, DIRECT):
        assert await makes(call, channel)


@attack("block people of other guilds as an admin of one's own")
async def test_an_admins_block_holds_in_their_guild_only(call):
    admin = replace(call, caller=ADMIN)
    await execute("/rushes-admin block u1", admin)
    assert not await makes(call, GUILD)
    assert await makes(call, OTHER)
    assert await makes(call, DIRECT)
    refused = await execute("/rushes-admin block u1 --everywhere", replace(admin, channel=OTHER))
    assert refused.kind is CardKind.ERROR
    assert await makes(call, OTHER)


@attack("lift the operator's block as an admin")
async def test_an_admin_cannot_lift_the_operators_block(call):
    await execute("/rushes-admin block u1", replace(call, caller=OPERATOR))
    for line in ("unblock u1", "unblock test:u1", "unblock u1 --everywhere"):
        await execute(f"/rushes-admin {line}", replace(call, caller=ADMIN))
    assert not await makes(call, GUILD)


async def test_an_operator_may_block_in_one_guild_alone(call):
    await execute("/rushes-admin block u1 --here", replace(call, caller=OPERATOR))
    assert not await makes(call, GUILD)
    assert await makes(call, OTHER)


# -- quota -----------------------------------------------------------------------------------


@attack("use the day's GPU time up in one guild and go on in the next")
async def test_the_operators_quota_counts_all_places_together(call):
    cost = 80  # of one clip as `FakeJobs` has it
    await execute(f"/rushes-admin quota u1 {2 * cost}", replace(call, caller=OPERATOR))
    assert await makes(call, GUILD)
    assert await makes(call, DIRECT)
    assert not await makes(call, OTHER)
    assert await makes(call, OTHER, Caller(id="u9", name="Other"))
    shown = plain(await execute("/rushes quota", replace(call, channel=OTHER)))
    assert f"{2 * cost} s" in shown


@attack("lift the operator's quota with one of one's own guild")
async def test_an_admin_cannot_give_more_than_the_operator(call):
    await execute("/rushes-admin quota u1 10", replace(call, caller=OPERATOR))
    await execute("/rushes-admin quota u1 unlimited", replace(call, caller=ADMIN))
    assert not await makes(call, GUILD)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Seoul"])
@attack("begin the operator's day anew with a time zone of one's own guild")
async def test_a_guilds_time_zone_moves_no_day_of_the_operator(call, zone):
    await execute("/rushes-admin quota u1 100", replace(call, caller=OPERATOR))
    before = await call.quota(await call.rules())
    await execute(f"/rushes-admin settings set timezone {zone}", replace(call, caller=ADMIN))
    after = await call.quota(await call.rules())
    assert (after.person_since, after.person_until) == (before.person_since, before.person_until)
    assert after.since != before.since


@attack("go on in direct messages when the guild's quota is used up")
async def test_direct_messages_have_a_quota_of_their_own(call):
    call = in_house(call, direct_message_seconds=100)
    assert await makes(call, DIRECT)
    card = await execute("/generate a fox", replace(call, channel=DIRECT))
    assert "100 s" in plain(card)
    assert await makes(call, GUILD)


async def test_the_quota_of_direct_messages_is_not_for_workspaces_that_set_their_own(call):
    call = in_house(call, direct_message_seconds=1)
    assert await makes(call, replace(GUILD, id="D1", private=True, direct=True))


# -- direct messages -------------------------------------------------------------------------


@attack("make something in direct messages that are closed")
async def test_closed_direct_messages_take_nothing(call):
    made = replace(call, channel=DIRECT)
    await execute("/generate a fox", made)
    call = in_house(made, direct_messages=DirectMessages.CLOSED)
    for line in ("/generate a fox", "/image a fox", "/random", "/refine a fox"):
        card = await execute(line, call)
        assert (card.kind, len(call.jobs.orders)) == (CardKind.ERROR, 1)
    await press("v1:reroll:JOB0000001", call)
    assert len(call.jobs.orders) == 1
    assert "a fox" in plain(await execute("/rushes queue", call))
    assert "JOB0000001" in plain(await execute("/rushes cancel", call))
    assert await makes(call, GUILD)


@pytest.mark.parametrize("direct_messages", DirectMessages)
async def test_commands_that_make_things_are_hidden_in_closed_direct_messages(direct_messages):
    services = SimpleNamespace(
        installation=Installation(models=(), default_model="", assistant=True)
    )
    async with discord.Client(intents=discord.Intents.none()) as client:
        gateway = CommandGateway(services, client, Answers(), None, ())
        tree = make_tree(client, gateway, COMMANDS, direct_messages=direct_messages)
        told = {command["name"]: command for command in await command_sync.payload(tree)}
    there = {name for name, command in told.items() if 1 in command["contexts"]}
    hidden = {"generate", "image", "animate", "random", "refine", "Animate this image"}
    is_open = direct_messages is DirectMessages.OPEN
    assert there & hidden == (hidden if is_open else set())
    assert {"rushes", "rushes-admin"} <= there


# -- tenants ---------------------------------------------------------------------------------


@attack("use the bot from a guild that the operator did not allow")
async def test_only_allowed_tenants_are_served(call):
    await execute("/generate a fox", call)
    call = in_house(call, allowed_tenants=frozenset({"test:g2"}))
    sentence = "is not enabled"
    for line in ("/generate a fox", "/rushes queue", "/rushes show JOB0000001", "/rushes settings"):
        assert sentence in plain(await execute(line, call))
    for verb in ("reroll", "info", "edit"):
        assert sentence in plain(await press(f"v1:{verb}:JOB0000001", call))
    assert not await makes(call, DIRECT)
    assert await makes(call, OTHER)
    assert await makes(call, replace(GUILD, admitted=True))
    assert "2 jobs" in plain(await execute("/rushes forget-me yes", call))


async def test_direct_messages_can_be_allowed_as_a_whole(call):
    call = in_house(call, allowed_tenants=frozenset({"test:dm"}))
    assert await makes(call, DIRECT)
    assert not await makes(call, replace(GUILD, direct=True))


# -- the queue -------------------------------------------------------------------------------


async def submitted(bench, tenant, requester, person="") -> bool:
    bench.clock.advance(0.01)
    order = replace(an_order(tenant, requester), person=person)
    try:
        await bench.core.jobs.submit(order)
    except UserError:
        return False
    return True


@attack("fill the queue from 41 throw-away guilds of five jobs each")
async def test_a_guild_with_nothing_waiting_gets_a_place_in_a_full_queue(tmp_path):
    bench = Bench(directory=tmp_path / "data", limits=QueueLimits())
    async with bench.open() as core:
        await core.jobs.pause()
        for guild in range(41):
            for job in range(5):
                await submitted(bench, f"bad:{guild}", f"eve{job}")
        assert len(await core.store.list_unfinished()) == 201  # the 41st guild got one place, too
        assert await submitted(bench, "good:1", "ada")
        assert not await submitted(bench, "good:1", "bob")
        for guild in range(500):
            await submitted(bench, f"worse:{guild}", "eve")
        assert len(await core.store.list_unfinished()) == 400


@attack("wait with three jobs in each of many guilds")
async def test_a_persons_waiting_jobs_count_across_guilds(tmp_path):
    bench = Bench(directory=tmp_path / "data", limits=QueueLimits(per_requester=3))
    async with bench.open() as core:
        await core.jobs.pause()
        taken = [await submitted(bench, f"discord:{n}", "7", "discord:7") for n in range(9)]
        assert taken.count(True) == 3
        # The same id in another chat, or in a workspace of another company, is somebody else.
        assert await submitted(bench, "slack:T1", "7", "slack:T1:7")
        assert await submitted(bench, "slack:T2", "7", "slack:T2:7")


@attack("evade the cooldown by asking in another guild")
async def test_the_cooldown_holds_across_guilds(tmp_path):
    bench = Bench(directory=tmp_path / "data", limits=QueueLimits(cooldown_seconds=60))
    async with bench.open():
        assert await submitted(bench, "discord:1", "7", "discord:7")
        assert not await submitted(bench, "discord:2", "7", "discord:7")
        bench.clock.advance(61)
        assert await submitted(bench, "discord:2", "7", "discord:7")


@attack("race orders in many guilds against the operator's quota")
async def test_the_operators_quota_is_checked_inside_the_transaction(tmp_path):
    bench = Bench(directory=tmp_path / "data")
    async with bench.open() as core:
        await core.jobs.pause()
        quota = Quota(person_seconds=25, since=0.0, until=2e9)  # two jobs of ten seconds
        for guild in range(5):
            order = an_order(f"discord:{guild}", "7")
            order = replace(
                order, person="discord:7", quota=quota, requester=Requester(id="7", name="Eve")
            )
            with pytest.raises(UserError) if guild > 1 else contextlib.nullcontext():
                await core.jobs.submit(order)


def test_the_config_says_all_of_it(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(
        '[bot]\ndirect_messages = "closed"\ndirect_message_seconds = 60\n'
        'allowed_tenants = ["discord:1"]\n'
    )
    assert operator_rules(load_config(file)) == OperatorRules(
        direct_messages=DirectMessages.CLOSED,
        direct_message_seconds=60,
        allowed_tenants=frozenset({"discord:1"}),
    )
