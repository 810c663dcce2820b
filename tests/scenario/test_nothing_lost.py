import io
import math

import av
import pytest

from tests.chaos.moments import SLOT_EVENTS, shaken
from tests.chaos.points import CLIP, STILL, discover, killed_at
from tests.chaos.table import Tally
from tests.chaos.verdict import judge
from tests.chaos.world import world

pytestmark = pytest.mark.process

HARDEST = (
    "after:claim",
    "after:post_card",
    "after:post_clip",
    "before:upload_complete",
    "after:upload_complete",
    "after:accept",
    "after:post_sheet",
)

BUSY = (
    {"status": 503},
    {"status": 429, "retry_after": 0.2},
    {"reset": True},
)


@pytest.fixture
async def living(tmp_path):
    async with world(tmp_path) as living:
        await living.start()
        yield living


async def told_the_end(living, *commands, seconds=180):
    for command in commands:
        await living.seen.answered(command)
        assert command.job, command.answer
        assert await living.seen.until(lambda job=command.job: living.seen.ended(job), seconds)


async def stopped_clean(living, **what):
    await living.stop()
    tally = await judge(living, **what)
    assert not tally.problems
    return tally


@pytest.mark.slow
async def test_an_undisturbed_story_ends_well_and_passes_every_kind_of_fault_point(tmp_path):
    points, tally = await discover(tmp_path / "story")
    assert not tally.problems
    assert (tally.accepted, tally.delivered_once, tally.told) == (9, 6, 1)
    assert set(HARDEST) <= set(points)


@pytest.mark.parametrize(
    "point", [HARDEST[0], *(pytest.param(point, marks=pytest.mark.slow) for point in HARDEST[1:])]
)
async def test_a_kill_at_the_worst_points_loses_and_repeats_nothing(tmp_path, point):
    tally = await killed_at(tmp_path / "story", point)
    assert not tally.problems
    assert tally.kills == 1
    assert (tally.accepted, tally.delivered_once, tally.told) == (9, 6, 1)


@pytest.mark.slow
async def test_kills_at_random_moments_lose_and_repeat_nothing(tmp_path):
    tally = await shaken(tmp_path / "moments", kills=5, seed=20)
    assert not tally.problems
    assert tally.accepted == tally.delivered_once + tally.cancelled + tally.told > 0


@pytest.mark.slow
async def test_kills_of_one_worker_of_the_bot_and_of_all_lose_and_repeat_nothing(tmp_path):
    devices = ("cpu", "cpu")
    tally = await shaken(tmp_path / "slots", kills=4, seed=3, events=SLOT_EVENTS, devices=devices)
    assert not tally.problems
    assert tally.accepted == tally.delivered_once + tally.cancelled + tally.told > 0


@pytest.mark.slow
async def test_damaged_rows_jumping_clocks_and_dying_workers_lose_and_repeat_nothing(tmp_path):
    events = {"damage": 3, "clock": 3, "worker": 2, "kill": 1}
    tally = await shaken(tmp_path / "moments", kills=4, seed=7, events=events)
    assert not tally.problems
    assert tally.accepted == tally.delivered_once + tally.cancelled + tally.told > 0


@pytest.mark.slow
async def test_a_verdict_sees_what_was_lost_and_what_came_twice(living):
    lost = living.seen.say("nonce", f"/generate lost {STILL}")
    twice = living.seen.say("nonce", f"/generate twice {STILL}")
    await told_the_end(living, lost, twice)
    [gone], [doubled] = living.seen.clips(lost.job), living.seen.clips(twice.job)
    living.seen.messages.remove(gone)
    living.seen.messages.append(doubled)
    await living.stop()
    tally = await judge(living)
    assert (tally.accepted, tally.stuck, tally.duplicated) == (2, 1, 1)
    assert len(tally.problems) == 2
    assert not tally.clean
    assert Tally().clean


@pytest.mark.cases(1)
@pytest.mark.parametrize("what", BUSY, ids=str)
@pytest.mark.slow
async def test_what_a_busy_chat_refuses_arrives_once_and_in_its_newest_state(living, what):
    trouble = living.seen.trouble(
        r"(POST|PATCH|PUT) /\w+/(channels|messages|files)", times=math.inf, **what
    )
    jobs = [living.seen.say(place, f"/generate a fox {CLIP}") for place in ("nonce", "upload")]
    for job in jobs:
        await living.seen.answered(job)
        await living.reached(job.job, "delivering")
    assert not living.seen.messages
    trouble.over()
    await told_the_end(living, *jobs)
    for job in jobs:
        # Six states when nothing is in the way: only the newest are left to show.
        assert len(living.seen.card(job.job).states) <= 3
    assert (await stopped_clean(living)).delivered_once == 2


async def test_what_was_taken_but_not_confirmed_is_not_posted_again(living):
    for what in (
        r"POST /nonce/channels/c-",
        r"POST /nonce/channels/m",
        r"POST /nonce/messages/.*/thread",
        r"POST /upload/files/.*/complete",
        r"PATCH",
    ):
        living.seen.trouble(what, reset=True, taken=True)
    jobs = [living.seen.say(place, f"/generate a fox {CLIP}") for place in ("nonce", "upload")]
    await told_the_end(living, *jobs)
    tally = await stopped_clean(living)
    assert (tally.delivered_once, tally.duplicated) == (2, 0)


@pytest.mark.slow
async def test_a_card_found_after_a_lost_answer_shows_the_newest_state(living):
    living.seen.trouble(r"POST /nonce/channels/c-", reset=True, taken=True, slow_seconds=1.0)
    job = living.seen.say(
        "nonce", f"/generate never mind --steps 200 {CLIP.partition('--steps')[0]}"
    )
    await living.seen.answered(job)
    await living.seen.until(lambda: living.seen.card(job.job), 180)
    living.seen.say("nonce", f"/rushes cancel {job.job}")
    await told_the_end(living, job)
    assert living.seen.card(job.job).latest.kind == "stopped"
    assert (await stopped_clean(living)).cancelled == 1


@pytest.mark.slow
async def test_a_closed_thread_moves_the_clip_to_the_channel(living):
    living.seen.trouble(r"POST /nonce/messages/.*/thread", status=403, times=math.inf)
    job = living.seen.say("nonce", f"/generate a fox {STILL}")
    await told_the_end(living, job)
    assert [clip.channel for clip in living.seen.clips(job.job)] == [job.channel]
    assert (await stopped_clean(living, rerouted=True)).delivered_once == 1


@pytest.mark.slow
async def test_a_closed_channel_moves_everything_to_the_person(living):
    living.seen.trouble(r"POST /\w+/channels/[cm]", status=404, times=math.inf)
    living.seen.trouble(r"POST /\w+/messages/.*/thread", status=403, times=math.inf)
    job = living.seen.say("nonce", f"/generate a fox {STILL}")
    await told_the_end(living, job)
    assert {m.channel for m in living.seen.messages} == {f"dm-{job.user}"}


@pytest.mark.slow
async def test_what_nobody_takes_is_kept_and_shown_on_request(living):
    living.seen.trouble(r"POST /\w+/(channels|messages)", status=403, times=math.inf)
    job = living.seen.say("nonce", f"/generate a fox {STILL}")
    await living.seen.answered(job)
    await living.reached(job.job, "done")
    shown = await living.seen.answered(living.seen.say("nonce", f"/rushes show {job.job}"))
    assert (shown["kind"], shown["job"]) == ("clip", job.job)
    assert not living.seen.messages
    assert await living.stop() == 0


@pytest.mark.cases(1)
@pytest.mark.parametrize("place", ["nonce", "upload"])
@pytest.mark.slow
async def test_a_file_that_is_refused_for_its_size_arrives_smaller(living, place):
    living.seen.file_bytes = 24_000
    job = living.seen.say(place, f"/generate a fox {CLIP}")
    await told_the_end(living, job)
    [clip] = living.seen.clips(job.job)
    data = clip.path.read_bytes()
    assert len(data) <= living.seen.file_bytes
    with av.open(io.BytesIO(data)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 49
    assert 413 in {request.status for request in living.seen.requests}


@pytest.mark.slow
async def test_a_file_over_the_known_limit_is_made_smaller_before_it_is_sent(living):
    living.seen.file_bytes = living.seen.claimed_bytes = 20_000
    job = living.seen.say("nonce", f"/generate a fox {CLIP}")
    await told_the_end(living, job)
    assert 413 not in {request.status for request in living.seen.requests}
