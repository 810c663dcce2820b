"""What a refusal advises is possible: every option with every command, as typed and as pressed."""

import re
from dataclasses import replace
from itertools import product

import pytest

from commands.caller import Caller
from commands.run import execute, press
from commands.text.card import CardKind, plain
from inference.domain.capabilities import Lengths
from inference.domain.spec import Mode
from tests.fakes.commands import with_pictures
from tests.fakes.models import MODELS

pytestmark = pytest.mark.deep

NANO, TESTCARD = MODELS.capabilities("nano"), MODELS.capabilities("testcard")
CLIPS = replace(
    TESTCARD,
    name="clips",
    title="Clips",
    modes=frozenset({Mode.TEXT_TO_VIDEO}),
    lengths=Lengths((5, 9)),
    options=(),
    negative=False,
    last_image=False,
    extends=False,
    defaults={},
)
ANIMATOR = replace(CLIPS, name="animator", title="Animator", modes=frozenset({Mode.IMAGE_TO_VIDEO}))

IMAGE = "--image cat.png"
COMMANDS = {
    "/generate a red ball": True,
    "/image a red ball": False,
    f"/animate it runs {IMAGE}": False,
    "/animate it runs": False,
    "/random": False,
}
"""How each command is typed -> whether it takes everything."""

FLAG = re.compile("--[a-z]+")
FIXED_BY = {"/image": {"--frames", "--image", "--last", "--loops"}}
"""What a command does not take, however it is typed."""


def installations(call, folder):
    for models in ((NANO,), (TESTCARD, CLIPS, ANIMATOR), (CLIPS,), (ANIMATOR, CLIPS), (ANIMATOR,)):
        installation = type(call.installation)(models=models, default_model=models[0].name)
        yield replace(with_pictures(call, folder, "cat.png", "x.png"), installation=installation)


def settings(installation):
    """Every flag with every value of a short list, and with values on both sides of a range."""
    for option in installation.options.order:
        if option.flag is None:
            continue
        values = [str(choice) for choice in option.choices]
        if option.range is not None:
            low, high = option.range.lowest, option.range.highest
            values += [str(int(value)) for value in (low, low + 1, high)]
        if option.name == "frames":
            values += ["1", "2", "50", "9999"]
        if option.name == "model":
            values += [model.name for model in installation.models]
        for value in dict.fromkeys(values) or ["x.png"]:
            yield option.flag, f'--{option.flag} "{value}"'


async def test_no_advice_is_refused(call, jobs, tmp_path):
    jobs.limit = 10**9
    checked = 0
    for here in installations(call, tmp_path):
        for command in COMMANDS:
            for flag, typed in settings(here.installation):
                if f"--{flag}" in command:
                    continue
                line = f"{command} {typed}"
                card = await execute(line, here)
                if card.kind is not CardKind.ERROR:
                    continue
                checked += 1
                _check_words(card, command, flag)
                for button in card.buttons:
                    await _check_press(button, here, plain(card), line)
    assert checked > 100


async def _check_press(button, here, said, line):
    """Follow a button; what is refused for a second reason says that, and what to do."""
    again = await press(button.id, here)
    if again.kind is CardKind.ERROR:
        assert plain(again) != said, (line, button.label)
        assert again.buttons, (line, button.label, plain(again))
        last = await press(again.buttons[0].id, here)
        assert last.kind is not CardKind.ERROR, (line, button.label, plain(again), plain(last))


def _check_words(card, command, flag):
    said = plain(card)
    verb = command.split()[0]
    advised = {each for each in FLAG.findall(said) if each != f"--{flag}"}
    if "/generate" not in said and "/animate" not in said:  # those take what this one does not
        assert not advised & FIXED_BY.get(verb, set()), (command, flag, said)
    if verb == "/animate":
        assert "leave the image out" not in said.casefold(), (command, flag, said)
    if verb == "/image":
        assert "longer clip" not in said, (command, flag, said)


WRONG = (
    *("nonsense", "-1", "0", "3.7", "999999999999", "1e3", "--", '""', "on", "off", "nan"),
    *("3:2", "480p", "pan-lft", "hig", "👨‍👩‍👧‍👦", "빨강", "nosuch.png", "e\u0301"),
)
LISTS = re.compile(r"(?:Choose|Possible:) (?P<values>[^;]*?)(?: frames)?(?: or more)?\.(?: |$)")
RANGE = re.compile(r"must be from (?P<lowest>\S+) to (?P<highest>\S+),")
MEANT = re.compile(r"Did you mean (?P<value>[^?]+)\?")
LEFT_OUT = re.compile(r"[Ll]eave (?P<flag>--[\w-]+) out")
EXAMPLE = re.compile(r"(?<=example: )/[^\n]+")


def advised(said):
    """Return the values that a refusal names for the option that it is about."""
    values = [value for found in RANGE.finditer(said) for value in found.group("lowest", "highest")]
    values += [found["value"] for found in MEANT.finditer(said)]
    for found in LISTS.finditer(said):
        values += re.split(r", | or ", found["values"])
    return [value for value in values if not value.startswith(("--", "/", "a "))]


@pytest.mark.parametrize(
    ("number", "wrong"),
    [(0, WRONG[:2]), *(pytest.param(at, WRONG, marks=pytest.mark.slow) for at in range(5))],
    ids=lambda each: str(each) if isinstance(each, int) else "",
)
async def test_what_words_advise_works(call, jobs, tmp_path, number, wrong):
    jobs.limit = 10**9
    checked = 0
    here = list(installations(call, tmp_path))[number]
    flags = [each.flag for each in here.installation.options.order if each.flag]
    alone = {command: plain(await execute(command, here)) for command in COMMANDS}
    for command, flag, value in product(COMMANDS, flags, wrong):
        if f"--{flag}" in command:
            continue
        line = f"{command} --{flag} {value}"
        card = await execute(line, here)
        if card.kind is not CardKind.ERROR:
            continue
        said = plain(card)
        again = [f'{command} --{flag} "{value}"' for value in advised(said)]
        if (left_out := LEFT_OUT.search(said)) and left_out["flag"] == f"--{flag}":
            again.append(command)
        again += EXAMPLE.findall(said)
        again += [each.typed for each in here.commands if each.parent and each.typed in said]
        for advice in again:
            checked += 1
            answer = await execute(advice, here)
            # Of two mistakes, the second is told next.
            fine = answer.kind is not CardKind.ERROR or plain(answer) == alone[command]
            assert fine, (line, said, advice, plain(answer))
    assert checked > 50


async def test_what_still_fits_leaves_out_what_the_command_sets(call, jobs):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute("/rushes-admin settings set quota.user 3", admin)
    for _ in range(3):
        await execute("/image a red ball", call)
    said = plain(await execute("/image a red ball", call))
    assert said.endswith("This still fits: --resolution 360p")
    assert (await execute("/image a red ball --res 360p", call)).kind is CardKind.WAITING


@pytest.mark.parametrize(
    ("platform", "said"),
    [
        ("any", "Add one, and say what should happen with it."),
        ("terminal", "/animate the boat is moving to the left --image boat.png"),
        ("discord", "drop an image on “image”"),
        ("slack", "choose an image in the form"),
    ],
)
@pytest.mark.parametrize("line", ["/animate", "/animate it runs"])
async def test_animate_without_a_picture_shows_how_it_is_done_there(call, platform, said, line):
    card = await execute(line, replace(call, channel=replace(call.channel, pictures=platform)))
    assert said in plain(card)
    assert "/generate a" not in plain(card)


async def test_an_image_without_a_prompt_shows_an_image(call):
    assert "/image a brown tree" in plain(await execute("/image", call))


# -- help ----------------------------------------------------------------------------------------


async def test_help_says_the_values_that_are_taken_when_nothing_is_set(call, tmp_path):
    nano = next(installations(call, tmp_path))
    said = plain(await execute("/rushes help generate", nano))
    for line in ("default 360p", "default 49", "default 14", "default 4", "nano · default nano"):
        assert line in said
    assert "720p" not in said
    for setting in ("default.frames 97", "default.steps 20"):
        await execute(f"/rushes settings set {setting}", nano)
    said = plain(await execute("/rushes help generate", nano))
    assert ("default 97" in said, "default 20" in said, "default 14" in said) == (True, True, False)


async def test_help_follows_the_model_that_somebody_prefers(call):
    here = replace(
        call,
        installation=type(call.installation)(models=(NANO, TESTCARD), default_model="nano"),
    )
    await execute("/rushes settings set default.model testcard", here)
    said = plain(await execute("/rushes help generate", here))
    assert "default testcard" in said
    assert "default 97" in said
    assert "default nano" in plain(await execute("/rushes help generate --model nano", here))
    assert "default 49" in plain(await execute("/rushes help --model nano", here))


@pytest.mark.parametrize(
    "line", ["/rushes-admin help", "/rushes-admin", "/rushes help rushes-admin"]
)
async def test_admins_get_the_list_of_their_commands(call, line):
    admin = replace(call, caller=Caller(id="u1", name="ada", admin=True))
    said = plain(await execute(line, admin))
    assert "/rushes-admin settings" in said
    assert "/generate " not in said
    explained = plain(await execute("/rushes-admin help settings", admin))
    assert explained.startswith("/rushes-admin settings")


async def test_members_are_told_that_they_are_no_admins(call):
    assert "/rushes-admin" in plain(await execute("/rushes-admin help", call))
    assert (await execute("/rushes-admin help", call)).kind is CardKind.ERROR


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
async def test_what_words_advise_for_a_setting_works(call, tmp_path, number):
    here = list(installations(call, tmp_path))[number]
    here = replace(here, caller=Caller(id="boss", name="Boss", admin=True, operator=True))
    checked = 0
    for key, value in product(here.policy.known.by_key, WRONG):
        said = await execute(f"/rushes-admin settings set {key} {value}", here)
        if said.kind is not CardKind.ERROR:
            await execute(f"/rushes-admin settings reset {key}", here)
            continue
        for advice in advised(plain(said)):
            checked += 1
            answer = await execute(f"/rushes-admin settings set {key} {advice}", here)
            assert answer.kind is not CardKind.ERROR, (key, value, plain(said), plain(answer))
            await execute(f"/rushes-admin settings reset {key}", here)
    assert checked > 50


async def test_the_example_of_every_setting_works(call, jobs, tmp_path):
    jobs.limit = 10**9
    here = next(installations(call, tmp_path))
    here = replace(here, caller=Caller(id="boss", name="Boss", admin=True, operator=True))
    for key in here.policy.known.by_key:
        explained = plain(await execute(f"/rushes-admin settings {key}", here))
        for line in re.findall(r"Example: (/.+)", explained):
            answer = await execute(line, here)
            assert answer.kind is not CardKind.ERROR, (key, line, plain(answer))
        for flags in re.findall(r"For one job: (.+)", explained):
            answer = await execute(f"/generate a ball {flags}", here)
            assert answer.kind is not CardKind.ERROR, (key, flags, plain(answer))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/generate a ball --qqqqqq", "/rushes help generate"),
        ("/image a ball --qqqqqq", "/rushes help image"),
        ("/rushes history --qqqqqq", "/rushes help history"),
        ("/rushes-admin quota bob --qqqqqq", "/rushes-admin help quota"),
        ("/rushes preset save one --qqqqqq", "/rushes help generate"),  # its options are these
    ],
)
async def test_an_unknown_option_points_to_the_help_that_lists_the_options(call, line, told):
    admin = replace(call, caller=Caller(id="u1", name="ada", admin=True))
    said = plain(await execute(line, admin))
    assert f"--qqqqqq. {told} lists them all." in said
    assert (await execute(told, admin)).kind is CardKind.INFO


@pytest.mark.parametrize("line", ["/rushes-admin forget bob", "/rushes-admin forget-me bob"])
async def test_who_wants_to_forget_somebody_is_not_led_to_delete_their_own_data(call, line):
    admin = replace(call, caller=Caller(id="u1", name="ada", admin=True))
    assert "forget-me?" not in plain(await execute(line, admin))
    assert "/rushes forget-me" in plain(await execute("/rushes forget", admin))


async def test_help_does_not_name_speeds_that_are_not_there(call):
    nano = replace(call, installation=type(call.installation)(models=(NANO,), default_model="nano"))
    assert "fast" not in plain(await execute("/rushes help generate", nano)).replace("faster", "")
