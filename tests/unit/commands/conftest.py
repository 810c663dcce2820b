from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from commands.caller import Caller, Channel
from commands.context import Call
from commands.installation import Installation
from commands.policy.stores import TABLES, make_policy
from inference.domain.capabilities import Capabilities, Cost, Lengths
from inference.domain.spec import Mode, Resolution
from inference.engines.geometry import LENGTHS, SIZES
from inference.opensora.controls import CONTROLS
from inference.store.sqlite.database import open_database
from tests.fakes.commands import COMMANDS
from tests.fakes.jobs import FakeJobs
from tests.fakes.mentions import MentionDirectory
from tests.fakes.options import OPTIONS

NOW = 1_790_000_000.0


class StoppedClock:
    """Always the same moment."""

    def now(self):
        return NOW

    def monotonic(self):
        return 0.0

    async def sleep(self, seconds):
        raise AssertionError("commands never wait")


@pytest.fixture(autouse=True)
def every_message_is_there():
    with capture_logs() as entries:
        yield entries
    assert not [entry for entry in entries if entry["event"] == "message.missing"]


@pytest.fixture
def log(every_message_is_there):
    return every_message_is_there


@pytest.fixture(scope="session")
def small():
    return Capabilities(
        name="nano",
        title="Nano",
        lengths=Lengths((1, 49, 65)),
        options=CONTROLS,
        modes=frozenset({Mode.TEXT_TO_VIDEO, Mode.TEXT_TO_IMAGE}),
        sizes={key: size for key, size in SIZES.items() if key[0] is Resolution.P360},
        cost=Cost(load_seconds=1, fixed_seconds=1, seconds_per_megapixel_frame_step=0.01),
        defaults={"resolution": "360p", "frames": 49, "steps": 20},
        extends=True,
    )


@pytest.fixture(scope="session")
def big():
    return Capabilities(
        name="opensora",
        title="Open-Sora v1.3",
        lengths=LENGTHS,
        options=CONTROLS,
        modes=frozenset(Mode),
        sizes=SIZES,
        cost=Cost(load_seconds=30, fixed_seconds=3, seconds_per_megapixel_frame_step=0.01),
        negative=True,
        extends=True,
    )


@pytest.fixture(scope="session")
def installation(small, big):
    return Installation(models=(big, small), default_model="opensora")


@pytest.fixture
def jobs():
    return FakeJobs(now=NOW)


@pytest.fixture
async def policy(tmp_path, every_message_is_there):
    async with open_database(tmp_path / "rules.sqlite3", TABLES) as database:
        every_message_is_there.clear()  # a new database tells of its migrations
        yield make_policy(database, StoppedClock(), OPTIONS)


@pytest.fixture
def call(jobs, installation, policy):
    return Call(
        caller=Caller(id="u1", name="ada"),
        channel=Channel(platform="test", tenant="test:g1", address={"channel": 7}, private=False),
        jobs=jobs,
        installation=installation,
        policy=policy,
        commands=COMMANDS,
        directory=MentionDirectory(),
        clock=StoppedClock(),
    )
