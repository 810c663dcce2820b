from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.policy.refused_requests import (
    KEPT_OF_ONE_PERSON,
    KEPT_SECONDS,
    RefusedRequest,
    RefusedRequestStore,
)
from commands.policy.stores import TABLES
from commands.run import execute, invoke, press, submit
from commands.text.card import CardKind, plain
from inference.domain.capabilities import Lengths
from inference.domain.errors import NotFound
from inference.domain.job import JobState
from inference.domain.render import Manifest
from inference.domain.spec import Mode
from inference.store.sqlite.database import open_database
from tests.fakes.clock import ManualClock
from tests.fakes.commands import with_pictures
from tests.fakes.options import OPTIONS


@pytest.fixture
def call(call, big):
    """A call where the default model has lengths of its own and no negative prompt."""
    fours = replace(
        big, lengths=Lengths.rule(offset=1, step=4, shortest=5, longest=121), negative=False
    )
    models = (fours, *call.installation.models[1:])
    return replace(call, installation=replace(call.installation, models=models))


def labels(card):
    return [button.label for button in card.buttons]


def _refused(text):
    return RefusedRequest(asked="/generate", text=text, offers=({"frames": 97},))


async def _is_there(store, person, request_id):
    try:
        await store.get("t", person, request_id)
    except NotFound:
        return False
    return True


async def test_a_refusal_has_a_button_for_each_nearest_thing(call):
    card = await execute("/generate a fox --frames 100 --ar 9:16", call)
    assert (card.kind, card.private) == (CardKind.ERROR, True)
    assert plain(card) == ("Open-Sora v1.3 does not support --frames 100. Choose 97 or 101 frames.")
    assert labels(card) == ["97 frames", "101 frames"]
    assert all(len(button.id) <= 100 for button in card.buttons)


async def test_a_press_asks_again_with_the_change_and_everything_else(call, jobs):
    refused = await execute("/generate a fox --frames 100 --ar 9:16 --seed 7", call)
    later = replace(call, text="something else")
    card = await press(refused.buttons[1].id, later)
    assert card.job == "JOB0000001"
    spec = jobs.orders[0].spec
    assert (spec.prompt, spec.frames, spec.aspect, spec.seed) == ("a fox", 101, "9:16", 7)


@pytest.mark.parametrize(
    ("line", "label", "made"),
    [
        ("/generate a fox --aspect 16:99 --seed 7", "16:9", {"aspect": "16:9", "seed": 7}),
        ("/generate a fox --asepct 9:16", "--aspect", {"aspect": "9:16"}),
        ("/generate --sed:7 a fox", "--seed", {"seed": 7}),
        ('/generate a fox --camera "pan lft" --seed 7', "--camera pan left", {"seed": 7}),
        ("/generate a fox --seed 3 --res 720", "720p", {"resolution": "720p"}),
        ("/generate a fox —sed 7", "--seed", {"seed": 7}),
    ],
)
async def test_a_mistyped_word_is_corrected_by_a_press(call, jobs, line, label, made):
    refused = await execute(line, call)
    assert labels(refused) == [label]
    card = await press(refused.buttons[0].id, replace(call, text="something else"))
    assert card.job == "JOB0000001", plain(card)
    spec = jobs.orders[0].spec
    assert spec.prompt == "a fox"
    assert {name: spec.value(name) for name in made} == made


async def test_one_mistake_after_the_other_is_corrected(call, jobs):
    first = await execute("/generate a fox --asepct 16:99 --frames 100", call)
    second = await press(first.buttons[0].id, call)
    assert labels(second) == ["16:9"]
    third = await press(second.buttons[0].id, call)
    assert labels(third) == ["97 frames", "101 frames"]
    await press(third.buttons[0].id, call)
    spec = jobs.orders[0].spec
    assert (spec.prompt, spec.aspect, spec.frames) == ("a fox", "16:9", 97)


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "a fox --asepct 9:16"},
        {"prompt": "a fox", "aspect": "9:166"},
        {"prompt": "a fox", "more": "--aspect 9:166"},
        {"prompt": "a fox", "more": "--asepct 9:16"},
    ],
)
async def test_a_mistyped_word_of_a_slash_command_is_corrected_too(call, jobs, options):
    refused = await invoke(call.commands["/generate"], replace(call, options=options))
    assert len(refused.buttons) == 1, plain(refused)
    await press(refused.buttons[0].id, call)
    assert (jobs.orders[0].spec.prompt, jobs.orders[0].spec.aspect) == ("a fox", "9:16")


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "an owl --asepct 9:16"},
        {"prompt": "an owl", "flags": "--asepct 9:16"},
        {"prompt": "an owl", "aspect": "9:166"},
        {"prompt": "an owl", "flags": "--aspect 9:166", "aspect": ""},
    ],
)
async def test_a_mistyped_word_of_an_edit_is_corrected_too(call, jobs, values):
    await execute("/generate a fox", call)
    refused = await submit("v1:edit:JOB0000001", values, call)
    assert len(refused.buttons) == 1, plain(refused)
    await press(refused.buttons[0].id, call)
    job = await jobs.get("JOB0000001", tenant="test:g1")
    assert (job.spec.prompt, job.spec.aspect) == ("an owl", "9:16")


async def test_a_mistyped_word_of_another_command_has_no_button(call):
    for line in ("/rushes settings set aspect 16:99", "/rushes preset save tall --asepct 9:16"):
        refused = await execute(line, call)
        assert (refused.kind, refused.buttons) == (CardKind.ERROR, ()), plain(refused)


async def _limited(call, key, value):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute(f"/rushes-admin settings set {key} {value}", admin)


async def _done(call, line):
    card = await execute(line, call)
    job = await call.jobs.get(card.job, tenant="test:g1")
    manifest = Manifest(
        name="clip.mp4",
        size=1,
        sha256="",
        width=1280,
        height=720,
        frames=job.spec.frames,
        latents_sha256="",
    )
    job = replace(job, state=JobState.DONE, ended_at=job.created_at, manifest=manifest)
    call.jobs.finished[job.id] = "clip.mp4"
    call.jobs.kept.add(job.id)
    return call.jobs.put(job)


@pytest.mark.parametrize("action", [Action.REROLL, Action.EXTEND, Action.RETRY])
async def test_what_a_cap_leaves_is_a_button_of_a_job_made_again(call, jobs, action):
    job = await _done(call, "/generate a fox --frames 97 --seed 7")
    await _limited(call, "cap.frames", 57)
    refused = await press(ButtonId(action=action, job=job.id).encode(), call)
    assert labels(refused) == ["57 frames"]
    card = await press(refused.buttons[0].id, call)
    assert card.job is not None, plain(card)
    spec = jobs.orders[-1].spec
    assert (spec.frames, spec.prompt) == (57, "a fox")
    assert jobs.orders[-1].origins["frames"] == "typed"


@pytest.mark.parametrize("action", [Action.REROLL, Action.LARGER, Action.EXTEND])
async def test_what_a_quota_covers_is_a_button_of_a_job_made_again(call, jobs, action):
    job = await _done(call, "/generate a fox --frames 97 --res 360p")
    await _limited(call, "quota.user", 52)
    refused = await press(ButtonId(action=action, job=job.id).encode(), call)
    assert "This still fits: --frames" in plain(refused)
    card = await press(refused.buttons[0].id, call)
    assert card.job is not None, plain(card)
    if action is Action.EXTEND:
        assert jobs.orders[-1].spec.resolution == "360p"


async def test_a_still_that_its_model_cannot_animate_is_offered_with_one_that_can(call, jobs):
    still = await _done(call, "/image a fox --model nano")
    refused = await press(ButtonId(action=Action.ANIMATE, job=still.id).encode(), call)
    assert labels(refused) == ["With Open-Sora v1.3"]
    card = await press(refused.buttons[0].id, call)
    assert card.job is not None, plain(card)
    spec = jobs.orders[-1].spec
    assert (spec.model, spec.mode, jobs.orders[-1].parent) == (
        "opensora",
        Mode.IMAGE_TO_VIDEO,
        still.id,
    )


@pytest.mark.parametrize("typed", [False, True])
async def test_what_a_quota_covers_is_a_button_of_a_draft_to_be_finished(call, jobs, big, typed):
    drafting = replace(big, draft={"resolution": "360p", "frames": 49, "steps": 12})
    call = replace(call, installation=replace(call.installation, models=(drafting,)))
    draft = await _done(call, "/generate a fox --draft")
    await _limited(call, "quota.user", 60)
    button = ButtonId(action=Action.FINISH, job=draft.id).encode()
    line = f"/rushes finish {draft.id}"
    refused = await (execute(line, call) if typed else press(button, call))
    assert "This still fits" in plain(refused)
    card = await press(refused.buttons[0].id, call)
    assert card.job is not None, plain(card)
    assert (jobs.orders[-1].parent, jobs.orders[-1].spec.draft) == (draft.id, False)


async def test_what_a_form_asked_for_is_changed_as_well(call, jobs):
    options = {"prompt": "a fox --seed 7", "frames": 100, "aspect": "9:16"}
    command = call.commands["/generate"]
    refused = await invoke(command, replace(call, options=options))
    await press(refused.buttons[0].id, call)
    spec = jobs.orders[0].spec
    assert (spec.prompt, spec.frames, spec.aspect, spec.seed) == ("a fox", 97, "9:16", 7)


async def test_several_refusals_are_answered_one_after_the_other(call, jobs):
    first = await execute("/generate a fox --frames 100 --no rain", call)
    second = await press(first.buttons[0].id, call)
    assert labels(second) == ["Without --negative"]
    await press(second.buttons[0].id, call)
    assert (jobs.orders[0].spec.frames, jobs.orders[0].spec.negative) == (97, None)


async def test_another_model_that_can_is_offered(call, jobs, tmp_path):
    local = with_pictures(call, tmp_path, "fox.png")
    card = await execute("/generate a fox --model nano --image fox.png", local)
    assert labels(card) == ["With Open-Sora v1.3"]
    await press(card.buttons[0].id, local)
    assert jobs.orders[0].spec.model == "opensora"


async def test_an_edited_job_takes_the_change_too(call, jobs):
    await execute("/generate a fox", call)
    values = {"prompt": "an owl", "flags": "--frames 100"}
    refused = await submit("v1:edit:JOB0000001", values, call)
    assert labels(refused) == ["97 frames", "101 frames"]
    await press(refused.buttons[0].id, call)
    job = await jobs.get("JOB0000001", tenant="test:g1")
    assert (job.spec.prompt, job.spec.frames) == ("an owl", 97)


async def test_a_button_is_its_owners_alone_and_dies_in_a_day(call, jobs):
    refused = await execute("/generate a fox --frames 100", call)
    button = refused.buttons[0].id
    stranger = replace(call, caller=Caller(id="u2", name="bo"))
    elsewhere = replace(call, channel=replace(call.channel, tenant="test:g2"))
    for forger in (stranger, elsewhere):
        assert "too old to change" in plain(await press(button, forger))
    beyond = replace(ButtonId.decode(button), choice=9).encode()
    assert "too old to change" in plain(await press(beyond, call))
    assert jobs.orders == []


async def test_refused_requests_survive_a_restart_but_not_their_time_nor_too_many(tmp_path):
    clock = ManualClock()
    async with open_database(tmp_path / "drafts.sqlite3", TABLES) as database:
        store = RefusedRequestStore(database, clock)
        ids = [
            await store.save("t", "ann", _refused(f"fox {number}"))
            for number in range(KEPT_OF_ONE_PERSON + 1)
        ]
        other = await store.save("t", "bo", _refused("owl"))
    async with open_database(tmp_path / "drafts.sqlite3", TABLES) as database:
        store = RefusedRequestStore(database, clock)
        assert (await store.get("t", "ann", ids[-1])).text == f"fox {KEPT_OF_ONE_PERSON}"
        assert (await store.get("t", "bo", other)).offers == ({"frames": 97},)
        assert not await _is_there(store, "ann", ids[0])
        await store.forget("t", "ann")
        assert not await _is_there(store, "ann", ids[-1])
        clock.advance(KEPT_SECONDS + 1)
        assert not await _is_there(store, "bo", other)
        await store.save("t", "cy", _refused("elk"))
        [row] = await database.read("SELECT count(*) AS kept FROM drafts")
        assert row["kept"] == 1


OLD_ROW = (
    '{"asked": "/generate", "text": "\\u00e9l\\u00e9phant", "options": {"loops": 2, "cfg": 7.0,'
    ' "refine": false, "camera": "pan left"}, "offers": [{"frames": 97, "image": null}]}'
)
"""As older versions wrote it, with `json.dumps`."""


async def _insert_request(database, request_id, row, now):
    await database.execute(
        "insert",
        "INSERT INTO drafts (id, tenant, person, created_at, request) VALUES (?, ?, ?, ?, ?)",
        (request_id, "t", "ann", now, row),
    )


async def test_a_request_that_an_older_version_stored_is_read_with_its_types(tmp_path):
    clock = ManualClock()
    async with open_database(tmp_path / "drafts.sqlite3", TABLES) as database:
        store = RefusedRequestStore(database, clock)
        await _insert_request(database, "OLD", OLD_ROW, clock.now())
        old = await store.get("t", "ann", "OLD")
        assert old == RefusedRequest(
            asked="/generate",
            text="éléphant",
            options={"loops": 2, "cfg": 7.0, "refine": False, "camera": "pan left"},
            offers=({"frames": 97, "image": None},),
        )
        assert [type(value) for value in old.options.values()] == [int, float, bool, str]
        assert await store.get("t", "ann", await store.save("t", "ann", old)) == old


async def test_half_a_character_and_a_read_only_mapping_are_kept(tmp_path):
    refused = replace(
        _refused("a fox \udce9"),
        options=MappingProxyType({"loops": 2}),
        offers=(MappingProxyType({"frames": 97}), {"image": None}),
    )
    async with open_database(tmp_path / "drafts.sqlite3", TABLES) as database:
        store = RefusedRequestStore(database, ManualClock())
        kept = await store.get("t", "ann", await store.save("t", "ann", refused))
    assert (kept.text, kept.options, kept.offers) == (
        "a fox \udce9",
        {"loops": 2},
        ({"frames": 97}, {"image": None}),
    )


@pytest.mark.parametrize("row", ["", "{", "[]", '{"asked": 1, "text": "", "offers": []}'])
async def test_a_damaged_request_is_gone(tmp_path, row):
    clock = ManualClock()
    async with open_database(tmp_path / "drafts.sqlite3", TABLES) as database:
        await _insert_request(database, "BAD", row, clock.now())
        assert not await _is_there(RefusedRequestStore(database, clock), "ann", "BAD")


async def test_options_left_to_more_are_read_as_flags(call, jobs):
    command = call.commands["/generate"]
    options = {"prompt": "a fox", "aspect": "1:1", "more": "--seed 7 --camera pan left"}
    await invoke(command, replace(call, options=options))
    spec = jobs.orders[0].spec
    assert (spec.seed, spec.options["camera"], spec.aspect) == (7, "pan left", "1:1")
    twice = replace(call, options={**options, "seed": 8})
    assert plain(await invoke(command, twice)) == "--seed is given twice. Keep one of them."
    assert "more" not in OPTIONS.by_name


async def test_the_most_that_a_cap_leaves_is_a_button(call, jobs):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute("/rushes-admin settings set cap.frames 57", admin)
    refused = await execute("/generate a fox --frames 97", call)
    assert labels(refused) == ["57 frames"]
    await press(refused.buttons[0].id, call)
    assert jobs.orders[0].spec.frames == 57


async def test_what_a_quota_still_covers_is_a_button(call, jobs):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute("/rushes-admin settings set quota.user 8", admin)
    refused = await execute("/generate a fox --frames 97 --res 720p", call)
    assert "This still fits: --frames" in plain(refused)
    [button] = refused.buttons
    assert button.label == "9 frames · 720p"
    assert (await press(button.id, call)).job is not None


async def test_the_form_of_an_edit_names_what_the_model_can_do(call, jobs):
    await execute("/generate a fox --model nano", call)
    form = await press("v1:edit:JOB0000001", call)
    hints = {field.name: field.hint for field in form.fields}
    assert hints["resolution"] == "360p"


async def test_who_is_forgotten_leaves_no_refused_request(call, jobs):
    refused = await execute("/generate a secret fox --frames 100", call)
    await execute("/rushes forget-me yes", call)
    assert "too old to change" in plain(await press(refused.buttons[0].id, call))
    assert jobs.orders == []
