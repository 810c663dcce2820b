from __future__ import annotations

import asyncio
import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.events import EventBus
from inference.domain.verdict import Verdict
from inference.store.history import _WORD, PAGE, SEARCH, History, _match
from inference.store.jobs import JobStore
from inference.store.sqlite.database import open_database
from inference.store.sqlite.migrate import migrations
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job, a_spec, accept

MANY = 3_000


class Past:
    def __init__(self, database):
        self.database = database
        self.store = JobStore(database, ManualClock(), EventBus())
        self.history = History(database)
        self.at = 1_790_000_000.0

    async def add(self, prompt, tenant="guild:a", person="ada"):
        self.at += 1
        job = a_job(tenant, person, spec=a_spec(prompt=prompt), created_at=self.at)
        return await accept(self.store, job)

    async def find(self, words="", tenant="guild:a", person="ada", limit=10, offset=0):
        jobs = await self.history.page(tenant, person, words=words, limit=limit, offset=offset)
        return [job.spec.prompt for job in jobs]


@pytest.fixture
async def past(tmp_path):
    async with open_database(tmp_path / "past.sqlite3") as database:
        yield Past(database)


async def test_a_persons_jobs_come_newest_first_and_page_by_page(past):
    for number in range(5):
        await past.add(f"fox {number}")
    assert await past.find(limit=2) == ["fox 4", "fox 3"]
    assert await past.find(limit=2, offset=4) == ["fox 0"]
    assert await past.find("fox", limit=2, offset=2) == ["fox 2", "fox 1"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("fox", ["a fox in the snow", "the red fox"]),
        ("FOX snow", ["a fox in the snow"]),
        ("sno", ["a fox in the snow"]),
        ("cafe", ["a café at night"]),
        ("여우", ["눈 속의 여우"]),
        ("owl", []),
        ('fox" OR owner:*', []),
        ("fox NOT snow", []),
        ("***", []),
    ],
)
async def test_words_find_the_prompts_that_have_them_all(past, words, found):
    for prompt in ("눈 속의 여우", "a café at night", "the red fox", "a fox in the snow"):
        await past.add(prompt)
    assert await past.find(words) == found


@pytest.mark.parametrize("words", ["", "secret", "guild", "ada"])
async def test_nobody_finds_what_others_or_other_guilds_made(past, words):
    await past.add("secret guild ada", person="bob")
    await past.add("secret guild ada", tenant="guild:b")
    # Tenant and person run together must not be somebody else's.
    await past.add("secret guild ada", tenant="guild:a\nada", person="")
    await past.add("secret guild ada", tenant="guild", person=":a\nada")
    assert await past.find(words) == []


async def test_a_refined_prompt_is_found_by_its_new_words_only(past):
    job = await past.add("a fox")
    await past.store.begin_preparing(job.id)
    await past.store.enqueue(job.id, spec=a_spec(prompt="a wolf"), verdict=Verdict())
    assert (await past.find("fox"), await past.find("wolf")) == ([], ["a wolf"])


async def test_a_deleted_job_leaves_no_word_behind(past):
    job = await past.add("a fox")
    await past.store.delete(job.id)
    assert await past.find("fox") == []
    assert await past.database.read("SELECT * FROM words") == []
    assert await past.database.read("SELECT * FROM archive") == []


@given(st.text(max_size=40) | st.text(alphabet='_\u0301\u4e2da1 "', max_size=8))
def test_whatever_is_typed_is_a_legal_search(typed):
    wanted = _WORD.findall(typed)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5 (owner, prompt)")
    if wanted:
        connection.execute("SELECT * FROM words WHERE words MATCH ?", (_match("t", "p", wanted),))
    connection.close()


@pytest.fixture
async def crowded(past):
    async def fill(connection):
        job = json.dumps(a_spec().as_dict())
        rows = [(f"DONE{number:07}", job, number % 3, float(number)) for number in range(MANY)]
        await connection.executemany(
            "INSERT INTO jobs (id, state, spec, origins, tenant, requester_id, requester_name,"
            " platform, address, created_at, cost, ended_at)"
            " VALUES (?, 'done', ?, '{}', 'guild:a', ?, '', 'test', '{}', ?, 1, 1)",
            rows,
        )

    await past.database.write("fill", fill)
    return past


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.cases(1)
async def test_history_and_line_never_walk_through_what_has_ended(crowded, analyzed):
    database = crowded.database
    if analyzed:
        await database._writer.execute("ANALYZE")
    values = {
        "tenant": "guild:a",
        "requester": "1",
        "limit": 11,
        "offset": 0,
        "match": _match("guild:a", "1", ["fox"]),
    }

    async def plan(sql, parameters):
        rows = await database.read(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return [row["detail"] for row in rows]

    assert await plan(PAGE, values) == [
        "SEARCH jobs USING INDEX jobs_by_requester (tenant=? AND requester_id=?)"
    ]
    words, archive, jobs = await plan(SEARCH, values)
    assert words.startswith("SCAN words VIRTUAL TABLE INDEX")
    assert archive.startswith("SEARCH archive USING INTEGER PRIMARY KEY")
    assert jobs.startswith("SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)")


async def test_the_line_is_read_from_the_index_of_what_has_not_ended(crowded, monkeypatch):
    asked = []
    read = crowded.database.read

    async def listen(sql, parameters=()):
        asked.append((sql, parameters))
        return await read(sql, parameters)

    monkeypatch.setattr(crowded.database, "read", listen)
    await crowded.store.list_unfinished(tenant="guild:a")
    [(sql, parameters)] = asked
    plan = [row["detail"] for row in await read(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert plan[0].endswith("USING INDEX jobs_unfinished")


def test_jobs_from_before_the_archive_are_found_after_the_update(tmp_path):
    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as connection:
        for number, sql in migrations()[:2]:
            connection.executescript(sql)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(
            "INSERT INTO jobs (id, state, spec, origins, tenant, requester_id, requester_name,"
            " platform, address, created_at, cost)"
            " VALUES ('OLD', 'queued', ?, '{}', 'guild:a', 'ada', '', 'test', '{}', 1, 1)",
            (json.dumps(a_spec(prompt="an old fox").as_dict()),),
        )
    connection.close()

    async def find():
        async with open_database(path) as database:
            past = Past(database)
            return await past.find("fox"), await past.store.get("OLD")

    prompts, job = asyncio.run(find())
    assert prompts == ["an old fox"]
    assert job.output.prompt_in_recipe
