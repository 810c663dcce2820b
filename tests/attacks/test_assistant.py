"""What an assistant must not be told, what it may say, and how often anybody may have it asked."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from commands.run import execute
from commands.text.card import CardKind
from inference.assist.limit import BURST, PER_HOUR
from inference.assist.openai import AssistantSettings, open_assistant
from inference.domain.errors import AssistantError, UserError
from inference.domain.job import ASSISTANT, RANDOM, JobState
from inference.domain.output_settings import OutputSettings
from inference.domain.spec import Mode
from inference.domain.verdict import Outcome, Reason
from inference.jobs.prompt_refinement import DECLINED, LIMITED, UNANSWERED
from inference.safety.guard import ModerationGuard
from inference.safety.words import WordModerator
from tests.attacks.asking import a_call
from tests.fakes import openai_server
from tests.fakes.assistant import FakeAssistant
from tests.fakes.bench import Bench
from tests.fakes.moderators import FakeGuildWords, FakeModerator, FakeStillExtractor
from tests.fakes.openai_server import KEY, MODEL, Reply, prompt, said
from tests.fakes.orders import an_order
from tests.fakes.readable import plain

URL = "https://cdn.example/cat.gif"


def attack(*values, what):
    return pytest.param(*values, marks=pytest.mark.attack("assistant", what), id=what)


@pytest.fixture
def hosted():
    return FakeModerator(name="hosted")


@pytest.fixture
def looking():
    return FakeModerator(name="here")


@pytest.fixture
def bench(tmp_path, clock, executor, hosted, looking):
    """A bench with the lists of words as the process wires them, and an assistant."""
    words = WordModerator(guilds=FakeGuildWords(["clown"]))
    guard = ModerationGuard(
        texts=[words],
        unwanted=[words.own_lists],
        pictures=[looking],
        hosted_texts=[hosted],
        hosted_pictures=[hosted],
        extractor=FakeStillExtractor(),
    )
    bench = Bench(directory=tmp_path / "data", clock=clock, executor=executor, guard=guard)
    bench.assistant = FakeAssistant()
    return bench


@pytest.fixture
async def core(bench):
    async with bench.open() as core:
        await core.jobs.pause()
        yield core


async def ended(bench, *, origins=None, **spec):
    order = replace(an_order(**spec), output=OutputSettings(flagged=Outcome.DENY))
    order = replace(order, origins={**order.origins, **(origins or {})})
    job = await bench.core.jobs.submit(order)
    return await bench.reached(job.id, JobState.QUEUED, JobState.REFUSED, JobState.FAILED)


async def refined(core, words="a fox", person="u1"):
    return await core.jobs.refine(
        words, mode=Mode.TEXT_TO_VIDEO, model="fox", tenant="guild:a", requester_id=person
    )


# -- what it is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        attack("hardcore porn", what="a forbidden prompt of a job"),
        attack("a cl own", what="a guild's word in the prompt of a job"),
        attack("p\ufe0fo\u200brn", what="a disguised prompt of a job"),
    ],
)
async def test_what_the_lists_deny_reaches_neither_assistant_nor_service(
    bench, core, hosted, words
):
    job = await ended(bench, prompt=words, refine=True, image=URL)

    assert job.failure.code == "safety.prompt"
    assert bench.assistant.requests == []
    assert (hosted.texts, hosted.pictures) == ([], [])


@pytest.mark.attack("assistant", "a picture that is denied here")
async def test_a_picture_that_is_denied_here_reaches_neither_assistant_nor_service(
    bench, core, hosted, looking
):
    looking.found = frozenset({Reason.SEXUAL})

    job = await ended(bench, prompt="it runs", refine=True, image=URL)

    assert job.failure.code == "safety.image"
    assert bench.assistant.requests == []
    assert (hosted.texts, hosted.pictures) == ([], [])


@pytest.mark.parametrize(
    "words",
    [
        attack("hardcore porn", what="a forbidden prompt in /refine"),
        attack("c l o w n", what="a guild's word in /refine"),
    ],
)
async def test_refine_is_judged_before_the_assistant_is_asked(bench, core, hosted, words):
    with pytest.raises(UserError) as error:
        await refined(core, words)

    assert error.value.code == "safety.prompt"
    assert bench.assistant.requests == []
    assert hosted.texts == []


async def test_hosted_moderation_comes_last_and_sees_both_versions(bench, core, hosted):
    await ended(bench, prompt="a fox", refine=True)

    assert hosted.texts == [(("a fox", "Refined 1: a fox"), "guild:a")]


# -- how often -----------------------------------------------------------------------------------


@pytest.mark.attack("assistant", "200 calls of /refine in a row")
async def test_one_person_has_it_asked_so_often_and_no_more(bench, core, clock):
    for number in range(BURST):
        await refined(core, f"a fox number {number}")
    for number in range(BURST, 200):
        with pytest.raises(AssistantError) as error:
            await refined(core, f"a fox number {number}")
        assert error.value.code == "assistant.limited"
        assert error.value.params["wait"] > 0
    assert len(bench.assistant.requests) == BURST

    await refined(core, "a fox number 1"), "what is known is free"
    await refined(core, "an owl", person="u2")
    clock.advance(3600 / PER_HOUR + 1)
    await refined(core, "a later fox")
    assert len(bench.assistant.requests) == BURST + 2


@pytest.mark.attack("assistant", "jobs that are cancelled and asked for again")
async def test_jobs_count_as_well_and_go_on_in_their_own_words(bench, core):
    for number in range(BURST):
        job = await ended(bench, prompt=f"a fox number {number}", refine=True)
        await bench.cancel(job)

    job = await ended(bench, prompt="one more fox", refine=True)

    assert (job.state, job.spec.prompt, job.notes) == (JobState.QUEUED, "one more fox", (LIMITED,))
    assert len(bench.assistant.requests) == BURST


@pytest.mark.attack("assistant", "random prompts without end")
async def test_random_prompts_count_as_well(bench, core):
    for number in range(BURST):
        await refined(core, f"a fox number {number}", person=an_order().requester.id)

    job = await ended(bench, prompt="drawn", refine=True, origins={"prompt": RANDOM})

    assert (job.state, job.notes) == (JobState.QUEUED, (LIMITED,))
    assert len(bench.assistant.requests) == BURST


@pytest.mark.attack("assistant", "/refine by somebody who is blocked")
async def test_who_is_blocked_has_nothing_refined(tmp_path):
    async with a_call(tmp_path, assistant=True) as call:
        admin = replace(call, caller=replace(call.caller, id="boss", admin=True))
        await execute("/rushes-admin block u1", admin)

        card = await execute("/refine a fox", call)

        assert card.kind is CardKind.ERROR
        assert "blocked" in plain(card)
        assert call.jobs.refinements == []


# -- what it says --------------------------------------------------------------------------------


@pytest.fixture
def server():
    with openai_server.serving() as server:
        yield server


async def answered(server, **changes):
    values = {"model": MODEL, "base_url": server.base_url, "api_key": KEY, "timeout_seconds": 180.0}
    async with open_assistant(AssistantSettings(**values | changes)) as assistant:
        from inference.assist.base import RefinementRequest

        return await assistant.refine(RefinementRequest(words="a fox", mode=Mode.TEXT_TO_VIDEO))


@pytest.mark.parametrize(
    ("says", "kept"),
    [
        attack("A fox\x00 runs.\x07", "A fox runs.", what="NUL and BEL"),
        attack("A \x1b[31mfox\x1b[0m runs.", "A fox runs.", what="colours of a terminal"),
        attack("A fox\x1b]0;owned\x07 runs.", "A fox runs.", what="a terminal's title"),
        attack("A fox \x9b2J runs.", "A fox runs.", what="a terminal's 8-bit controls"),
        attack("A \u202efox\u202c runs.", "A fox runs.", what="overrides"),
        attack("A \u2066fox runs.", "A fox runs.", what="an isolate that never ends"),
        attack("A fox\U000e0069\U000e0067 runs.", "A fox runs.", what="hidden tags"),
        attack("A fox <@123456> runs.", "A fox runs.", what="a mention on Discord"),
        attack("A fox <!channel> runs.", "A fox @channel runs.", what="a mention of everybody"),
        attack("A <https://a.example|fox> runs.", "A fox runs.", what="a link of Slack"),
        attack("A [fox](https://a.example) runs.", "A fox runs.", what="a link of Markdown"),
        attack("**A fox** `runs`.", "A fox runs.", what="emphasis and code"),
        attack("# A fox\n> runs.", "A fox runs.", what="a heading and a quotation"),
        attack("||A fox|| runs.", "A fox runs.", what="a spoiler"),
        attack("A fox <b>runs</b>.", "A fox runs.", what="HTML"),
        attack("A fox\u2028runs.", "A fox runs.", what="separators of lines"),
    ],
)
async def test_an_answer_is_tidied(server, says, kept):
    server.replies = [prompt(says)]

    assert await answered(server) == kept


@pytest.mark.parametrize(
    "reply",
    [
        attack(prompt("fox " * 200_000), what="a very long prompt"),
        attack(Reply(body=b'{"x": "' + b"fox " * 1_000_000), what="megabytes of an answer"),
        attack(Reply(body=b" " * 65536, endless=True), what="an endless answer"),
        attack(
            Reply(
                body=gzip.compress(json.dumps(prompt("A fox.").body).encode() + b" " * 50_000_000),
                headers={"Content-Encoding": "gzip"},
            ),
            what="a compressed bomb",
        ),
        attack(prompt("A fox \ud800runs."), what="half a character"),
        attack(said('{"prompt": 7}'), what="a number for a prompt"),
        attack(said('{"prompt": ["a fox"]}'), what="a list for a prompt"),
        attack(said('{"prompt": {"a": "fox"}}'), what="an object for a prompt"),
        attack(said('{"prompt": null}'), what="nothing for a prompt"),
        attack(said("[" * 50_000), what="brackets without end"),
        attack(prompt("\u200b\u2060\u3164"), what="a prompt that shows nothing"),
        attack(prompt("\U000e0061" * 100), what="a prompt of hidden tags"),
    ],
)
async def test_an_answer_that_is_no_prompt_is_dropped(server, reply):
    server.replies = [reply]

    with pytest.raises(AssistantError) as error:
        await answered(server)

    assert error.value.code == "assistant.unusable"
    assert len(server.requests) == 1
    assert server.bytes_said < 50_000_000


@pytest.mark.parametrize(
    "says",
    [
        attack("I'm sorry, but I can't help with that.", what="a refusal in words"),
        attack("I cannot create this content.", what="another refusal in words"),
        attack("As an AI, I do not write such prompts.", what="a refusal of its own kind"),
    ],
)
async def test_a_refusal_in_words_is_a_refusal(server, says):
    server.replies = [prompt(says)]

    with pytest.raises(AssistantError) as error:
        await answered(server)

    assert error.value.code == "assistant.declined"


class Saying:
    """An assistant that says one thing, as a plugin's might."""

    name = "saying"

    def __init__(self, says):
        self.says = says

    async def refine(self, draft):
        return self.says


@pytest.mark.parametrize(
    ("says", "note"),
    [
        attack("Hardcore porn, as you wish.", UNANSWERED, what="forbidden words for harmless ones"),
        attack("A cl own in the rain.", UNANSWERED, what="a guild's word for harmless ones"),
        attack("\u202e\u200b", UNANSWERED, what="nothing to see, from a plugin"),
        attack("x" * 10**6, UNANSWERED, what="a megabyte from a plugin"),
        attack("I'm sorry, I can't do that.", UNANSWERED, what="a refusal from a plugin"),
    ],
)
async def test_the_persons_own_words_are_used_and_the_card_says_so(bench, says, note):
    bench.assistant = Saying(says)
    async with bench.open() as core:
        await core.jobs.pause()

        job = await ended(bench, prompt="a fox", refine=True)

        assert (job.state, job.spec.prompt, job.spec.original) == (JobState.QUEUED, "a fox", None)
        assert job.notes == (note,)
        assert note in {UNANSWERED, DECLINED}


@pytest.mark.attack("assistant", "half a character from a plugin")
async def test_what_a_plugin_says_is_tidied_before_it_is_kept(bench):
    bench.assistant = Saying("A \ud800fox\x1b[0m <@123456> runs.")
    async with bench.open() as core:
        await core.jobs.pause()

        job = await ended(bench, prompt="a fox", refine=True)

        assert (job.spec.prompt, job.origins["prompt"]) == ("A fox runs.", ASSISTANT)


@pytest.mark.attack("assistant", "a dirty answer that an older version kept")
async def test_what_an_older_version_kept_is_tidied(bench, core):
    await refined(core)

    async def work(connection):
        await connection.execute("UPDATE refinements SET prompt = 'A \u202efox\u2066 runs.'")

    await core.database.write("test", work)

    assert await refined(core) == "A fox runs."
