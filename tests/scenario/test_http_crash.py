"""Killed at any moment, an accepted id answers afterwards and ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time

import aiohttp
import pytest
from PIL import Image

from bot.http.access.tokens import (
    open_tokens,
    prepare,
)
from bot.http.webhooks import new_secret
from tests.fakes.webhook_receiver import Receiver, make_certificate
from tests.scenario.http_client import SECONDS, ended
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process

CROWD = 40
"""Requests at once while it is killed."""


@pytest.mark.slow
async def test_every_accepted_id_answers_after_a_kill_and_ends(tmp_path, free_port, request):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "first.png")
    (tmp_path / "config.toml").write_text(
        f'[bot]\nplatforms = ["http"]\n[http]\nport = {free_port}\n[queue]\nwaiting_per_user = 99\n'
        'waiting_per_guild = 99\n[models]\ninstalled = ["testcard"]\n'
        "[models.testcard]\nstep_seconds = 0.02\n"
    )
    shell = Shell(directory=tmp_path)
    made = await asyncio.to_thread(
        shell.rushes, "token", "create", "--guild", "api", "--name", "ci"
    )
    token = made.out.strip()
    process = await asyncio.to_thread(shell.serve)
    request.addfinalizer(process.kill)
    accepted: dict[str, str] = {}

    async def ask(session, number):
        """Ask with a picture every other time, until the process is gone."""
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("prompt", f"clip {number}")
        form.add_field("rushes[frames]", "49")
        form.add_field("rushes[resolution]", "360p")
        if number % 2:
            form.add_field(
                "input_reference", (tmp_path / "first.png").read_bytes(), filename="a.png"
            )
        headers = {"Idempotency-Key": str(number)}
        async with session.post("/v1/videos", data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            accepted[str(number)] = (await answer.json())["id"]

    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{free_port}"
    async with aiohttp.ClientSession(url, headers=headers) as session:
        await reachable(session)
        await asyncio.gather(*(ask(session, number) for number in range(6)))
        late = [asyncio.create_task(ask(session, number)) for number in range(6, 10)]
        await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*late, return_exceptions=True)
        process.communicate()

    again = await asyncio.to_thread(shell.serve)
    try:
        async with aiohttp.ClientSession(url, headers=headers) as session:
            await reachable(session)
            for video in accepted.values():
                assert (await ended(session, video))["status"] == "completed"
                async with session.get(f"/v1/videos/{video}/content") as answer:
                    assert (await answer.read())[4:8] == b"ftyp"
            known = dict(accepted)
            for number in known:
                await ask(session, int(number))
            assert accepted == known
            assert len(accepted) >= 7
    finally:
        again.terminate()
        again.communicate(timeout=SECONDS)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
async def test_killed_under_load_it_loses_no_id_no_webhook_and_doubles_nothing(
    tmp_path, free_port, request, monkeypatch
):
    certificate, key = await asyncio.to_thread(make_certificate, tmp_path)
    secret, told = new_secret(), {}
    async with Receiver(certificate, key, 503) as receiver, contextlib.AsyncExitStack() as stack:
        (tmp_path / "config.toml").write_text(
            f'[bot]\nplatforms = ["http"]\n[http]\nport = {free_port}\n'
            f'webhook_hosts = ["localhost:{receiver.port}"]\nwebhook_networks = ["127.0.0.1"]\n'
            "[queue]\nwaiting_per_user = 99\nwaiting_per_guild = 99\n"
            '[models]\ninstalled = ["testcard"]\n'
            "[models.testcard]\nstep_seconds = 0.0\nsteps = 1\n"
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        (tmp_path / "data").mkdir()
        await prepare(tmp_path / "data")
        with open_tokens(tmp_path / "data") as table:
            tokens = [
                table.create(
                    guild=f"tenant {number}", name="ci", person=None, roles=frozenset(),
                    expires=None, now=time.time(), webhook=(receiver.url, secret),
                )
                for number in range(2)
            ]  # fmt: skip
        shell = Shell(directory=tmp_path)
        process = await asyncio.to_thread(shell.serve)
        request.addfinalizer(process.kill)
        url = f"http://127.0.0.1:{free_port}"
        sessions = [
            await stack.enter_async_context(
                aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"})
            )
            for token in tokens
        ]
        await reachable(sessions[0])
        enough = asyncio.Event()

        async def insist(number):
            """Ask under one key until there is an answer, then once more."""
            session, answers = sessions[number % 2], told.setdefault(number, [])
            body = {"prompt": f"clip {number}", "rushes": {"resolution": "360p", "frames": 1}}
            headers = {"Idempotency-Key": str(number)}
            while len(answers) < 2:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post("/v1/videos", json=body, headers=headers) as answer:
                        assert answer.status in {200, 429}, await answer.text()
                        if answer.status == 200:
                            answers.append((await answer.json())["id"])
                if sum(map(bool, told.values())) >= CROWD // 2:
                    enough.set()
                await asyncio.sleep(0.05)

        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            for number in range(CROWD):
                tasks.create_task(insist(number))
            await enough.wait()
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.communicate)
            again = await asyncio.to_thread(shell.serve)
            request.addfinalizer(again.kill)
        assert all(len(set(answers)) == 1 for answers in told.values())
        for number, [video, _] in told.items():
            assert (await ended(sessions[number % 2], video))["status"] == "completed"
        await receiver.until({answers[0] for answers in told.values()}, SECONDS)
        assert receiver.wrong(secret) == []
        made = []
        for session in sessions:
            async with session.get("/v1/videos?limit=100") as answer:
                made += [video["prompt"] for video in (await answer.json())["data"]]
        assert sorted(made) == sorted(f"clip {number}" for number in range(CROWD))
        again.terminate()
        await asyncio.to_thread(again.communicate)


async def reachable(session):
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                async with session.get("/livez") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
