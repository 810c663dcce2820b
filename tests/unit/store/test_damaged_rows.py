"""Rows that hold junk: the start works, everybody else's job is delivered, and it is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from commands.text import cards
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from inference.store.maintenance import DATABASE_NAME, check
from tests.fakes.bench import Bench
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.executor import FakeSlot

PEOPLE = ("bob", "cleo", "dan", "ada", "eve", "zoe")

HANG_SECONDS = 180.0

TABLES = ("jobs", "outbox", "shares", "counters", "ledger", "archive")

JUNK = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(
        [
            "",
            "{",
            "[]",
            "null",
            "NaN",
            "{}",
            "7",
            '"text"',
            '{"code": 5}',
            '{"prompt": 5}',
            '{"prompt": "\\ud800"}',
            "[" * 100_000,
            '{"guild": ["x"], "frames": ' + "9" * 400 + "}",
            "../../../etc/passwd",
            "\u202enot a state",
            b"\xff\xfe junk",
            b"",
        ]
    ),
    st.text(max_size=20),
    st.binary(max_size=20),
)


def overwrite(path, table, column, value, *, row=0):
    """Put anything into a column, whatever the schema says, as a damaged page would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rules = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()[0]
        without = rules.replace("NOT NULL", "").replace(") STRICT", ")")
        connection.execute("PRAGMA writable_schema = ON")
        rule = "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?"
        connection.execute(rule, (without, table))
        connection.execute("PRAGMA writable_schema = RESET")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        [(trigger,)] = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'jobs_reworded'"
        )
        connection.execute("DROP TRIGGER jobs_reworded")  # it would read the junk
        with contextlib.suppress(sqlite3.IntegrityError):  # the key of another row
            mark = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
            chosen = f"(SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET ?)"  # noqa: S608
            change = f"UPDATE {table} SET {column} = {mark} WHERE rowid = {chosen}"  # noqa: S608
            connection.execute(change, (value, row))
        connection.execute(trigger)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(rule, (rules, table))


def columns(path, table):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        [(count,)] = connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
    return names, count


async def live(directory):
    """Leave a data folder with a job in every stage of its life, as `kill -9` would."""
    bench = Bench(directory=directory)
    async with bench.open() as core:
        done = await bench.submit(requester="ada")
        await bench.executor.started()
        bench.executor.finish()
        await bench.reached(done.id, JobState.DELIVERING)
        for kind in (ActKind.CARD, ActKind.CLIP):
            await core.outbox.mark_sent(await core.outbox.get(done.id, kind), {"id": 1})
        await bench.reached(done.id, JobState.DONE)
        running = await bench.submit(requester="bob")
        await bench.executor.started()
        for person in ("cleo", "dan"):
            await bench.queued(requester=person)
        cancelled = await bench.queued(requester="eve")
        await bench.cancel(cancelled)
        assert (await bench.now(running)).state is JobState.RUNNING
        return bench.crashed().directory


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    return asyncio.run(live(tmp_path_factory.mktemp("used") / "data"))


@pytest.fixture
def again(used, tmp_path):
    """Return a bench on a fresh copy of the folder."""
    directory = tmp_path / "again"

    def fresh():
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(used, directory)
        clock = ManualClock(NOON + 3600)
        return Bench(directory=directory, executor=FakeSlot(automatic=True), clock=clock)

    return fresh


async def deliver(core):
    """Deliver until nothing is left but what has no way out any more."""
    with core.events.subscribe() as events:
        while True:
            acts = await core.outbox.list_due(["test"], busy=[], limit=100)
            for act in acts:
                await core.outbox.mark_sent(act, {"id": 1})
            if acts:
                continue
            # What is still to be delivered then waits for a platform or a time that junk invented.
            if {job.state for job in await core.store.list_unfinished()} <= {JobState.DELIVERING}:
                return
            await asyncio.wait_for(events.get(), HANG_SECONDS)


async def work_off(bench):
    """Start, deliver a new job and all that is left, and ask everything that people ask."""
    async with bench.open() as core:
        await core.jobs.resume()
        fresh = await bench.submit(requester="zoe")
        await deliver(core)
        assert (await core.store.get(fresh.id)).state is JobState.DONE
        for person in PEOPLE:
            found = [
                *await core.jobs.recent("guild:a", person, limit=10),
                *await core.jobs.history("guild:a", person, limit=10),
                *await core.jobs.history("guild:a", person, words="fox", limit=10),
            ]
            for job in found:
                for locale in ("en", "ko"):
                    cards.status(job, cards.JobStatus(now=bench.clock.now()), locale)
                    if job.failure is not None:
                        cards.failure(job, locale)
        await core.jobs.waiting("guild:a")
        await core.jobs.usage("guild:a", "ada", since=0.0)
        return {job.requester.id: job for name in PEOPLE for job in await history(core, name)}


async def history(core, person):
    return await core.jobs.history("guild:a", person, limit=10)


@given(data=st.data())
@settings(
    max_examples=settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_one_value_of_junk_stops_neither_the_start_nor_anybody_else(again, data):
    bench = again()
    path = bench.directory / DATABASE_NAME
    table = data.draw(st.sampled_from(TABLES))
    names, count = columns(path, table)
    column, row = data.draw(st.sampled_from(names)), data.draw(st.integers(0, max(0, count - 1)))
    overwrite(path, table, column, data.draw(JUNK), row=row)
    jobs = asyncio.run(work_off(bench))
    hit = [
        person
        for person in PEOPLE[:4]
        if jobs.get(person) is None or jobs[person].state is not JobState.DONE
    ]
    assert len(hit) <= 1, "one row, one job"
    check(bench.directory)


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    ("column", "junk"),
    [
        ("spec", "{"),
        ("spec", b'{"prompt": "a \xff"}'),
        ("spec", '{"prompt": 5}'),
        ("state", "dreaming"),
        ("origins", None),
        ("cost", float("inf")),
        ("attempt", 2**62),
        ("created_at", 1e300),
        ("manifest", '{"name": "../../etc/passwd"}'),
        ("verdict", '{"outcome": "shrug"}'),
        ("notes", "7"),
        ("presentation", "[]"),
    ],
)
def test_a_damaged_job_fails_with_a_sentence_and_its_requester_is_told(again, column, junk):
    bench = again()
    overwrite(bench.directory / DATABASE_NAME, "jobs", column, junk, row=2)
    with capture_logs() as logs:
        jobs = asyncio.run(work_off(bench))
    cleo = jobs["cleo"]
    assert (cleo.state, cleo.failure.code) == (JobState.FAILED, "job.damaged")
    assert jobs["bob"].state is jobs["dan"].state is JobState.DONE
    [entry] = [entry for entry in logs if entry["event"] == "store.row_quarantined"]
    assert (entry["table"], entry["id"], entry["column"]) == ("jobs", cleo.id, column)
    with contextlib.closing(sqlite3.connect(bench.directory / DATABASE_NAME)) as connection:
        query = "SELECT shown FROM outbox WHERE kind = 'notice' AND job_id = ?"
        assert connection.execute(query, (cleo.id,)).fetchone() == (1,)
        [(content,)] = connection.execute("SELECT content FROM quarantine")
        assert json.loads(content)["id"] == cleo.id


def test_a_damaged_row_of_history_stays_what_it_was_and_nobody_is_told_again(again):
    bench = again()
    overwrite(bench.directory / DATABASE_NAME, "jobs", "manifest", "{", row=0)
    jobs = asyncio.run(work_off(bench))
    assert jobs["ada"].state is JobState.DONE
    assert check(bench.directory).quarantined[0].startswith("jobs ")


@pytest.mark.parametrize(
    ("column", "junk"),
    [("job", b"\xff"), ("job", ""), ("job", "../x"), ("at", None), ("at", "soon"), ("at", b"")],
)
@pytest.mark.cases(2)
def test_a_damaged_removal_keeps_no_other_from_being_settled(again, column, junk):
    bench = again()
    path = bench.directory / DATABASE_NAME
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO removals VALUES ('AAAAAAAAAA', 1.0), ('BBBBBBBBBB', 1.0)")
    overwrite(path, "removals", column, junk)

    async def removals():
        async with bench.open() as core:
            return await core.store.removals()

    assert asyncio.run(removals()) == [("BBBBBBBBBB", 1.0)]
    assert asyncio.run(removals()) == [("BBBBBBBBBB", 1.0)]
    assert [line.split()[0] for line in check(bench.directory).quarantined] == ["removals"]


@pytest.mark.parametrize("junk", ["{}", "", None, 7, b"", b"short"])
@pytest.mark.cases(2)
def test_a_damaged_key_costs_nobody_the_answer_to_what_they_used(again, junk):
    bench = again()
    path = bench.directory / DATABASE_NAME
    overwrite(path, "secrets", "value", junk)

    async def use():
        async with bench.open() as core:
            await core.jobs.usage("guild:a", "ada", since=0.0)
            await core.jobs.forget(tenant="guild:a", requester_id="ada")
            await bench.submit(requester="ada")

    asyncio.run(use())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [(key, kind)] = connection.execute("SELECT value, typeof(value) FROM secrets")
    assert (len(key), kind) == (32, "blob"), "a hash without a key hides nobody"


@pytest.mark.parametrize("junk", ["soon", b"\xff", None, float("inf")])
@pytest.mark.cases(2)
def test_a_damaged_tombstone_keeps_nobody_from_asking_again(again, junk):
    bench = again()

    async def forget():
        async with bench.open() as core:
            await core.jobs.forget(tenant="guild:a", requester_id="ada")

    async def ask():
        async with bench.open():
            await bench.submit(requester="ada")

    asyncio.run(forget())
    overwrite(bench.directory / DATABASE_NAME, "tombstones", "last_request_at", junk)
    asyncio.run(ask())


@pytest.mark.parametrize("junk", ["{", b"\xff", None, "7"])
@pytest.mark.cases(2)
def test_what_is_damaged_keeps_nobody_from_being_forgotten(again, junk):
    bench = again()
    path = bench.directory / DATABASE_NAME
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO quarantine (source, key, reason, found_at, tenant, content)"
            " VALUES ('settings', 'k', 'value', 1.0, 'guild:a', '{}')"
        )
    overwrite(path, "quarantine", "content", junk)

    async def forget():
        async with bench.open() as core:
            # Damaged while it runs: no start has looked at it.
            for row in range(5):
                overwrite(path, "jobs", "spec", junk, row=row)
            for person in PEOPLE:
                await core.jobs.forget(tenant="guild:a", requester_id=person)
                assert await core.jobs.history("guild:a", person, limit=10) == []

    asyncio.run(forget())


def test_a_check_lists_what_was_set_aside_however_damaged_that_is(again):
    bench = again()
    path = bench.directory / DATABASE_NAME
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO quarantine (source, key, reason, found_at, content)"
            " VALUES ('jobs', 'k', 'spec', 1.0, '{}'), ('jobs', 'l', 'spec', 1.0, '{}')"
        )
    overwrite(path, "quarantine", "reason", None)
    overwrite(path, "quarantine", "key", b"\xff\x1b[2J", row=1)
    first, second = check(bench.directory).quarantined
    assert first == "jobs k ?"
    assert second == "jobs ? spec"


def test_a_check_lists_damaged_rows_and_changes_nothing(again):
    bench = again()
    path = bench.directory / DATABASE_NAME
    overwrite(path, "jobs", "spec", "{", row=0)
    overwrite(path, "outbox", "trace", "{", row=0)
    check(bench.directory)
    found = check(bench.directory)
    assert found.problems == ()
    assert [line.split()[0] for line in found.damaged] == ["jobs", "outbox"]
