from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sqlite3
import tempfile
from dataclasses import replace

import pytest

from commands.handlers import privacy
from commands.run import execute
from commands.text.card import CardKind, plain
from inference.domain.errors import StoreError
from inference.tasks import running


async def test_forgetting_asks_first_and_deletes_nothing(call, jobs):
    await execute("/generate a fox", call)
    card = await execute("/rushes forget-me", call)
    assert card.private
    assert "/rushes forget-me yes" in plain(card)
    assert await jobs.recent("test:g1", "u1", limit=5)


async def test_forgetting_deletes_the_callers_jobs(call, jobs):
    await execute("/generate a fox", call)
    other = await jobs.submit(jobs.orders[0])
    card = await execute("/rushes forget-me yes", call)
    assert "2 jobs" in plain(card)
    assert await jobs.recent("test:g1", "u1", limit=5) == []
    assert other.id not in [job.id for job in await jobs.waiting("test:g1")]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_forgetting_deletes_the_copy_that_my_data_made(call, temporary):
    mine, other = await execute("/rushes my-data", call), replace(call.caller, id="u2")
    theirs = await execute("/rushes my-data", replace(call, caller=other))
    await execute("/rushes forget-me yes", call)
    assert not mine.attachment.path.exists()
    assert theirs.attachment.path.exists()


async def _gone(folder):
    while folder.exists():  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.01)


async def test_a_copy_that_was_not_written_to_its_end_is_removed_too(call, temporary, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(json, "dumps", full)
    with contextlib.suppress(OSError):
        await execute("/rushes my-data", call)
    assert list(temporary.glob("rushes-data-*"))
    privacy.remove_copies()
    assert not list(temporary.glob("rushes-data-*"))


async def test_no_copy_outlives_its_hour_or_the_process(call, temporary):
    card = await execute("/rushes my-data", call)
    killed = temporary / "rushes-data-of-a-killed-process"
    recent, foreign = temporary / "rushes-data-of-another", temporary / "rushes-something"
    for folder in (killed, recent, foreign):
        folder.mkdir()
        (folder / "my-data.json").write_text("{}")
    (temporary / "rushes-data-link").symlink_to(foreign)
    for folder in (killed, foreign):
        os.utime(folder, (1, 1))
    async with running() as tasks:
        tasks.start(privacy.expire_copies(every=0.01), name="exports")
        await _gone(killed)
        assert recent.exists()  # a second Rushes on this machine may be sending it
        os.utime(recent, (1, 1))
        await _gone(recent)
    privacy.remove_copies()
    assert not card.attachment.path.parent.exists()
    assert (foreign / "my-data.json").exists()


async def test_forgetting_deletes_what_the_caller_set_and_their_name_from_the_log(call):
    admin = replace(call, caller=replace(call.caller, admin=True))
    other = replace(call, caller=replace(call.caller, id="u2", name="bob", admin=True))
    for caller in (admin, other):
        await execute("/rushes settings set default.steps 9", caller)
        await execute("/rushes preset save fast --res 360p", caller)
    await execute("/rushes-admin settings set default.steps 12", admin)
    await execute("/rushes forget-me yes", admin)

    assert "default.steps: 12 (set here)" in plain(await execute("/rushes settings", call))
    assert "no presets" in plain(await execute("/rushes preset list", call))
    log = plain(await execute("/rushes-admin settings log", other))
    assert "deleted person · default.steps: not set → 12" in log
    assert "ada" not in log
    assert "default.steps: 9 (yours)" in plain(await execute("/rushes settings", other))
    assert "fast: --resolution 360p (yours)" in plain(await execute("/rushes preset list", other))


async def test_who_is_told_later_is_kept_until_then_and_nobody_else(call, jobs):
    await execute("/generate a fox", call)
    await execute("/rushes forget-me yes", call)
    assert await call.policy.erasures.open() == []
    jobs.being_erased.add(("test:g1", "u1"))
    for _ in range(2):
        card = await execute("/rushes forget-me yes", call)
        assert "says when that is done" in plain(card)
    [erasure] = await call.policy.erasures.open()
    assert (erasure.person.id, erasure.address, erasure.erased) == (
        "u1",
        call.channel.address,
        True,
    )


async def test_an_erasure_that_failed_is_not_done_later_unasked(call, jobs, monkeypatch):
    async def fail(**_):
        raise StoreError("store.full")

    monkeypatch.setattr(jobs, "forget", fail)
    assert (await execute("/rushes forget-me yes", call)).kind is CardKind.ERROR
    assert await call.policy.erasures.open() == []


async def test_everybody_gets_their_own_data_and_nobody_elses(call):
    other = replace(call, caller=replace(call.caller, id="u2", name="bob"))
    for caller, prompt in ((call, "a fox"), (other, "a whale")):
        await execute(f"/generate {prompt}", caller)
        await execute("/rushes settings set default.steps 9", caller)
        await execute(f"/rushes preset save {caller.caller.id} --res 360p", caller)
    card = await execute("/rushes my-data", call)
    assert card.private
    assert card.attachment is not None
    written = card.attachment.path.read_text("utf-8")
    data = json.loads(written)
    assert [job["spec"]["prompt"] for job in data["jobs"]] == ["a fox"]
    assert list(data["settings"]) == ["default.steps"]
    assert list(data["presets"]) == ["u1"]
    assert "whale" not in written
    assert "bob" not in written
    assert card.attachment.path.parent.stat().st_mode & 0o077 == 0


async def test_who_takes_no_direct_message_is_told_by_their_next_private_answer(
    call, jobs, tmp_path
):
    jobs.being_erased.add(("test:g1", "u1"))
    await execute("/rushes forget-me yes", call)
    jobs.being_erased.clear()
    erasures = call.policy.erasures
    [erasure] = await erasures.open()
    await erasures.leave_untold(erasure)
    assert await erasures.open() == []
    with contextlib.closing(sqlite3.connect(tmp_path / "rules.sqlite3")) as looking:
        [row] = looking.execute("SELECT * FROM erasures")
    assert not {"u1", "ada"} & set(map(str, row))
    other = replace(call, caller=replace(call.caller, id="u2", name="bob"))
    said = "All your jobs here are deleted now"
    assert said not in plain(await execute("/rushes help", other))
    assert said not in plain(await execute("/generate a fox", call))  # for all to see
    assert said in plain(await execute("/generate a fox --arr 1:1", call))
    assert said not in plain(await execute("/rushes help", call))
