"""Setting what nothing could be made with, or what would reach beyond its setting."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from commands.caller import Caller
from commands.installation import Installation
from commands.parsing.flags import render_options
from commands.policy.settings import Scope
from commands.run import execute, invoke
from commands.schema import Kind
from commands.text.card import CardKind, plain
from tests.attacks.asking import a_call
from tests.fakes.commands import COMMANDS
from tests.fakes.mentions import MentionDirectory
from tests.fakes.models import MODELS
from tests.fakes.options import OPTIONS, SETTINGS

NANO, TESTCARD = MODELS.capabilities("nano"), MODELS.capabilities("testcard")
ADMIN = Caller(id="boss", name="Boss", admin=True)


def attack(*values, what):
    return pytest.param(*values, marks=pytest.mark.attack("settings", what), id=what)


@pytest.fixture
async def call(tmp_path):
    """An admin where only nano is installed."""
    async with a_call(tmp_path) as made:
        installation = Installation(models=(NANO,), default_model="nano")
        channel = replace(made.channel, id="hall", private=False)
        yield replace(made, caller=ADMIN, installation=installation, channel=channel)


async def kept(call, key, value, *, scope="guild", subject=""):
    """Write a setting as another version would have."""
    database = call.policy.settings._database

    async def work(connection):
        await connection.execute(
            "INSERT INTO settings (tenant, scope, subject, key, value) VALUES (?, ?, ?, ?, ?)",
            (call.channel.tenant, scope, subject, key, value),
        )

    await database.write("settings", work)
    call.policy.settings._cache.clear()


NONSENSE = [
    attack("default.last /etc/passwd", what="have a file of the machine end every clip"),
    attack("default.image https://example.com/x.png", what="have an address fetched each time"),
    attack("default.prompt unicorn", what="set what everybody's clips show"),
    attack("default.seed 7", what="fix the seed"),
    attack("default.resolution 720p", what="a resolution that the model does not have"),
    attack("default.res 1080p", what="a resolution that no model has"),
    attack("default.frames 2", what="a length that the model does not have"),
    attack("default.frames -1", what="a negative length"),
    attack("default.steps 0", what="no steps"),
    attack("default.steps 1e9", what="steps as a power"),
    attack("default.steps \u0665", what="digits of another script"),
    attack("default.cfg nan", what="a guidance of NaN"),
    attack("default.cfg inf", what="an infinite guidance"),
    attack("default.cfg -3", what="a negative guidance"),
    attack("default.loops 999", what="a thousand loops"),
    attack("default.fps 0", what="no frames per second"),
    attack("default.model ../../etc", what="a model by a path"),
    attack("default.model opensora", what="a model that is not installed"),
    attack("default.refine yes", what="refining without an assistant"),
    attack("review yes", what="reviews without an assistant"),
    attack("review maybe", what="a switch that is neither on nor off"),
    attack("cap.resolution 720p", what="a cap that no model can reach"),
    attack("cap.frames 50", what="a cap between two lengths"),
    attack("cap.steps -5", what="a negative cap"),
    attack("cap.steps inf", what="an infinite cap"),
    attack("cap.loops 0", what="a cap of nothing"),
    attack("cap.steps 99999999999999999999999", what="a cap beyond all numbers"),
    attack("quota.user -1", what="a negative quota"),
    attack("quota.user NaN", what="a quota of NaN"),
    attack("quota.guild 1e308", what="a quota as a power"),
    attack("quota.guild 99999999999", what="a quota of three thousand years"),
    attack("quota.roles staff=-5", what="a negative amount for a role"),
    attack("quota.roles =5", what="an amount for nobody"),
    attack("quota.people u1=inf", what="an infinite amount for a person"),
    attack("language klingon", what="a language that is not spoken"),
    attack("timezone /etc/localtime", what="a time zone by a path"),
    attack("timezone ../../../etc/passwd", what="a time zone out of its folder"),
    attack("timezone localtime", what="the time zone of the machine"),
    attack("timezone posixrules", what="a file of the zone database that is no zone"),
    attack("timezone Europe", what="a folder as a time zone"),
    attack("timezone tzdata.zi", what="the source of the zone database"),
    attack("safety off", what="switching the checks off"),
    attack("watermark.corner middle", what="a corner that a picture does not have"),
    attack("watermark.suffix вотермарк", what="a mark that cannot be drawn"),
    attack("buttons nobody", what="buttons for nobody"),
    attack("default.negative " + "x" * 3000, what="an endless negative prompt"),
]


@pytest.mark.parametrize("typed", NONSENSE)
async def test_nonsense_is_refused_and_nothing_is_set(call, typed):
    key = typed.split()[0]
    for flag in ("", " --channel"):
        card = await execute(f"/rushes-admin settings set {typed}{flag}", call)
        assert card.kind is CardKind.ERROR, plain(card)
    card = await execute(f"/rushes settings set {typed}", call)
    assert card.kind is CardKind.ERROR, plain(card)
    rules = await call.rules()
    assert [key for scope in Scope for key in rules.of(scope)] == []
    assert (await execute("/generate a fox", call)).kind is CardKind.WAITING
    assert "Something went wrong" not in plain(await execute(f"/rushes settings show {key}", call))


PRESETS = [
    attack("--last /etc/passwd", what="keep a file of the machine in a preset"),
    attack("--image https://example.com/x.png", what="keep an address in a preset"),
    attack("--seed 7", what="keep a seed in a preset"),
    attack("--res 720p", what="keep a resolution that the model does not have"),
    attack("--frames 49 --res 720p", what="keep a good length beside a bad resolution"),
    attack("--model opensora", what="keep a model that is not installed"),
    attack("--refine", what="keep refining without an assistant"),
    attack("--frames 1 --camera static", what="keep a camera move for a still"),
]


@pytest.mark.parametrize("flags", PRESETS)
async def test_a_preset_holds_only_what_could_be_made(call, flags):
    for shared in ("", " --everyone"):
        card = await execute(f"/rushes preset save bad {flags}{shared}", call)
        assert card.kind is CardKind.ERROR, plain(card)
    assert await call.policy.presets.visible(call.channel.tenant, "boss") == []


STORED = [
    attack("default.last", '"/etc/passwd"', what="a file of the machine"),
    attack("default.resolution", '"720p"', what="a resolution that the model does not have"),
    attack("default.frames", "[49]", what="a list instead of a number"),
    attack("default.frames", '"49"', what="a number as text"),
    attack("default.steps", "true", what="a switch instead of a number"),
    attack("default.cfg", "NaN", what="a guidance of NaN"),
    attack("default.cfg", "-Infinity", what="an infinite guidance"),
    attack("default.negative", "null", what="nothing instead of a text"),
    attack("default.model", "7", what="a number instead of a model"),
    attack("default.aspect", '{"a": 1}', what="an object instead of a shape"),
    attack("review", "true", what="reviews without an assistant"),
    attack("review", '"yes"', what="a switch as text"),
    attack("timezone", '"/etc/localtime"', what="a time zone by a path"),
    attack("timezone", "5", what="a number instead of a time zone"),
    attack("roles", '"staff"', what="a text instead of roles"),
    attack("roles", "[7]", what="numbers instead of roles"),
    attack("channels", "[]", what="no channels at all"),
    attack("quota.people", '{"u1": "1"}', what="an amount as text"),
    attack("quota.people", "[1]", what="a list instead of amounts"),
    attack("quota.user", "Infinity", what="an infinite quota"),
    attack("cap.steps", '"many"', what="a word instead of a cap"),
    attack("watermark.suffix", '"вотермарк"', what="a mark that cannot be drawn"),
    attack("language", '"klingon"', what="a language that is not spoken"),
    attack("default.frames", "{", what="broken JSON"),
]


@pytest.mark.parametrize(("key", "value"), STORED)
async def test_what_an_older_version_kept_stops_nothing(call, key, value):
    member = replace(call, caller=Caller(id="u1", name="Ada"))
    await kept(call, key, value)
    await kept(call, key, value, scope="user", subject="u1")
    await kept(call, "default.steps" if key != "default.steps" else "default.fps", "12")
    for line in (
        "/rushes settings",
        "/rushes-admin settings",
        f"/rushes settings show {key}",
        "/rushes queue",
        "/rushes quota",
        "/rushes history",
    ):
        assert "Something went wrong" not in plain(await execute(line, call))
    card = await execute("/generate a fox", member)
    assert card.kind is CardKind.WAITING, plain(card)
    order = call.jobs.orders[-1]
    assert 12 in (order.spec.steps, order.spec.options["fps"]), (
        "the good setting beside it still holds"
    )
    assert (order.spec.last, order.spec.resolution, order.review) == (None, "360p", False)


@pytest.mark.parametrize(
    "options",
    [
        attack('{"last": "/etc/passwd", "frames": 49}', what="use a preset with a file in it"),
        attack('{"colour": 1, "frames": 49}', what="use a preset of another version"),
        attack('{"steps": NaN, "frames": 49}', what="use a preset with a NaN in it"),
        attack("[1, 2]", what="use a preset that is none"),
        attack("{", what="use a preset of broken JSON"),
    ],
)
async def test_a_preset_that_an_older_version_kept_stops_nothing(call, options):
    database = call.policy.presets._database

    async def work(connection):
        await connection.execute(
            "INSERT INTO presets (tenant, owner, name, options) VALUES (?, '', 'old', ?)",
            (call.channel.tenant, options),
        )

    await database.write("preset", work)
    assert "passwd" not in plain(await execute("/rushes preset list", call))
    assert "Something went wrong" not in plain(await execute("/rushes preset use old", call))
    await execute("/generate a fox", call)
    assert call.jobs.orders[-1].spec.last is None


@pytest.mark.attack("settings", "use a preset whose model has been taken away")
async def test_a_preset_is_judged_again_when_it_is_used(call):
    both = replace(call, installation=Installation(models=(NANO, TESTCARD), default_model="nano"))
    saved = await execute("/rushes preset save big --model testcard --res 720p", both)
    assert saved.kind is CardKind.INFO, plain(saved)
    assert (await execute("/rushes preset use big", both)).kind is CardKind.INFO
    await execute("/rushes settings reset default.model", both)
    assert (await execute("/rushes preset use big", call)).kind is CardKind.ERROR


async def test_with_several_models_it_is_enough_that_one_can(call):
    both = replace(call, installation=Installation(models=(NANO, TESTCARD), default_model="nano"))
    wanted = "/rushes-admin settings set default.resolution 720p"
    assert (await execute(wanted, both)).kind is CardKind.INFO
    assert (await execute("/generate a fox", both)).kind is CardKind.WAITING
    assert call.jobs.orders[-1].spec.resolution == "360p"
    await execute("/generate a fox --model testcard", both)
    assert call.jobs.orders[-1].spec.resolution == "720p"
    await execute("/rushes-admin settings reset default.resolution", both)
    await execute("/rushes-admin settings set default.model nano", both)
    assert (await execute(wanted, both)).kind is CardKind.ERROR


class Known(MentionDirectory):
    """A chat with one role, one channel and one person."""

    async def find_role(self, typed):
        return {"77": "77", "staff": "77"}.get(typed)

    async def find_channel(self, typed):
        return {"55": "55", "film": "55"}.get(typed)

    async def find_person(self, typed):
        return "42" if typed == "42" else None


@pytest.mark.parametrize(
    "line",
    [
        attack(
            "settings set roles chiefs", what="lock everybody out with a role that is not there"
        ),
        attack("settings set channels nowhere", what="the same with a channel"),
        attack("settings set cap.steps.except chiefs", what="except a role that is not there"),
        attack("settings set quota.roles chiefs=5", what="an amount for a role that is not there"),
        attack("settings set quota.people ann=5", what="an amount for nobody"),
        attack("settings set roles <@&77>,chiefs", what="a wrong role behind a right one"),
        attack("quota ann 5", what="an amount for nobody, by the other command"),
        attack("block ann", what="block nobody"),
        attack("block " + "4" * 100, what="block a number"),
    ],
)
async def test_names_that_nobody_has_are_refused(call, line):
    card = await execute(f"/rushes-admin {line}", replace(call, directory=Known()))
    assert card.kind is CardKind.ERROR, plain(card)
    member = replace(call, caller=Caller(id="u1", name="Ada"))
    assert (await execute("/generate a fox", member)).kind is CardKind.WAITING


async def test_names_are_kept_as_ids(call):
    known = replace(call, directory=Known())
    for line in ("roles staff,<@&77>", "channels #film", "quota.roles staff=60"):
        card = await execute(f"/rushes-admin settings set {line}", known)
        assert card.kind is CardKind.INFO, plain(card)
    rules = await call.rules()
    assert rules.guild == {"roles": ["77"], "channels": ["55"], "quota.roles": {"77": 60}}


@pytest.mark.attack("settings", "give a twenty-sixth person an amount")
async def test_the_list_of_amounts_has_an_end(call):
    for number in range(25):
        card = await execute(f"/rushes-admin quota u{number} 5", call)
        assert card.kind is CardKind.INFO
    assert (await execute("/rushes-admin quota u26 5", call)).kind is CardKind.ERROR
    assert (await execute("/rushes-admin quota u3 6", call)).kind is CardKind.INFO


def test_no_image_is_a_setting_and_random_takes_none():
    pictures = {option.name for option in OPTIONS.order if option.kind is Kind.IMAGE}
    assert pictures == {"image", "last"}
    assert not pictures & set(SETTINGS.defaults)
    assert not {f"default.{name}" for name in pictures} & set(SETTINGS.by_key)
    for command in (COMMANDS["/random"], COMMANDS["/refine"]):
        assert not pictures & {option.name for option in command.options}


@pytest.mark.parametrize(
    "option", [item for item in OPTIONS.order if item.name in SETTINGS.defaults]
)
async def test_what_the_model_does_anyway_can_be_set(call, option):
    value = NANO.defaults.get(option.name, option.default)
    if value is None or option.name == "refine":
        pytest.skip("there is no such value")
    written = json.dumps(value).strip('"')
    card = await execute(f"/rushes settings set default.{option.name} {written}", call)
    assert card.kind is CardKind.INFO, plain(card)
    assert render_options({option.name: value}, OPTIONS)


@pytest.mark.parametrize(
    "locale",
    [
        attack("x" * 5000, what="a language of 5000 letters"),
        attack("../../../etc", what="a language that is a path"),
        attack("\x00", what="a language that is a control"),
        attack("\ud800", what="a language that is half a character"),
    ],
)
async def test_a_language_that_there_is_not_is_answered_in_english(call, locale):
    card = await execute("/rushes help", replace(call, locale=locale))
    assert plain(card) == plain(await execute("/rushes help", call))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        attack("after_frames", 5, what="a member of jobs that is no option, in a form"),
        attack("latents", "7Q2FK9XDAB", what="the file of another job, in a form"),
        attack("original", "gore", what="the words of a person, in a form"),
        attack("nosuch", "x", what="an option that there is not, in a form"),
    ],
)
async def test_a_form_sets_nothing_that_is_no_option(call, name, value):
    asked = replace(call, options={"prompt": "a fox", name: value})
    card = await invoke(COMMANDS["/generate"], asked)
    assert card.kind is CardKind.ERROR
    assert name in plain(card)
    assert call.jobs.orders == []
