from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from commands.actions import Action
from commands.specs.layers import Layer
from commands.specs.resolve import resolve
from commands.text import cards, replies
from commands.text.card import Bar, Card, CardKind, Instant, Person
from commands.text.cards import JobStatus
from inference.domain.effect_use import EffectUse
from inference.domain.errors import UserError
from inference.domain.job import Failure, Job, JobState, Requester
from inference.domain.render import Manifest, Progress, Stage
from inference.domain.verdict import Outcome, Reason, Verdict
from inference.engines.built_in import NANO_WORDS
from inference.jobs.estimates.progress import Outlook
from inference.jobs.forecast import QueuePosition
from tests.fakes.models import MODELS
from tests.fakes.options import OPTIONS
from tests.fakes.orders import a_spec, with_options
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


STRANGE = "a red elephant singing in the snow"
UNKNOWN = (
    "nano does not know ‘elephant’ or ‘singing’."  # noqa: RUF001 - as printed
    f" It draws {', '.join(NANO_WORDS.draws['en'])}…"
)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (JobState.PREPARING, False),  # an assistant may still change the prompt
        (JobState.REVIEW, True),
        (JobState.QUEUED, True),
        (JobState.RUNNING, True),
        (JobState.FINISHING, True),
        (JobState.DONE, False),
    ],
)
def test_a_model_of_few_words_says_before_the_render_what_it_does_not_know(job, state, said):
    status = JobStatus(now=NOW, progress=Progress(stage=Stage.RENDERING, done=1, total=14))
    nano = MODELS.capabilities("nano")
    strange = replace(job, state=state, spec=a_spec(prompt=STRANGE))
    card = cards.status(strange, status, "en", nano)
    assert (UNKNOWN in plain(card).split("\n")) is said
    for drawn in (strange, replace(job, state=state, spec=a_spec(prompt="공"))):
        capable = nano if drawn.spec.prompt == "공" else MODELS.capabilities("testcard")
        assert "does not know" not in plain(cards.status(drawn, status, "en", capable))


def test_the_clip_says_it_once_more_unless_the_words_were_flagged(job):
    nano = MODELS.capabilities("nano")
    strange = replace(job, spec=a_spec(prompt=STRANGE))
    clip = cards.clip(strange, Path("a.mp4"), "en", nano)
    assert UNKNOWN in plain(clip)
    flagged = replace(strange, verdict=Verdict(outcome=Outcome.SPOILER, reasons=(Reason.SEXUAL,)))
    assert "elephant" not in plain(cards.clip(flagged, Path("a.mp4"), "en", nano))


@pytest.mark.parametrize(
    ("locale", "prompt", "said"),
    [
        ("en", "a yak, an ape, a pig and a cow", "‘yak’, ‘ape’, ‘pig’ or ‘cow’"),  # noqa: RUF001
        ("en", "yak ape pig cow hen", "‘yak’, ‘ape’, ‘pig’ or 2 more words."),  # noqa: RUF001
        ("ko", "yak ape pig cow hen", "“yak”, “ape”, “pig” 또는 다른 단어 2개를 몰라요"),
    ],
)
def test_of_many_unknown_words_it_says_that_there_are_more(job, locale, prompt, said):
    many = replace(job, state=JobState.QUEUED, spec=a_spec(prompt=prompt))
    card = cards.status(many, JobStatus(now=NOW), locale, MODELS.capabilities("nano"))
    assert said in plain(card)


def test_what_nano_does_not_know_is_said_in_korean_too(job):
    korean = replace(job, spec=a_spec(prompt="빨간 코끼리가 눈 속에서 노래한다"))
    card = cards.status(korean, JobStatus(now=NOW), "ko", MODELS.capabilities("nano"))
    assert (
        "nano 모델은 “코끼리” 또는 “노래한다”를 몰라요."
        f" 그릴 수 있는 것: {', '.join(NANO_WORDS.draws['ko'])}…"
    ) in plain(card)


FOX = "🎬 a red fox running through snow  @ada"
FACTS = "720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623"
AFTERWARDS = ["[Reroll]", "[Edit]", "[Info]", "[Delete]"]
SECOND = QueuePosition(position=2, start_in=62, ready_in=1120)


@pytest.mark.parametrize(
    ("changes", "status", "lines"),
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
            {"queued": SECOND},
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
            {"queued": QueuePosition(position=1, start_in=14, ready_in=60)},
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
            {"queued": SECOND, "paused": True},
            [FOX, FACTS, "The queue is paused. Jobs keep their place.", "[Cancel]", "[Edit]"],
        ),
        ({"state": JobState.RUNNING}, {}, [FOX, FACTS, "starting", "[Cancel]", "[Details]"]),
        (
            {"state": JobState.RUNNING},
            {
                "progress": Progress(stage=Stage.LOADING, done=40, total=100),
                "outlook": Outlook(fraction=0.2, seconds_left=80),
            },
            [
                FOX,
                FACTS,
                "▓▓▓░░░░░░░░░░░░  loading Open-Sora v1.3 · about 1 min left",
                "[Cancel]",
                "[Details]",
            ],
        ),
        (
            {"state": JobState.RUNNING},
            {
                "progress": Progress(stage=Stage.RENDERING, done=18, total=30),
                "outlook": Outlook(fraction=0.6, seconds_left=14),
            },
            [
                FOX,
                FACTS,
                "▓▓▓▓▓▓▓▓▓░░░░░░  step 18 of 30 · about 14 s left",
                "[Cancel]",
                "[Details]",
            ],
        ),
        (
            {"state": JobState.RUNNING},
            {
                "progress": Progress(stage=Stage.RENDERING, done=18, total=30),
                "outlook": Outlook(fraction=0.6, seconds_left=14),
                "slot": "cuda:1",
            },
            [
                FOX,
                FACTS,
                "▓▓▓▓▓▓▓▓▓░░░░░░  step 18 of 30 · about 14 s left · on cuda:1",
                "[Cancel]",
                "[Details]",
            ],
        ),
        (
            {"state": JobState.RUNNING},
            {
                "progress": Progress(stage=Stage.FINISHING, done=17, total=49),
                "outlook": Outlook(fraction=0.8, seconds_left=5),
            },
            [
                FOX,
                FACTS,
                "▓▓▓▓▓▓▓▓▓▓▓▓░░░  finishing the file · about 5 s left",
                "[Cancel]",
                "[Details]",
            ],
        ),
        (
            {"state": JobState.RUNNING, "cancel_requested_at": NOW},
            {"progress": Progress(stage=Stage.RENDERING, done=18, total=30)},
            [FOX, FACTS, "Cancelling…"],
        ),
        ({"state": JobState.FINISHING}, {}, [FOX, FACTS, "finishing the file", "[Details]"]),
        (
            {"state": JobState.DELIVERING, "cancel_requested_at": NOW},
            {"outlook": Outlook(fraction=0.97, seconds_left=1)},
            [FOX, FACTS, "▓▓▓▓▓▓▓▓▓▓▓▓▓▓░  posting · about 1 s left"],
        ),
        (
            {"state": JobState.DONE, "started_at": NOW + 12, "ended_at": NOW + 47},
            {},
            [FOX, "ready in 47 s (12 s in the queue) · seed 48151623", *AFTERWARDS],
        ),
        (
            {"state": JobState.DONE, "started_at": NOW + 0.2, "ended_at": NOW + 90},
            {},
            [FOX, "ready in 2 min · seed 48151623", *AFTERWARDS],
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
                "[Info]",
            ],
        ),
        (
            {"state": JobState.REFUSED, "failure": Failure(code="image.fetch_failed")},
            {},
            [
                FOX,
                "The image could not be downloaded. Please attach it again.",
                "[Try again]",
                "[Info]",
            ],
        ),
        (
            {"state": JobState.FAILED},
            {},
            [
                FOX,
                "Something went wrong on our side. Tell the operator this id: 7Q2FK9XDAB",
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
def test_every_state_has_its_card(job, big, changes, status, lines):
    card = cards.status(replace(job, **changes), JobStatus(now=NOW, **status), "en", big)
    assert shown(card) == lines
    assert card.job == job.id
    assert not card.ping


@pytest.mark.parametrize("state", JobState)
def test_no_state_is_without_a_card(job, state):
    assert cards.status(replace(job, state=state), JobStatus(now=NOW), "en").lines


def test_facts_name_what_is_special(job, big):
    spec = with_options(replace(job.spec, loops=3), camera="pan left", motion="off")
    assert cards.summary.facts(spec, "en", big) == (
        "720p · 16:9 · 257 frames (10.7 s) · 3 loops · camera pan left · seed 48151623"
    )
    still = replace(job.spec, frames=1)
    assert cards.summary.facts(still, "en", big) == "720p · 16:9 · image · seed 48151623"


def test_the_clip_comes_with_one_ping_and_its_facts(job, big):
    done = replace(
        job,
        state=JobState.DONE,
        manifest=Manifest(name="clip.mp4", size=1, sha256="", width=1280, height=720, frames=193),
    )
    card = cards.clip(done, Path("/data/clip.mp4"), "en", big)
    assert shown(card) == [
        "a red fox running through snow",
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
        Action.INFO,
        Action.LARGER,
        Action.DELETE,
    ]
    assert [each.action for each in card.pressed_rarely] == [Action.LARGER, Action.DELETE]


@pytest.mark.parametrize("verdict", [Outcome.SPOILER, Outcome.ALLOW])
def test_a_flagged_prompt_is_not_repeated_with_its_clip(job, verdict):
    flagged = replace(job, verdict=Verdict(outcome=verdict, reasons=(Reason.SEXUAL,)))
    assert "fox" not in plain(cards.clip(flagged, Path("clip.mp4"), "en"))


def test_an_image_says_nothing_about_frames(job):
    still = replace(job, spec=replace(job.spec, frames=1))
    card = cards.clip(still, Path("image.png"), "en")
    assert shown(card)[2] == "720p · seed 48151623 · opensora · job 7Q2FK9XDAB"
    assert card.attachment.name == "7Q2FK9XDAB.png"


def test_a_final_failure_pings_once(job):
    failed = replace(job, state=JobState.FAILED, failure=Failure(code="disk.full"))
    card = cards.failure(failed, "en")
    assert shown(card)[0].startswith("@ada  The disk of this machine is full.")
    assert card.ping


def test_info_names_the_release_that_rendered_an_effect(job):
    style = EffectUse(
        name="style", package="rushes-style", version="1.0", seconds_per_megapixel_frame=0.1
    )
    waiting = replace(job, spec=replace(job.spec, effects=(style,)))
    assert "style: rushes-style 1.0 (plugin)" in shown(cards.info(waiting, "en", options=OPTIONS))
    made = Manifest(
        name="clip.mp4",
        size=1,
        sha256="",
        width=1280,
        height=720,
        frames=193,
        effects={"style": "rushes-style 1.1"},
    )
    done = replace(waiting, state=JobState.DONE, manifest=made)
    assert "style: rushes-style 1.1 (plugin)" in shown(cards.info(done, "en", options=OPTIONS))


def test_info_shows_every_value_and_whence_it_came(job):
    lines = shown(cards.info(job, "en", options=OPTIONS))
    assert lines[0] == job.spec.prompt
    assert "resolution: 720p (built-in)" in lines
    assert "frames: 97 frames (model default)" in lines
    assert "seed: 48151623 (chosen)" in lines
    assert "refine: no (installation default)" in lines
    assert "model: opensora (installation default)" in lines
    assert not any(line.startswith("avoid") for line in lines)


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, None),
        ({"after_frames": 97}, "177 frames (7.4 s) · 80 new frames"),
        ({"loops": 2}, "177 frames (7.4 s)"),
    ],
)
def test_info_says_how_long_a_clip_of_several_passes_is_in_all(job, changes, whole):
    longer = replace(job, spec=replace(job.spec, **changes))
    assert longer.spec.total_frames == (97 if whole is None else 177)
    lines = shown(cards.info(longer, "en", options=OPTIONS))
    assert (lines[1] if whole else None) == whole
    assert "frames: 97 frames (model default)" in lines


def test_a_long_prompt_is_cut_in_titles_and_whole_in_info(job):
    long = replace(job, spec=replace(job.spec, prompt="fox " * 400))
    card = cards.status(long, JobStatus(now=NOW), "en")
    assert len(card.title) <= cards.TITLE_LENGTH + 2
    assert re.fullmatch(r"🎬 \u2068(fox )+f?o?x?…\u2069", card.title)
    assert readable(cards.info(long, "en", options=OPTIONS).lines[0][0]) == "fox " * 400


def test_errors_are_for_the_caller_only():
    card = replies.error(UserError("prompt.empty"), "en")
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
