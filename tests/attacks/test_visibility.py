"""Learning what was asked for in a private place, from anywhere else."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import replace

import pytest

from bot.discord.inbound import autocomplete
from commands.actions import Action, ButtonId
from commands.caller import Caller, Channel
from commands.directory import OpenDirectory
from commands.options import JOB
from commands.policy.visibility import JobAccess, Viewer, can_see, find_job_access
from commands.run import execute, press, submit
from commands.text.card import Card, plain
from inference.domain.job import Audience, JobState
from inference.store.codec.rows import row_from_job
from inference.store.jobs import JobStore
from inference.store.sqlite.database import open_database
from inference.store.sqlite.migrate import migrations
from tests.attacks.asking import a_call
from tests.fakes.bench import Bench
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job, an_order

WAITING, DONE, UNKNOWN = "JOB0000001", "JOB0000002", "ZZZZZZZZZZ"
_ID = re.compile(f"{WAITING}|{DONE}", re.IGNORECASE)
SECRETS = ("unicorn", WAITING, DONE, "Victim")

SECRET_ROOM = Channel(
    platform="test", tenant="test:g1", address={"channel": 9}, id="secret", private=True
)
HALL = replace(SECRET_ROOM, id="hall", address={"channel": 7}, private=False)
VICTIM = Caller(id="u1", name="Victim")
MALLORY = Caller(id="u7", name="Mallory")


def attack(*values, what):
    return pytest.param(*values, marks=pytest.mark.attack("visibility", what), id=what)


@pytest.fixture
async def victim(tmp_path):
    """Somebody with a waiting and a finished job in a private channel."""
    async with a_call(tmp_path) as made:
        call = replace(made, caller=VICTIM, channel=SECRET_ROOM)
        await execute("/generate a unicorn waits", call)
        await execute("/generate a unicorn is done", call)
        done = await call.jobs.get(DONE, tenant="test:g1")
        call.jobs.put(replace(done, state=JobState.DONE))
        call.jobs.finished[DONE] = tmp_path / "clip.mp4"
        call.jobs.kept.add(DONE)
        yield call


def outside(call, caller=MALLORY, channel=HALL, **changes):
    return replace(call, caller=caller, channel=channel, **changes)


OUTSIDERS = [
    (MALLORY, HALL),
    (replace(MALLORY, admin=True), HALL),
    (MALLORY, replace(HALL, id="", private=True)),
    (MALLORY, replace(SECRET_ROOM, id="secret2")),
    (MALLORY, replace(SECRET_ROOM, id="dm-of-mallory", direct=True)),
]

READS = [
    attack("/rushes queue", what="list the queue from another channel"),
    attack(f"/rushes status {WAITING}", what="ask how a private job stands"),
    attack(f"/rushes show {DONE}", what="have a private clip brought"),
    attack(f"/rushes show #{DONE.lower()}", what="have it brought by its id in another spelling"),
    attack("/rushes history unicorn", what="search for a word of somebody's private prompt"),
    attack(f"/rushes cancel {WAITING}", what="cancel a private job from outside"),
    attack(f"/rushes-admin cancel {WAITING}", what="cancel it as an admin who cannot look in"),
    attack("/rushes-admin settings log", what="look for it in the log"),
]


@pytest.mark.parametrize("line", READS)
async def test_no_command_tells_of_a_private_job_elsewhere(victim, line):
    for caller, channel in OUTSIDERS:
        answer = plain(await execute(line, outside(victim, caller, channel)))
        told = [
            secret for secret in SECRETS if secret in answer and secret.upper() not in line.upper()
        ]
        assert told == []
        unknown = _ID.sub(UNKNOWN, line)
        if unknown != line:
            same = plain(await execute(unknown, outside(victim, caller, channel)))
            assert _ID.sub(UNKNOWN, answer) == same
    assert (await victim.jobs.get(WAITING, tenant="test:g1")).state is JobState.QUEUED


@pytest.mark.parametrize(
    "action", [attack(action, what=f"press a forged {action} button") for action in Action]
)
async def test_no_button_works_on_a_private_job_elsewhere(victim, action):
    before = len(victim.jobs.orders)
    for caller, channel in OUTSIDERS:
        for job in (WAITING, DONE):
            call = outside(victim, caller, channel)
            answer = await press(ButtonId(action=action, job=job).encode(), call)
            unknown = await press(ButtonId(action=action, job=UNKNOWN).encode(), call)
            assert isinstance(answer, Card)
            assert plain(answer).replace(job, UNKNOWN) == plain(unknown)
    assert len(victim.jobs.orders) == before


@pytest.mark.parametrize(
    "action",
    [
        attack(Action.EDIT, what="hand in a forged edit form"),
        attack(Action.REWORD, what="hand in a forged review form"),
    ],
)
async def test_no_form_works_on_a_private_job_elsewhere(victim, action):
    before = len(victim.jobs.orders)
    form = ButtonId(action=action, job=WAITING).encode()
    answer = await submit(form, {"prompt": "mine now"}, outside(victim))
    assert plain(answer) == plain(await execute(f"/rushes status {WAITING}", outside(victim)))
    assert len(victim.jobs.orders) == before
    assert "unicorn" in (await victim.jobs.get(WAITING, tenant="test:g1")).spec.prompt


@pytest.mark.attack("visibility", "type into an option that proposes jobs, as an admin")
async def test_no_private_prompt_is_proposed(victim):
    admin = replace(MALLORY, admin=True)
    source = autocomplete.source(JOB)
    assert await autocomplete.suggest(JOB, source, "", outside(victim, admin)) == []
    assert await autocomplete.suggest(JOB, source, "", outside(victim, VICTIM))


@pytest.mark.attack("visibility", "show prompts to the operator of the machine")
async def test_the_operator_sees_an_id_to_cancel_by_and_no_prompt(victim):
    operator = outside(victim, replace(MALLORY, operator=True))
    listed = plain(await execute("/rushes queue", operator))
    assert WAITING in listed
    assert "unicorn" not in listed
    assert "Victim" not in listed
    assert "unicorn" not in plain(await execute(f"/rushes show {WAITING}", operator))
    await execute(f"/rushes-admin cancel {WAITING}", operator)
    assert (await victim.jobs.get(WAITING, tenant="test:g1")).state is JobState.CANCELLED


async def test_everybody_else_sees_that_a_place_is_taken(victim):
    listed = plain(await execute("/rushes queue", outside(victim)))
    assert listed == "1 job in the queue\n1. a private job · starts in about 1 s"


@pytest.mark.parametrize(
    ("caller", "channel"),
    [
        (VICTIM, SECRET_ROOM),
        (VICTIM, HALL),
        (MALLORY, SECRET_ROOM),
        (MALLORY, replace(SECRET_ROOM, id="secret", room="thread")),
    ],
)
async def test_the_requester_and_the_people_there_see_it_as_before(victim, caller, channel):
    call = outside(victim, caller, channel)
    assert "unicorn" in plain(await execute("/rushes queue", call))
    assert "unicorn" in plain(await execute(f"/rushes status {WAITING}", call))
    assert (await execute(f"/rushes show {DONE}", call)).attachment is not None


class Overseer(OpenDirectory):
    """An admin who may look into the private channel."""

    def administers(self, channel):
        return channel == "secret"


async def test_an_admin_of_the_place_sees_it_from_elsewhere(victim):
    call = outside(victim, replace(MALLORY, admin=True), directory=Overseer())
    assert "unicorn" in plain(await execute("/rushes queue", call))
    assert "unicorn" in plain(await execute(f"/rushes status {WAITING}", call))


class Converted(OpenDirectory):
    """A chat in which the hall has been made private."""

    async def find_private_channels(self, channels):
        return frozenset(channels) & {"hall"}


@pytest.mark.attack("visibility", "ask after a channel was made private")
async def test_what_was_public_is_private_once_its_channel_is(victim):
    await execute("/generate a gnu", replace(victim, channel=HALL))
    lobby = replace(HALL, id="lobby")
    assert "gnu" in plain(await execute("/rushes queue", outside(victim, channel=lobby)))
    call = outside(victim, channel=lobby, directory=Converted())
    assert "gnu" not in plain(await execute("/rushes queue", call))
    assert "gnu" in plain(await execute("/rushes queue", replace(call, channel=HALL)))


@pytest.mark.attack("visibility", "look around as a guest or another company's person")
async def test_a_guest_sees_the_place_they_are_in_and_nothing_else(victim):
    await execute("/generate a gnu", replace(victim, channel=HALL))
    guest = replace(MALLORY, guest=True)
    lobby = replace(HALL, id="lobby")
    assert "gnu" not in plain(await execute("/rushes queue", outside(victim, guest, lobby)))
    assert "gnu" in plain(await execute("/rushes queue", outside(victim, guest, HALL)))


@pytest.mark.attack("visibility", "publish a private job by making it again in its own place")
async def test_what_is_made_of_a_private_job_there_is_private_too(victim):
    there = outside(victim, MALLORY, SECRET_ROOM)
    for action in (Action.REROLL, Action.RETRY):
        await press(ButtonId(action=action, job=DONE).encode(), there)
        assert victim.jobs.orders[-1].audience == Audience(channel="secret", private=True)
    eve = outside(victim, Caller(id="u8", name="Eve"))
    assert "unicorn" not in plain(await execute("/rushes queue", eve))


async def test_what_its_requester_makes_of_it_in_public_is_public(victim):
    await press(ButtonId(action=Action.REROLL, job=DONE).encode(), replace(victim, channel=HALL))
    assert victim.jobs.orders[-1].audience == Audience(channel="hall", private=False)


@pytest.mark.attack("visibility", "hide a job in a private thread of a public channel, and list it")
async def test_a_private_thread_is_a_place_of_its_own(victim):
    thread = replace(HALL, room="thread", private=True)
    await execute("/generate a gnu", replace(victim, channel=thread))
    assert "gnu" not in plain(await execute("/rushes queue", outside(victim, channel=HALL)))
    assert "gnu" in plain(await execute("/rushes queue", outside(victim, channel=thread)))


PLACES = ("", "hall", "secret")


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seen_from", PLACES)
@pytest.mark.parametrize("tenant", ["test:g1", "test:g2"])
def test_the_rule_itself(private, place, seen_from, tenant):
    job = a_job("test:g1", "u1", audience=Audience(channel=place, private=private))
    here = frozenset({seen_from} - {""})
    viewer = Viewer(tenant=tenant, person="u7", channels=here)
    expected = tenant == "test:g1" and (not private or (place != "" and place == seen_from))
    assert can_see(job, viewer) is expected
    assert can_see(job, replace(viewer, person="u1")) is (tenant == "test:g1")
    seen = find_job_access(job, replace(viewer, operator=True))
    assert seen is (
        JobAccess.NONE if tenant != "test:g1" else JobAccess.ALL if expected else JobAccess.ID
    )


@pytest.mark.attack("visibility", "look at a job of which nobody said who may see it")
async def test_an_order_without_an_audience_is_its_requesters_alone(tmp_path):
    bench = Bench(directory=tmp_path / "data")
    async with bench.open():
        job = await bench.core.jobs.submit(replace(an_order(), audience=Audience()))
        assert job.audience == Audience(channel="", private=True)
        assert can_see(job, Viewer(tenant="guild:a", person="ada"))
        assert not can_see(job, Viewer(tenant="guild:a", person="bob", channels=frozenset({""})))


def keep_before_audiences(path, job, address):
    """Write a database as the last version left it that knew of no audience."""
    row = {**row_from_job(job), "address": address}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for number, sql in migrations():
            if "ADD COLUMN private" in sql:
                break
            connection.executescript(f"{sql}\nPRAGMA user_version = {number};")
        there = [name for _, name, *_ in connection.execute("PRAGMA table_info(jobs)")]
        names = [name for name in there if name in row]
        connection.execute(
            f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608 - names of columns
            [row[name] for name in names],
        )
        connection.commit()


@pytest.mark.parametrize(
    ("tenant", "address", "requester", "expected"),
    [
        ("slack:T1", '{"channel": "D7"}', "U1", ("D7", True, "slack:T1:U1")),
        ("slack:T1", '{"channel": "C7"}', "U1@T2", ("C7", True, "slack:T2:U1")),
        ("discord:5", '{"channel": 77}', "42", ("77", True, "discord:42")),
        ("terminal:a", '{"guild": "a"}', "ada", ("", False, "terminal:ada")),
        ("mine:a", "{}", "ada", ("", True, "mine:ada")),
    ],
)
@pytest.mark.attack("visibility", "read prompts of jobs that an older version kept")
async def test_older_jobs_are_for_their_requester_and_their_channel(
    tmp_path, tenant, address, requester, expected
):
    platform = tenant.partition(":")[0]
    job = a_job(tenant, requester, id=WAITING, platform=platform)
    keep_before_audiences(tmp_path / "old.sqlite3", job, address)
    async with open_database(tmp_path / "old.sqlite3") as database:
        kept = await JobStore(database, ManualClock(), None).get(WAITING)
    assert (kept.audience.channel, kept.audience.private, kept.person) == expected
