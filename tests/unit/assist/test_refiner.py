from __future__ import annotations

from dataclasses import replace

import pytest

from inference.assist import cache as cache_module
from inference.assist.base import RefinementRequest
from inference.assist.cache import Asker, RefinementCache
from inference.assist.refiner import PATIENCE, REST_SECONDS, Refiner
from inference.domain.errors import AssistantError
from inference.domain.spec import Mode
from inference.store.sqlite.database import open_database
from tests.fakes.assistant import FakeAssistant

FOX = RefinementRequest(words="a red fox", mode=Mode.TEXT_TO_VIDEO)
ADA = Asker(tenant="guild:a", requester_id="ada")
BO = Asker(tenant="guild:b", requester_id="bo")


@pytest.fixture
async def database(tmp_path):
    async with open_database(tmp_path / "test.sqlite3") as database:
        yield database


@pytest.fixture
def cache(database, clock):
    return RefinementCache(database, clock)


@pytest.fixture
def assistant():
    return FakeAssistant()


@pytest.fixture
def refiner(assistant, cache, clock):
    return Refiner(assistant, cache, clock)


async def rows(database):
    found = await database.read("SELECT * FROM refinements ORDER BY used_at")
    return [(row["requester_id"], row["prompt"]) for row in found]


async def test_the_same_question_is_asked_once_whoever_asks(refiner, assistant):
    first = await refiner.refine(FOX, ADA)
    assert await refiner.refine(FOX, ADA) == first
    assert await refiner.refine(FOX, BO) == first
    assert len(assistant.requests) == 1


async def test_another_question_is_another_question(refiner, assistant, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    questions = [
        FOX,
        replace(FOX, words="a red fox "),
        replace(FOX, mode=Mode.TEXT_TO_IMAGE),
        replace(FOX, drawn=True),
        replace(FOX, advice="Short."),
        replace(FOX, mode=Mode.IMAGE_TO_VIDEO, image=tmp_path / "one"),
        replace(FOX, mode=Mode.IMAGE_TO_VIDEO, image=tmp_path / "two"),
    ]
    answers = [await refiner.refine(question, ADA) for question in questions]
    assert len(set(answers)) == len(assistant.requests) == len(questions)


async def test_another_assistant_is_asked_anew(refiner, cache, clock):
    await refiner.refine(FOX, ADA)
    other = FakeAssistant("other")
    await Refiner(other, cache, clock).refine(FOX, ADA)
    assert len(other.requests) == 1


async def test_no_word_of_the_question_is_kept(refiner, database, assistant):
    assistant.refine = lambda _: _answer("Something else.")
    await refiner.refine(FOX, ADA)
    [row] = await database.read("SELECT * FROM refinements")
    assert "fox" not in "".join(map(str, tuple(row)))


async def _answer(text):
    return text


async def test_who_is_forgotten_leaves_nothing_but_what_is_also_anothers(
    refiner, cache, database, clock
):
    await refiner.refine(FOX, ADA)
    await refiner.refine(replace(FOX, words="a secret"), ADA)
    clock.advance(1)
    await refiner.refine(FOX, BO)

    await cache.forget("guild:a", "ada")

    assert await rows(database) == [("bo", "Refined 1: a red fox")]


async def test_nothing_is_kept_for_a_job_that_is_gone(cache, database):
    await cache.put("digest", "late", replace(ADA, job_id="FORGOTTEN1"))
    assert await rows(database) == []


async def test_only_so_many_answers_are_kept_those_used_last(
    refiner, assistant, database, clock, monkeypatch
):
    monkeypatch.setattr(cache_module, "LIMIT", 2)
    for words in ("one", "two", "one", "three"):
        clock.advance(1)
        await refiner.refine(replace(FOX, words=words), ADA)
    assert [prompt for _, prompt in await rows(database)] == ["Refined 1: one", "Refined 3: three"]


async def test_an_assistant_that_does_not_answer_is_left_alone_for_a_while(
    refiner, assistant, clock
):
    assistant.error = AssistantError("assistant.unavailable")
    for _ in range(PATIENCE + 5):
        with pytest.raises(AssistantError):
            await refiner.refine(FOX, ADA)
    assert len(assistant.requests) == PATIENCE

    assistant.error = None
    clock.advance(REST_SECONDS)
    assert await refiner.refine(FOX, ADA)


async def test_an_assistant_that_declines_is_not_left_alone(refiner, assistant):
    assistant.error = AssistantError("assistant.declined")
    for _ in range(2 * PATIENCE):
        with pytest.raises(AssistantError):
            await refiner.refine(FOX, ADA)
    assert len(assistant.requests) == 2 * PATIENCE


async def test_a_full_disk_costs_the_memory_and_not_the_answer(refiner, database):
    await database._writer.execute("PRAGMA query_only = ON")
    assert await refiner.refine(FOX, ADA) == "Refined 1: a red fox"
