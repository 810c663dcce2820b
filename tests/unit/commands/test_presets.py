from __future__ import annotations

from dataclasses import replace

import pytest

from commands.caller import Caller
from commands.policy.presets_store import MAXIMUM_PRESETS
from commands.run import execute, invoke, press
from commands.text.card import plain
from tests.fakes.commands import COMMANDS


@pytest.fixture
def admin(call):
    return replace(call, caller=Caller(id="boss", name="Boss", admin=True))


async def say(call, line):
    return plain(await execute(line, call))


async def test_a_preset_becomes_the_persons_defaults_and_what_is_typed_still_wins(call, jobs):
    answer = await say(call, "/rushes preset save Fast --res 360p --frames 49 --camera pan left")
    assert answer == "Saved preset fast: --resolution 360p --frames 49 --camera pan left"
    await say(call, "/rushes settings set default.steps 9")
    await say(call, "/rushes preset use fast")
    await say(call, "/generate a fox --camera static")
    spec, origins = jobs.orders[0].spec, jobs.orders[0].origins
    assert (spec.resolution, spec.frames, spec.options["camera"]) == ("360p", 49, "static")
    assert (origins["resolution"], origins["camera"]) == ("user", "typed")
    assert origins["steps"] == "model", "a preset replaces what was set before"


async def test_without_flags_what_one_has_set_is_kept(call):
    await say(call, "/rushes settings set default.aspect 9:16")
    assert await say(call, "/rushes preset save tall") == "Saved preset tall: --aspect 9:16"


async def test_a_guilds_preset_is_for_everybody_and_ones_own_goes_before(call, admin):
    await say(admin, "/rushes preset save fast --everyone --res 360p")
    assert (
        await say(call, "/rushes preset list") == "Presets\nfast: --resolution 360p (set here)\n"
        "For one job: --preset fast · for all your jobs: /rushes preset use fast"
    )
    await say(call, "/rushes preset save fast --res 720p")
    assert "--resolution 720p" in await say(call, "/rushes preset use fast")
    assert await say(call, "/rushes preset delete fast") == "Deleted preset fast."
    assert "--resolution 360p" in await say(call, "/rushes preset use fast")
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
        ("/rushes preset save", "Something is missing. Write /rushes preset save <name>"),
        ("/rushes preset use", "Something is missing. Write /rushes preset use <name>"),
        ("/rushes preset save a.b --res 360p", "“a.b” cannot be a preset name."),
        ("/rushes preset save fast", "Add options to the preset"),
        ("/rushes preset save fast --seed 7", "A preset cannot contain --seed."),
        ("/rushes preset save fast --res 360p fox", "“fox” is not expected here."),
        ("/rushes preset save fast --sed 7", "There is no option --sed. Did you mean --seed?"),
        ("/rushes preset save fast --model dalle", "There is no model “dalle” here."),
        ("/rushes preset paint", "action cannot be “paint”."),
        ("/rushes preset use fst", "There is no preset fst. Did you mean fast?"),
        (
            "/rushes preset use fast now please",
            "“now please” is not expected here. To make one clip",
        ),
        (
            "/rushes preset use fast --frams 49",
            "There is no option --frams. Did you mean --frames?",
        ),
        ("/rushes preset use fast --seed 7", "A preset cannot contain --seed."),
        ("/rushes preset save none --res 360p", "“none” cannot be a preset name."),
        ("/rushes preset delete fast too", "“too” is not expected here."),
        ("/rushes preset list fast", "“fast” is not expected here."),
        ("/rushes preset show fst", "There is no preset fst. Did you mean fast?"),
        ("/generate a fox --preset fst", "There is no preset fst. Did you mean fast?"),
        ("/generate a fox --preset zzzzz", "There is no preset zzzzz."),
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
    command = COMMANDS["/rushes preset"]
    options = {"action": "save", "name": "fast", "flags": "--res 360p"}
    await invoke(command, replace(call, options=options))
    assert "fast: --resolution 360p (yours)" in await say(call, "/rushes preset list")


async def test_a_preset_may_hold_for_one_job_below_what_is_typed(call, jobs):
    await say(call, "/rushes preset save fast --res 360p --frames 49 --camera pan left")
    await say(call, "/generate a fox --preset FAST --camera static")
    spec, origins = jobs.orders[0].spec, jobs.orders[0].origins
    assert (spec.resolution, spec.frames, spec.options["camera"]) == ("360p", 49, "static")
    assert (origins["frames"], origins["camera"]) == ("preset", "typed")
    await say(call, "/generate a fox")
    assert jobs.orders[1].spec.frames != 49
    await invoke(
        COMMANDS["/generate"], replace(call, options={"prompt": "a fox", "preset": "fast"})
    )
    assert jobs.orders[2].spec.frames == 49


async def test_one_job_is_made_without_the_preset_in_use(call, jobs):
    await say(call, "/rushes preset save fast --frames 49 --ar 9:16")
    await say(call, "/rushes preset use fast")
    for line in ("/generate a fox --preset none --res 360p", "/generate a fox"):
        await execute(line, call)
    alone, after = jobs.orders
    assert (alone.origins["frames"], alone.origins["aspect"]) == ("model", "built-in")
    assert alone.spec.resolution == "360p"
    assert after.origins["frames"] == "user"


async def test_a_mistyped_preset_is_offered_as_a_button(call, jobs):
    await say(call, "/rushes preset save fast --frames 49")
    refused = await execute("/generate a fox --preset fst", call)
    [button] = refused.buttons
    assert button.label == "--preset fast"
    await press(button.id, call)
    assert jobs.orders[0].spec.frames == 49


async def test_flags_after_the_name_are_used_too(call, jobs):
    await say(call, "/rushes preset save fast --res 360p --frames 49")
    used = await say(call, "/rushes preset use fast --ar 9:16 --frames 65")
    assert "--resolution 360p --frames 65 --aspect 9:16" in used
    await say(call, "/generate a fox")
    assert (jobs.orders[0].spec.aspect, jobs.orders[0].spec.frames) == ("9:16", 65)


async def test_there_is_a_way_back_from_a_preset(call, jobs):
    await say(call, "/rushes settings set default.aspect 9:16")
    await say(call, "/rushes preset save fast --res 360p")
    used = await say(call, "/rushes preset use fast")
    assert "/rushes preset use before" in used
    again = await say(call, "/rushes preset use fast")
    assert "/rushes preset use none" in again
    assert "neither a preset" in await say(call, "/rushes preset use none")
    await say(call, "/generate a fox")
    assert jobs.orders[0].origins["aspect"] == "built-in"
    await say(call, "/rushes preset use before")
    await say(call, "/generate a fox")
    assert (jobs.orders[1].spec.aspect, jobs.orders[1].origins["aspect"]) == ("9:16", "user")


@pytest.mark.parametrize("typed", ["show fast", "fast"])
async def test_one_preset_is_shown_with_its_options(call, typed):
    await say(call, "/rushes preset save fast --res 360p --frames 49")
    lines = (await say(call, f"/rushes preset {typed}")).splitlines()
    assert lines[:2] == ["Preset fast", "yours"]
    assert any("360p" in line for line in lines)
    assert any("49 frames" in line for line in lines)
    assert "--preset fast" in lines[-1]
