from __future__ import annotations

from dataclasses import replace

import pytest

from commands.actions import Action, ButtonId
from commands.installation import Installation
from commands.run import execute, press, submit
from commands.specs.extension import longest_clip
from commands.text.card import plain
from inference.domain.job import JobState
from inference.domain.reference import Attached, FromParent, Kept, Prepared
from inference.domain.render import LATENTS_NAME, Manifest
from tests.fakes.commands import with_pictures

MANIFEST = Manifest(
    name="clip.mp4",
    size=1,
    sha256="",
    width=1280,
    height=720,
    frames=97,
    timings={"load": 0.04, "text": 0.2, "sample": 12.34, "decode": 2.0, "other": 1.0},
    forwards=50,
    peak_bytes=21_400_000_000,
    latents_sha256="",
)


@pytest.fixture
def call(call, big, small):
    able = replace(big, extends=True, last_image=True)
    return replace(call, installation=replace(call.installation, models=(able, small)))


@pytest.fixture
async def clip(call, jobs):
    """A finished clip whose latents are kept."""
    made = await execute("/generate a red fox --seed 7 --camera pan left", call)
    job = await jobs.get(made.job, tenant=call.channel.tenant)
    jobs.kept.add(job.id)
    return jobs.put(replace(job, state=JobState.DONE, manifest=MANIFEST))


def extend(job):
    return ButtonId(action=Action.EXTEND, job=job.id).encode()


def actions(card):
    return [button.action for button in card.buttons]


async def test_a_still_is_told_to_be_none(call, jobs, clip):
    still = replace(clip, spec=replace(clip.spec, frames=1))
    jobs.put(replace(still, manifest=replace(MANIFEST, frames=1, latents_sha256=None)))
    card = await press(extend(clip), call)
    assert f"{clip.id} is a still image" in plain(card)


async def test_extending_asks_for_the_clip_and_one_pass_more(call, jobs, clip):
    card = await press(extend(clip), call)

    order = jobs.orders[-1]
    assert order.parent == clip.id
    assert order.spec.latents == FromParent(Kept.LATENTS)
    assert (order.spec.after_frames, order.spec.total_frames) == (97, 177)
    assert order.spec.options == clip.spec.options
    assert order.spec.seed != clip.spec.seed
    assert "177 frames (7.4 s) · 80 new frames" in plain(card)


async def test_the_button_is_there_as_long_as_there_is_something_to_go_on_from(call, jobs, clip):
    info = ButtonId(action=Action.INFO, job=clip.id).encode()
    assert Action.EXTEND in actions(await press(info, call))

    jobs.kept.clear()
    assert Action.EXTEND not in actions(await press(info, call))
    assert "no longer stored" in plain(await press(extend(clip), call))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifest": None}, "no longer stored"),
        ({"manifest": replace(MANIFEST, latents_sha256=None)}, "no longer stored"),
        ({"removed_at": 1.0}, "no longer stored"),
        (
            {"manifest": replace(MANIFEST, frames=1600)},
            "cannot get longer. The limit is 1617 frames",
        ),
    ],
)
async def test_what_cannot_be_extended_says_why_and_queues_nothing(
    call, jobs, clip, changes, words
):
    jobs.put(replace(clip, **changes))
    before = len(jobs.orders)

    assert words in plain(await press(extend(clip), call))
    assert len(jobs.orders) == before


async def test_a_model_that_keeps_nothing_says_so(call, jobs, clip, small):
    forgetful = Installation(models=(replace(small, extends=False),), default_model="nano")
    call = replace(call, installation=forgetful)
    jobs.put(replace(clip, spec=replace(clip.spec, model="nano")))

    assert "cannot extend clips" in plain(await press(extend(clip), call))


def test_many_jobs_make_no_longer_clip_than_all_loops_of_one(call, clip):
    assert longest_clip(clip.spec) == replace(clip.spec, loops=20).total_frames


async def test_an_edited_extension_goes_on_from_the_same_clip(call, jobs, clip):
    child = jobs.put(
        replace(
            await jobs.get((await press(extend(clip), call)).job, tenant=call.channel.tenant),
            state=JobState.DONE,
        )
    )
    jobs.put(replace(child, spec=replace(child.spec, latents=Prepared(LATENTS_NAME))))
    form = ButtonId(action=Action.EDIT, job=child.id).encode()

    await submit(form, {"prompt": "a red fox that sleeps"}, call)

    spec = jobs.orders[-1].spec
    assert (spec.prompt, spec.latents, spec.after_frames) == (
        "a red fox that sleeps",
        FromParent(Kept.INPUT),
        97,
    )
    refused = await submit(form, {"prompt": "a fox", "aspect": "9:16"}, call)
    assert "its model, resolution and aspect cannot change" in plain(refused)


async def test_what_it_cost_is_for_its_requester_and_admins(call, jobs, clip):
    info = ButtonId(action=Action.INFO, job=clip.id).encode()
    words = "load 0.0 s · text 0.2 s · sample 12.3 s · decode 2.0 s"
    words += " · 50 model calls · 21.4 GB peak memory"
    other = replace(call.caller, id="u2", name="bob")

    assert words in plain(await press(info, call))
    assert words not in plain(await press(info, replace(call, caller=other)))
    assert words in plain(await press(info, replace(call, caller=replace(other, admin=True))))


async def test_a_last_image_needs_a_first_one_and_a_model_that_can(call, jobs, tmp_path):
    terminal = with_pictures(call, tmp_path, "a.png", "b.png")

    assert "needs a first image too" in plain(await execute("/generate fox --last b.png", terminal))
    assert "Attach the image" in plain(await execute("/generate fox --last b.png", call))
    await execute("/generate fox --image a.png --last b.png", terminal)

    assert (jobs.orders[-1].spec.image, jobs.orders[-1].spec.last) == (
        Attached("a.png"),
        Attached("b.png"),
    )


async def test_an_extension_that_ended_unprepared_is_tried_again_from_the_same_clip(
    call, jobs, clip
):
    child = await jobs.get((await press(extend(clip), call)).job, tenant=call.channel.tenant)
    jobs.put(replace(child, state=JobState.CANCELLED))

    await press(ButtonId(action=Action.RETRY, job=child.id).encode(), call)

    assert (jobs.orders[-1].spec, jobs.orders[-1].parent) == (child.spec, clip.id)
