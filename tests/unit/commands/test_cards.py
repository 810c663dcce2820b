from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from commands.actions import Action
from commands.resolve import Layer, resolve
from commands.text import cards
from commands.text.card import Bar, Card, CardKind, Instant, Person
from commands.text.cards import Standing
from inference.domain.errors import UserError
from inference.domain.job import Failure, Job, JobState, Requester
from inference.domain.render import Manifest, Progress, Stage
from inference.domain.spec import Camera, Motion
from inference.jobs.forecast import QueuePosition
from tests.fakes.readable import plain, readable

NOW = 1_790_000_000.0  # 14:13:20 UTC


@pytest.fixture
def job(installation):
    prompt = "a red fox running through snow"
    resolved = resolve(prompt, [Layer(name="typed", values={"seed": 48151623})], installation)
    return Job(
        id="7Q2FK9XDAB",
        state=JobState.QUEUED,
        spec=resolved.spec,
        origins=resolved.origins,
        tenant="t",
        requester=Requester(id="u1", name="ada"),
        platform="test",
        address={},
        created_at=NOW,
        cost=40,
    )


def shown(card):
    return [*plain(card).split("\n"), *(f"[{button.label}]" for button in card.buttons)]


FOX = "🎬 a red fox running through snow  @ada"
FACTS = "720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623"
SECOND = QueuePosition(position=2, start_in=62, ready_in=1120)


@pytest.mark.parametrize(
    ("changes", "standing", "lines"),
    [
        ({"state": JobState.ACCEPTED}, {}, [FOX, FACTS, "preparing", "[Cancel]"]),
        (
            {"state": JobState.REVIEW},
            {},
            [
                FOX,
                FACTS,
                "Waiting for you to approve the prompt",
                "[Use this]",
                "[Edit]",
                "[Keep mine]",
                "[Cancel]",
            ],
        ),
        (
            {"state": JobState.REVIEW, "origins": {"frames": "memory"}},
            {},
            [
                FOX,
                FACTS,
                "Waiting for you to approve the size: the largest that fits this GPU",
                "[Use this]",
                "[Edit]",
                "[Cancel]",
            ],
        ),
        (
            {},
            {"place": SECOND},
            [
                FOX,
                FACTS,
                "2nd in queue · starts in about 1 min, ready about 14:32",
                "[Cancel]",
                "[Edit]",
            ],
        ),
        (
            {},
            {"place": QueuePosition(position=1, start_in=14, ready_in=60)},
            [
                FOX,
                FACTS,
                "next in queue · starts in about 14 s, ready about 14:14",
                "[Cancel]",
                "[Edit]",
            ],
        ),
        ({}, {}, [FOX, FACTS, "in queue", "[Cancel]", "[Edit]"]),
        (
            {},
            {"place": SECOND, "paused": True},
            [FOX, FACTS, "The queue is paused. Jobs keep their place.", "[Cancel]", "[Edit]"],
        ),
        ({"state": JobState.RUNNING}, {}, [FOX, "starting", "[Cancel]"]),
        (
            {"state": JobState.RUNNING},
            {"progress": Progress(stage=Stage.LOADING, done=40, total=100)},
            [FOX, "▓▓▓▓▓▓░░░░░░░░░  loading Open-Sora v1.3", "[Cancel]"],
        ),
        (
            {"state": JobState.RUNNING},
            {
                "progress": Progress(stage=Stage.RENDERING, done=18, total=30),
                "seconds_left": 14,
            },
            [FOX, "▓▓▓▓▓▓▓▓▓░░░░░░  step 18 of 30 · about 14 s left", "[Cancel]"],
        ),
        (
            {"state": JobState.RUNNING},
            {"progress": Progress(stage=Stage.FINISHING, done=30, total=30)},
            [FOX, "finishing the file", "[Cancel]"],
        ),
        (
            {"state": JobState.RUNNING, "cancel_requested_at": NOW},
            {"progress": Progress(stage=Stage.RENDERING, done=18, total=30)},
            [FOX, "Cancelling…"],
        ),
        ({"state": JobState.FINISHING}, {}, [FOX, "finishing the file"]),
        ({"state": JobState.DELIVERING, "cancel_requested_at": NOW}, {}, [FOX, "posting"]),
        (
            {"state": JobState.DONE, "started_at": NOW + 12, "ended_at": NOW + 47},
            {},
            [FOX, "ready in 47 s (12 s in the queue)"],
        ),
        (
            {"state": JobState.DONE, "started_at": NOW + 0.2, "ended_at": NOW + 90},
            {},
            [FOX, "ready in 2 min"],
        ),
        (
            {"state": JobState.FAILED, "failure": Failure(code="worker.out_of_memory")},
            {},
            [
                FOX,
                (
                    "This does not fit into the GPU's memory."
                    " Choose fewer frames or a lower resolution."
                ),
                "job 7Q2FK9XDAB",
                "[Try again]",
                "[Info]",
            ],
        ),
        (
            {"state": JobState.REFUSED, "failure": Failure(code="image.too_small")},
            {},
            [
                FOX,
                "That image is too small to animate. Please use a larger one.",
                "job 7Q2FK9XDAB",
                "[Info]",
            ],
        ),
        (
            {"state": JobState.REFUSED, "failure": Failure(code="image.fetch_failed")},
            {},
            [
                FOX,
                "The image could not be downloaded. Please attach it again.",
                "job 7Q2FK9XDAB",
                "[Try again]",
                "[Info]",
            ],
        ),
        (
            {"state": JobState.FAILED},
            {},
            [
                FOX,
                "Something went wrong on our side. Tell the operator this job id: 7Q2FK9XDAB",
                "job 7Q2FK9XDAB",
                "[Try again]",
                "[Info]",
            ],
        ),
        ({"state": JobState.CANCELLED}, {}, [FOX, "Cancelled.", "[Try again]"]),
        (
            {"state": JobState.EXPIRED},
            {},
            [FOX, "Expired: this job waited too long.", "[Try again]"],
        ),
    ],
)
def test_every_state_has_its_card(job, big, changes, standing, lines):
    card = cards.status(replace(job, **changes), Standing(now=NOW, **standing), "en", big)
    assert shown(card) == lines
    assert card.job == job.id
    assert not card.ping


@pytest.mark.parametrize("state", JobState)
def test_no_state_is_without_a_card(job, state):
    assert cards.status(replace(job, state=state), Standing(now=NOW), "en").lines


def test_facts_name_what_is_special(job):
    spec = replace(job.spec, camera=Camera.PAN_LEFT, loops=3, motion=Motion.OFF)
    assert cards.summary.facts(spec, "en") == (
        "720p · 16:9 · 257 frames (10.7 s) · 3 loops · camera pan left · seed 48151623"
    )
    still = replace(job.spec, frames=1)
    assert cards.summary.facts(still, "en") == "720p · 16:9 · image · seed 48151623"


def test_the_clip_comes_with_one_ping_and_its_facts(job, big):
    done = replace(
        job,
        state=JobState.DONE,
        manifest=Manifest(name="clip.mp4", size=1, sha256="", width=1280, height=720, frames=193),
    )
    card = cards.clip(done, Path("/data/clip.mp4"), "en", big)
    assert shown(card) == [
        "@ada  here it is",
        "720p · 193 frames · seed 48151623 · Open-Sora v1.3 · job 7Q2FK9XDAB",
        "[Reroll]",
        "[Edit]",
        "[Info]",
        "[Delete]",
    ]
    assert card.ping
    assert Person(id="u1", name="ada") in card.lines[0]
    assert (card.attachment.name, card.attachment.path) == (
        "7Q2FK9XDAB.mp4",
        Path("/data/clip.mp4"),
    )
    assert readable(card.attachment.description) == job.spec.prompt


def test_a_small_clip_offers_a_larger_one(job, big):
    small = replace(job, spec=replace(job.spec, resolution="360p"))
    card = cards.clip(small, Path("clip.mp4"), "en", big)
    assert [button.action for button in card.buttons] == [
        Action.REROLL,
        Action.EDIT,
        Action.LARGER,
        Action.INFO,
        Action.DELETE,
    ]


def test_an_image_says_nothing_about_frames(job):
    still = replace(job, spec=replace(job.spec, frames=1))
    card = cards.clip(still, Path("image.png"), "en")
    assert shown(card)[1] == "720p · seed 48151623 · opensora · job 7Q2FK9XDAB"
    assert card.attachment.name == "7Q2FK9XDAB.png"


def test_a_final_failure_pings_once(job):
    failed = replace(job, state=JobState.FAILED, failure=Failure(code="disk.full"))
    card = cards.failure(failed, "en")
    assert shown(card)[0].startswith("@ada  The disk of this machine is full.")
    assert card.ping


def test_info_shows_every_value_and_whence_it_came(job):
    lines = shown(cards.info(job, "en"))
    assert lines[0] == job.spec.prompt
    assert "resolution: 720p (built-in)" in lines
    assert "length: 97 frames (built-in)" in lines
    assert "seed: 48151623 (chosen)" in lines
    assert "refine: no (installation default)" in lines
    assert "model: opensora (installation default)" in lines
    assert not any(line.startswith("avoid") for line in lines)


def test_a_long_prompt_is_cut_in_titles_and_whole_in_info(job):
    long = replace(job, spec=replace(job.spec, prompt="fox " * 400))
    card = cards.status(long, Standing(now=NOW), "en")
    assert len(card.title) <= cards.TITLE_LENGTH + 2
    assert re.fullmatch(r"🎬 \u2068(fox )+f?o?x?…\u2069", card.title)
    assert readable(cards.info(long, "en").lines[0][0]) == "fox " * 400


def test_errors_are_for_the_caller_only():
    card = cards.error(UserError("prompt.empty"), "en")
    assert (card.kind, card.private, card.ping) == (CardKind.ERROR, True, False)


def test_times_are_written_in_the_readers_zone():
    card = Card(kind=CardKind.INFO, lines=(("at ", Instant(at=NOW)),))
    assert plain(card) == "at 14:13"
    assert plain(card, zone=ZoneInfo("Asia/Seoul")) == "at 23:13"


@pytest.mark.parametrize(
    ("done", "total", "fraction"), [(0, 0, 0), (0, 30, 0), (15, 30, 0.5), (31, 30, 1)]
)
def test_a_bar_is_never_fuller_than_full(done, total, fraction):
    assert Bar(done=done, total=total).fraction == fraction
