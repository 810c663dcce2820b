"""Whatever happens to jobs in whatever order: none is lost, doubled or changed after its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.domain.errors import EngineError
from inference.domain.job import ENDED, TRANSITIONS, JobState
from inference.domain.verdict import Reason
from inference.jobs.expiry import TICK_SECONDS
from tests.fakes.bench import Bench
from tests.fakes.executor import FakeSlot
from tests.fakes.moderators import FakeModerator, a_guard
from tests.fakes.orders import next_at

AUDIT = """
CREATE TABLE moves (job_id TEXT, before TEXT, after TEXT);
CREATE TRIGGER audit AFTER UPDATE ON jobs
    BEGIN INSERT INTO moves VALUES (old.id, old.state, new.state); END;
"""
"""Writes down every change of a job, made by whomever, also while the process starts."""

AT_REST = {JobState.QUEUED, JobState.RUNNING, JobState.DELIVERING} | ENDED


class JobLife(RuleBasedStateMachine):
    """A whole job core on a real database; the rules play people, worker, platform and fate."""

    SLOTS = 1

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.looking = FakeModerator()
        guard = a_guard(pictures=[self.looking])
        self.bench = Bench(
            directory=Path(self.folder.name) / "data",
            guard=guard,
            more=[FakeSlot(f"gpu {number}") for number in range(1, self.SLOTS)],
        )
        self.accepted = []
        self.virtual_time = 0.0
        self.runner.run(self.start())
        with self.database() as database:
            database.executescript(AUDIT)

    @property
    def slots(self):
        return [self.bench.executor, *self.bench.more]

    @property
    def rendering(self):
        return [slot for slot in self.slots if slot.rendering]

    # -- the process -------------------------------------------------------------------------

    async def start(self):
        started, self.stopping = asyncio.Event(), asyncio.Event()

        async def process():
            async with self.bench.open():
                started.set()
                await self.stopping.wait()

        self.process = asyncio.create_task(process())
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({self.process, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await self.rest()

    async def stop(self):
        self.stopping.set()
        await self.process

    async def rest(self):
        """Wait until nothing moves without somebody from outside."""
        with self.bench.core.events.subscribe() as events:
            async with asyncio.timeout(180):
                while not self.process.done() and not await self.resting():
                    with contextlib.suppress(TimeoutError):  # some moves are no events
                        await asyncio.wait_for(events.get(), 0.002)

    async def resting(self):
        core = self.bench.core
        await self.bench.clock.asleep(TICK_SECONDS)  # the expiry has nothing to do
        jobs = await core.store.list_unfinished()
        states = [job.state for job in jobs]
        may_start = JobState.QUEUED in states and not core.jobs.paused
        return (
            core.store._database._work.empty()
            and not core.store._database._writer.in_transaction
            and set(states) <= AT_REST
            and len(self.rendering) == states.count(JobState.RUNNING)
            and not (may_start and len(self.rendering) < self.SLOTS)
            and states.count(JobState.QUEUED) == len(core.jobs.list_queued())
        )

    def play(self, action):
        """Carry out an action inside the process and wait until it rests again."""

        async def acting():
            self.bench.clock.advance(1)
            result = await action
            await self.rest()
            return result

        return self.runner.run(acting())

    # -- what may happen ---------------------------------------------------------------------

    @rule(tenant=st.sampled_from("ab"), requester=st.sampled_from("xy"))
    def somebody_submits(self, tenant, requester):
        job = self.play(self.bench.submit(f"guild:{tenant}", requester))
        self.accepted.append(job)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def somebody_cancels(self, data):
        self.play(self.bench.cancel(data.draw(st.sampled_from(self.accepted))))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), words=st.sampled_from(["an owl", "a cat"]))
    def somebody_edits_what_waits(self, data, words):
        job = data.draw(st.sampled_from(self.accepted))
        before = self.play(self.bench.now(job))
        revised = self.play(self.bench.revise(job, prompt=words))
        assert (revised is not None) == (before.state is JobState.QUEUED)
        if revised is not None:
            assert self.play(self.bench.now(job)).spec.prompt == words

    @rule()
    def the_operator_pauses(self):
        self.play(self.bench.core.jobs.pause())

    @rule()
    def the_operator_resumes(self):
        self.play(self.bench.core.jobs.resume())

    @rule(obedient=st.booleans())
    def the_worker_hears_cancels_or_does_not(self, obedient):
        for slot in self.slots:
            slot.obedient = obedient

    @precondition(lambda self: self.rendering)
    @rule(data=st.data(), how=st.sampled_from(["finish", "lose", "fail", "fail for now", "break"]))
    def a_render_ends(self, data, how):
        executor = data.draw(st.sampled_from(self.rendering))

        async def end():
            match how:
                case "finish":
                    executor.finish()
                case "lose":
                    executor.lose()
                case "fail":
                    executor.fail(EngineError("encode.failed"))
                case "fail for now":
                    executor.fail(EngineError("worker.out_of_memory", transient=True))
                case "break":
                    executor.fail(ZeroDivisionError())

        self.play(end())

    @rule(found=st.sets(st.just(Reason.GORE)))
    def the_checks_find_something_or_nothing(self, found):
        self.looking.found = frozenset(found)

    @rule()
    def the_platform_takes_the_next_message(self):
        self.play(self.deliver())

    async def deliver(self):
        outbox = self.bench.core.outbox
        for act in await outbox.list_due(["test"], busy=[], limit=1):
            await outbox.mark_sent(act, {"message": act.key})

    @rule()
    def the_process_is_restarted(self):
        self.runner.run(self.stop())
        self.runner.run(self.start())

    @rule()
    def the_process_is_killed(self):
        self.runner.run(self.die())

    @precondition(lambda self: self.rendering)
    @rule()
    def the_process_is_killed_when_the_file_is_complete(self):
        async def finish():
            core = self.bench.core
            render = core.dispatcher.active[0]
            job, executor = render.job, render.slot
            charge = core.dispatcher._queue.shares.correct(job.tenant, 0.0)
            await core.store.finish(job.id, executor.write_file(), charge)
            await self.die()

        self.runner.run(finish())

    async def die(self):
        after = self.bench.crashed()
        await self.stop()
        self.bench = after
        await self.start()

    # -- what always holds -------------------------------------------------------------------

    @contextlib.contextmanager
    def database(self):
        path = self.bench.directory / "rushes.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=180)) as database:
            yield database

    @invariant()
    def the_process_lives(self):
        if self.process.done():
            self.process.result()

    @invariant()
    def every_accepted_job_is_there_once_and_only_legal_moves_were_made(self):
        with self.database() as database:
            ids = [job_id for (job_id,) in database.execute("SELECT id FROM jobs")]
            moves = set(database.execute("SELECT before, after FROM moves"))
        assert sorted(ids) == sorted(job.id for job in self.accepted)
        for before, after in itertools.starmap(self.states, moves):
            assert before not in ENDED
            assert after == before or after in TRANSITIONS[before]

    @staticmethod
    def states(*names):
        return tuple(map(JobState, names))

    @invariant()
    def people_are_told_what_happened_and_nothing_else(self):
        with self.database() as database:
            jobs = dict(database.execute("SELECT id, state FROM jobs"))
            delivered = {
                job_id
                for (job_id,) in database.execute(
                    "SELECT job_id FROM moves WHERE after = 'delivering'"
                )
            }
            acts = {
                (job_id, kind): wanted
                for job_id, kind, wanted in database.execute(
                    "SELECT job_id, kind, wanted FROM outbox"
                )
            }
        for job_id, state in jobs.items():
            assert acts[job_id, "card"] >= 1
            assert acts.get((job_id, "clip")) == (1 if job_id in delivered else None)
            assert ((job_id, "notice") in acts) == (state in {"failed", "refused", "expired"})
            assert not (state == "cancelled" and job_id in delivered)

    @invariant()
    def the_line_in_memory_is_the_one_on_disk(self):
        with self.database() as database:
            states = dict(database.execute("SELECT id, state FROM jobs"))
        queued = [job_id for job_id, state in states.items() if state == "queued"]
        assert sorted(self.bench.core.jobs.list_queued()) == sorted(queued)
        assert list(states.values()).count("running") <= self.SLOTS

    @invariant()
    def virtual_time_is_never_negative_and_the_systems_never_goes_back(self):
        with self.database() as database:
            shares = [value for (value,) in database.execute("SELECT virtual_time FROM shares")]
            [(now,)] = database.execute("SELECT value FROM counters WHERE name = 'virtual_time'")
        assert min(shares, default=0.0) >= 0
        assert now >= self.virtual_time
        self.virtual_time = now

    def teardown(self):
        try:
            self.the_process_lives()
            self.runner.run(self.until_everything_has_ended())
        finally:
            self.runner.run(self.stop())
            self.runner.close()
            self.folder.cleanup()

    async def until_everything_has_ended(self):
        """Let worker and platform do their part: every job must come to its end."""
        core = self.bench.core
        await core.jobs.resume()
        for _ in range(10 * len(self.accepted) + 1):
            await self.rest()
            for slot in self.rendering:
                slot.finish()
            await self.deliver()
        await self.rest()
        assert await core.store.list_unfinished() == []
        assert await next_at(core.outbox) is None


JobLife.TestCase.settings = settings(
    max_examples=settings.default.max_examples // 8, stateful_step_count=25
)
TestJobLife = JobLife.TestCase


class TwoSlots(JobLife):
    """The same with two slots."""

    SLOTS = 2


TwoSlots.TestCase.settings = JobLife.TestCase.settings
TestTwoSlots = TwoSlots.TestCase
