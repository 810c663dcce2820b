"""Getting the negative prompt drawn, or words past the lists that no list is asked about."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.cli import offline_render
from bot.config.sections import Config
from commands.run import execute, press, submit
from commands.text.card import CardKind, plain
from inference.domain.errors import UserError
from inference.domain.job import JobState
from inference.domain.output_settings import OutputSettings
from inference.domain.render import Manifest
from inference.domain.spec import Spec
from inference.domain.verdict import Outcome
from inference.safety.guard import ModerationGuard
from inference.safety.words import WordModerator
from tests.attacks.asking import FOX, a_call
from tests.fakes.bench import Bench
from tests.fakes.moderators import FakeGuildWords, FakeModerator, FakeStillExtractor
from tests.fakes.orders import a_spec, an_order

MANIFEST = Manifest(
    name="clip.mp4", size=1, sha256="", width=640, height=360, frames=49, latents_sha256=""
)


def attack(*values, what):
    return pytest.param(*values, marks=pytest.mark.attack("negative", what), id=what)


@pytest.fixture
async def call(tmp_path):
    async with a_call(tmp_path) as call:
        yield call


async def kept(call, key, value):
    """Write a setting as an older version would have."""
    database = call.policy.settings._database

    async def work(connection):
        await connection.execute(
            "INSERT INTO settings (tenant, scope, subject, key, value) VALUES (?, ?, ?, ?, ?)",
            (call.channel.tenant, "user", call.caller.id, key, json.dumps(value)),
        )

    await database.write("test", work)


@pytest.mark.parametrize(
    "line",
    [
        attack("/generate a fox --cfg 0 --no gore", what="--cfg 0"),
        attack("/generate a fox --cfg 0.5", what="--cfg 0.5"),
        attack("/generate a fox --cfg .999999", what="--cfg just below 1"),
        attack("/generate a fox --cfg -0", what="--cfg -0"),
        attack("/generate a fox --cfg 0e1", what="--cfg in scientific notation"),
        attack("/generate a fox —cfg=0", what="--cfg 0 with a typographic dash"),
        attack("/image a fox --cfg 0", what="--cfg 0 of a still"),
        attack("/random --cfg 0", what="--cfg 0 of a random clip"),
        attack("/rushes settings set default.cfg 0", what="a setting of 0"),
        attack("/rushes preset save mine --cfg 0", what="a preset of 0"),
    ],
)
async def test_no_guidance_below_one_can_be_typed(call, line):
    card = await execute(line, call)

    assert card.kind is CardKind.ERROR
    assert "--cfg" in plain(card) or "default.cfg" in plain(card)
    assert call.jobs.orders == []


@pytest.mark.attack("negative", "a guidance of 0 in the flags of the edit form")
async def test_a_form_takes_no_guidance_below_one(call):
    job = call.jobs.put(await call.jobs.submit(an_order(call.channel.tenant)))

    card = await submit(f"v1:edit:{job.id}", {"prompt": "a fox", "flags": "--cfg 0"}, call)

    assert card.kind is CardKind.ERROR


@pytest.mark.attack("negative", "--cfg 0 of `rushes render`")
def test_a_script_takes_no_guidance_below_one(tmp_path):
    with pytest.raises(UserError) as error:
        offline_render.plan(Config(), "a fox --cfg 0 --no gore", tmp_path / "fox.mp4")
    assert error.value.code == "value.out_of_range"


@pytest.mark.parametrize(
    ("stored", "legal"),
    [
        attack(0, 1, what="a stored setting of 0"),
        attack(-3.5, 1, what="a stored setting below 0"),
        attack(500, 20, what="a stored setting above 20"),
    ],
)
async def test_what_older_settings_hold_becomes_the_nearest_legal_guidance(call, stored, legal):
    await kept(call, "default.cfg", stored)

    await execute("/generate a fox", call)

    assert call.jobs.orders[0].spec.cfg == legal


@pytest.mark.attack("negative", "a stored preset of 0")
async def test_what_older_presets_hold_becomes_the_nearest_legal_guidance(call):
    async def work(connection):
        await connection.execute(
            "INSERT INTO presets (tenant, owner, name, options) VALUES (?, ?, ?, ?)",
            (call.channel.tenant, call.caller.id, "old", '{"cfg": 0, "gone": 1}'),
        )

    await call.policy.presets._database.write("test", work)

    assert "--cfg 1" in plain(await execute("/rushes preset use old", call))
    await execute("/generate a fox", call)

    assert call.jobs.orders[0].spec.cfg == 1


@pytest.mark.parametrize(
    "verb",
    [
        attack("reroll", what="Reroll of an old job with a guidance of 0"),
        attack("retry", what="Again of an old job with a guidance of 0"),
        attack("extend", what="Extend of an old job with a guidance of 0"),
    ],
)
async def test_an_old_job_is_made_again_with_a_legal_guidance(call, verb):
    old = Spec.from_dict({**a_spec(negative="gore").as_dict(), "cfg": 0.0})
    order = replace(an_order(call.channel.tenant), spec=old, requester=call.caller.requester)
    job = await call.jobs.submit(order)
    call.jobs.put(replace(job, state=JobState.DONE, manifest=MANIFEST))
    call.jobs.kept.add(job.id)
    call.jobs.orders.clear()

    card = await press(f"v1:{verb}:{job.id}", call)

    assert card.kind is CardKind.WAITING, plain(card)
    assert call.jobs.orders[0].spec.cfg == 1


@pytest.mark.parametrize("cfg", [0.0, -1.0, float("nan"), float("-inf")])
@pytest.mark.attack("negative", "a guidance below 1 in a recipe or a stored job")
def test_no_spec_holds_a_guidance_below_one(cfg):
    assert a_spec(cfg=cfg).cfg == 1
    assert Spec.from_dict({**a_spec().as_dict(), "cfg": cfg}).cfg == 1


@pytest.fixture
def a_bench(tmp_path, clock, executor):
    """A bench with the lists of words as the process wires them."""

    def make(*, guild=(), house=(), hosted=()):
        words = WordModerator(house=house, guilds=FakeGuildWords(guild))
        guard = ModerationGuard(
            texts=[words],
            unwanted=[words.own_lists],
            hosted_texts=hosted,
            extractor=FakeStillExtractor(),
        )
        return Bench(directory=tmp_path / "data", clock=clock, executor=executor, guard=guard)

    return make


async def ended(bench, **spec):
    async with bench.open() as core:
        await core.jobs.pause()
        order = replace(an_order(**spec), output=OutputSettings(flagged=Outcome.DENY))
        job = await core.jobs.submit(order)
        return await bench.reached(job.id, JobState.QUEUED, JobState.REFUSED)


@pytest.mark.parametrize(
    ("guild", "house", "reason"),
    [
        attack(["clown"], [], "guild_words", what="a word of the guild in --no"),
        attack([], ["clown"], "house_words", what="a word of the operator in --no"),
        attack(["c l o w n"], [], "guild_words", what="a guild's word spelled out"),
    ],
)
async def test_the_lists_of_a_guild_and_of_the_operator_hold_for_negative_prompts(
    a_bench, guild, house, reason
):
    job = await ended(a_bench(guild=guild, house=house), negative="blur, a CL0WN")

    assert (job.failure.code, job.failure.params) == ("safety.prompt", {"reason": reason})


async def test_the_shipped_lists_and_services_leave_negative_prompts_alone(a_bench):
    hosted = FakeModerator()

    job = await ended(a_bench(hosted=[hosted]), negative="nudity, porn, gore, blood")

    assert job.state is JobState.QUEUED
    assert hosted.texts == [(("a red fox running through snow",), "guild:a")]


@pytest.mark.attack("negative", "forbidden words by an option that is still to come")
async def test_every_text_of_a_spec_is_judged_unless_it_names_something(tmp_path):
    spec = a_spec(prompt="a fox", original="ein Fuchs", negative="rain", image="i", last="l")

    assert spec.wanted_words == ("ein Fuchs", "a fox")
    assert spec.unwanted_words == ("rain",)
    assert FOX.name not in spec.wanted_words
