from __future__ import annotations

from dataclasses import replace

import pytest

from commands.caller import Caller
from commands.catalog import COMMANDS
from commands.policy.presets_store import MAXIMUM_PRESETS
from commands.run import execute, invoke
from commands.text.card import plain


@pytest.fixture
def admin(call):
    return replace(call, caller=Caller(id="boss", name="Boss", admin=True))


async def say(call, line):
    return plain(await execute(line, call))


async def test_a_preset_becomes_the_persons_defaults_and_what_is_typed_still_wins(call, jobs):
    answer = await say(call, "/rushes preset save Fast --res 360p --frames 49 --camera pan left")
    assert answer == "Saved preset fast: --res 360p --frames 49 --camera pan left"
    await say(call, "/rushes settings set default.steps 9")
    await say(call, "/rushes preset use fast")
    await say(call, "/generate a fox --camera static")
    spec, origins = jobs.orders[0].spec, jobs.orders[0].origins
    assert (spec.resolution, spec.frames, spec.camera) == ("360p", 49, "static")
    assert (origins["resolution"], origins["camera"]) == ("user", "typed")
    assert origins["steps"] == "built-in", "a preset replaces what was set before"


async def test_without_flags_what_one_has_set_is_kept(call):
    await say(call, "/rushes settings set default.aspect 9:16")
    assert await say(call, "/rushes preset save tall") == "Saved preset tall: --ar 9:16"


async def test_a_guilds_preset_is_for_everybody_and_ones_own_goes_before(call, admin):
    await say(admin, "/rushes preset save fast --everyone --res 360p")
    assert (
        await say(call, "/rushes preset list") == "Presets\nfast: --res 360p (set for this server)"
    )
    await say(call, "/rushes preset save fast --res 720p")
    assert "--res 720p" in await say(call, "/rushes preset use fast")
    assert await say(call, "/rushes preset delete fast") == "Deleted preset fast."
    assert "--res 360p" in await say(call, "/rushes preset use fast")
    log = await say(admin, "/rushes-admin settings log")
    assert "preset fast" in log
    assert "720p" not in log


async def test_only_admins_make_and_delete_presets_for_everyone(call, admin):
    refused = "Only admins can change presets for everyone."
    assert (await say(call, "/rushes preset save x --res 360p --everyone")).startswith(refused)
    await say(admin, "/rushes preset save fast --everyone --res 360p")
    assert (await say(call, "/rushes preset delete fast --everyone")).startswith(refused)
    assert await say(call, "/rushes preset delete fast") == (
        "There is no preset fast. /rushes preset list shows them all."
    )
    assert await say(admin, "/rushes preset delete fast --everyone") == "Deleted preset fast."


async def test_other_peoples_presets_are_as_unknown_as_none(call, admin):
    await say(admin, "/rushes preset save secret --seed 7")
    await say(admin, "/rushes preset save secret --res 360p")
    for verb in ("use", "delete"):
        answer = await say(call, f"/rushes preset {verb} secret")
        unknown = await say(call, f"/rushes preset {verb} zzzzzz")
        assert answer == unknown.replace("zzzzzz", "secret")
    assert "There are no presets yet" in await say(call, "/rushes preset list")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/rushes preset save", "name needs a value after it."),
        ("/rushes preset use", "name needs a value after it."),
        ("/rushes preset save a.b --res 360p", "“a.b” cannot be a preset name."),
        ("/rushes preset save fast", "Add options to the preset"),
        ("/rushes preset save fast --seed 7", "A preset cannot contain --seed."),
        ("/rushes preset save fast --res 360p fox", "“fox” is not expected here."),
        ("/rushes preset save fast --sed 7", "There is no option --sed. Did you mean --seed?"),
        ("/rushes preset save fast --model dalle", "There is no model “dalle” here."),
        ("/rushes preset paint", "action cannot be “paint”."),
        ("/rushes preset use fst", "There is no preset fst. Did you mean fast?"),
        ("/rushes preset use fast now please", None),
    ],
)
async def test_what_makes_no_preset_is_refused(admin, call, line, sentence):
    await say(admin, "/rushes preset save fast --everyone --res 360p")
    answer = await say(call, line)
    assert sentence is None or answer.startswith(sentence)


async def test_there_are_not_more_presets_than_fit_into_a_list(call):
    for number in range(MAXIMUM_PRESETS):
        await say(call, f"/rushes preset save p{number} --res 360p")
    assert (await say(call, "/rushes preset save more --res 360p")).startswith("The limit is 50")
    assert "Saved preset p1:" in await say(call, "/rushes preset save p1 --res 720p")


async def test_a_form_saves_what_a_line_saves(call):
    command = next(item for item in COMMANDS if item.typed == "/rushes preset")
    options = {"action": "save", "name": "fast", "flags": "--res 360p"}
    await invoke(command, replace(call, options=options))
    assert "fast: --res 360p (yours)" in await say(call, "/rushes preset list")
