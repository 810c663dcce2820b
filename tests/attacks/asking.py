"""A call of a member, over the real rules and a job service in memory."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from commands.caller import Caller, Channel
from commands.context import Call
from commands.installation import Installation
from commands.policy.stores import TABLES, make_policy
from inference.store.sqlite.database import open_database
from tests.fakes.clock import ManualClock
from tests.fakes.commands import COMMANDS
from tests.fakes.jobs import FakeJobs
from tests.fakes.options import OPTIONS
from tests.fakes.orders import capabilities

FOX = replace(capabilities("fox"), negative=True, last_image=True, extends=True)


@contextlib.asynccontextmanager
async def a_call(tmp_path, *, assistant=False):
    """Yield a call whose `jobs` are a `FakeJobs`."""
    async with open_database(tmp_path / "rules.sqlite3", TABLES) as database:
        clock = ManualClock()
        yield Call(
            caller=Caller(id="u1", name="ada"),
            channel=Channel(platform="test", tenant="test:g1", address={"channel": 7}),
            jobs=FakeJobs(now=clock.now()),
            installation=Installation(models=(FOX,), default_model="fox", assistant=assistant),
            policy=make_policy(database, clock, OPTIONS),
            commands=COMMANDS,
            clock=clock,
        )
