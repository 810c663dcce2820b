"""`/readyz`: every reason why Rushes is not ready, made true."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import sys

import aiohttp
import psutil
import pytest

from bot import readiness, serve, supervision
from bot.cli.parser import main
from bot.control.server import serve_control
from bot.doctor import configuration
from bot.doctor.findings import Level
from inference.domain.errors import StoreError
from inference.engines.weights import OPENSORA
from inference.opensora.files import checkpoint_path
from inference.store.sqlite import diagnosis
from tests.fakes.discord import LoopbackDiscord
from tests.scenario.http_client import SECONDS, http_config, serving
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process


@pytest.fixture
async def house(tmp_path):
    async with serving(http_config(tmp_path / "data")) as house:
        yield house


async def asked(house) -> tuple[int, dict[str, str]]:
    async with house.session() as session, session.get("/readyz") as answer:
        body = await answer.json()
    assert (body["status"] == "ok") == (answer.status == 200) == (not body["reasons"])
    assert all(re.search(r"\.$|Run: .+$", reason) for reason in body["reasons"].values())
    return answer.status, body["reasons"]


async def until(house, *reasons: str) -> None:
    async with asyncio.timeout(SECONDS):
        while set((await asked(house))[1]) != set(reasons):  # noqa: ASYNC110 - a server's state
            await asyncio.sleep(0.05)


async def test_ready_means_that_everything_is(house, monkeypatch):
    services = house.app.services
    assert await asked(house) == (200, {})
    services.health.started = False
    assert set((await asked(house))[1]) == {"process"}
    services.health.started = True
    await services.jobs.drain()
    assert set((await asked(house))[1]) == {"queue"}
    await services.jobs.resume()
    services.health.report("discord.connection", "Discord is away.")
    assert await asked(house) == (503, {"discord.connection": "Discord is away."})
    services.health.clear("discord.connection")
    services.health.report("slack.T012AB", "One workspace has no valid token.")  # others are served
    assert (await asked(house))[0] == 200
    monkeypatch.setattr(readiness, "WRITE_SECONDS", 0.2)
    with sqlite3.connect(house.directory / "rushes.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert set((await asked(house))[1]) == {"database"}
        other.execute("ROLLBACK")
    other.close()
    await until(house)
    monkeypatch.setattr(diagnosis, "_ROOM_LEAST", 1 << 60)
    reasons = (await asked(house))[1]
    assert list(reasons) == ["database"]
    assert "is full" in reasons["database"]


async def damage(house, table: str) -> None:
    """Overwrite a page of the database in the file."""
    database = house.app.services.database
    await database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    [[page]] = await database.read(
        "SELECT rootpage FROM sqlite_schema WHERE name = :table", {"table": table}
    )
    [[size]] = await database.read("PRAGMA page_size")
    with (house.directory / "rushes.sqlite3").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


async def test_damage_that_a_backup_found_is_a_reason_until_the_next_start(house):
    """Nothing reads the table: only the check of the copy finds it."""
    await damage(house, "quarantine")
    health = house.app.services.health
    backups = asyncio.create_task(serve.daily_backups(house.app).run())
    try:
        async with asyncio.timeout(SECONDS):
            while "backup" not in health.problems:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        backups.cancel()
    health.clear("backup")
    status, reasons = await asked(house)
    assert status == 503
    assert "damaged" in reasons["database"]


async def test_damage_that_was_met_is_a_reason_until_the_next_start(house):
    database = house.app.services.database
    await damage(house, "jobs")
    await database.read("PRAGMA shrink_memory")  # it may know the page from before
    with pytest.raises(StoreError):
        await database.read("SELECT * FROM jobs")
    status, reasons = await asked(house)
    assert status == 503
    assert "damaged" in reasons["database"]


async def test_the_command_line_and_metrics_say_what_readyz_says(house, monkeypatch, capsys):
    """`rushes health` is the health check of containers, and a load balancer asks `/readyz`."""
    services = house.app.services
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    async def healthy(*flags) -> tuple[int, str]:
        arguments = ["health", "--data-dir", str(house.directory), *flags]
        code = await asyncio.to_thread(main, arguments)
        status, reasons = await asked(house)
        said = capsys.readouterr().out
        assert all(reason in said for reason in reasons.values())
        assert ("Ready" in said) <= (status == 200)
        async with house.session() as session, session.get("/metrics") as page:
            assert f"rushes_ready {float(status == 200)}" in await page.text()
        if "--live" not in flags:
            assert code == (0 if status == 200 else 1)
        return code, said

    async with serve_control(house.app):
        assert await healthy() == (0, "Ready: http, terminal.\n")
        services.health.started = False
        assert await healthy() == (1, "Rushes is starting or stopping.\nNot ready.\n")
        services.health.started = True
        await services.jobs.drain()
        assert await healthy() == (1, "No new jobs are accepted.\nNot ready.\n")
        assert (await healthy("--live"))[0] == 0  # a restart would mend nothing
        found = await configuration.ask_process(house.app.config)
        assert [(one.level, one.text("en")) for one in found] == [
            (Level.WARN, "No new jobs are accepted.")
        ]
        await services.jobs.resume()
        services.health.report("discord.connection", "Discord is away.")
        assert await healthy() == (1, "Discord is away.\nNot ready.\n")
        [found] = await configuration.ask_process(house.app.config)
        assert (found.level, found.text("en")) == (Level.FAIL, "Discord is away.")
        services.health.clear("discord.connection")
        services.health.report("slack.T012AB", "One workspace has no valid token.")
        assert await healthy() == (0, "One workspace has no valid token.\nReady: http, terminal.\n")
        services.health.clear("slack.T012AB")


async def test_health_and_doctor_say_that_the_queue_is_paused(house, monkeypatch, capsys):
    """Jobs are accepted, so this is no reason to be unready, but nothing is rendered."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    health = ["health", "--data-dir", str(house.directory)]
    await house.app.services.jobs.pause()
    async with serve_control(house.app):
        assert (await asked(house))[0] == 200
        assert await asyncio.to_thread(main, health) == 0
        assert "paused" in capsys.readouterr().out
        assert await asyncio.to_thread(main, [*health, "--strict"]) == 1
        [found] = await configuration.ask_process(house.app.config)
        assert found.level is Level.WARN
        assert "paused" in found.text("en")


@pytest.mark.slow
async def test_without_a_worker_nobody_is_served(house, monkeypatch):
    executable = sys.executable
    monkeypatch.setattr(sys, "executable", "/bin/false")
    for child in psutil.Process().children(recursive=True):
        if any("worker" in word and "media" not in word for word in child.cmdline()):
            os.kill(child.pid, signal.SIGKILL)
    await until(house, "worker")
    monkeypatch.setattr(sys, "executable", executable)
    await until(house)


async def test_a_model_whose_weights_were_deleted_is_a_reason(tmp_path):
    folders = [checkpoint_path(checkpoint.source, tmp_path) for checkpoint in OPENSORA]
    for folder in folders:  # as far as names tell, these are complete
        folder.mkdir()
        for name in ("config.json", "model.safetensors", "diffusion_pytorch_model.safetensors"):
            (folder / name).write_bytes(b"{}")
    config = http_config(tmp_path / "data", models={"installed": ["testcard", "opensora"],
                                                    "directory": tmp_path})  # fmt: skip
    async with serving(config) as house:
        shutil.rmtree(folders[-1])
        status, reasons = await asked(house)
    assert (status, set(reasons)) == (503, {"model.opensora"})
    assert "rushes models pull opensora" in reasons["model.opensora"]


@pytest.mark.slow
async def test_a_chat_that_is_gone_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(supervision, "PATIENCE_SECONDS", 0.2)
    async with LoopbackDiscord() as discord:
        section = {
            "token": discord.token,
            "api_base_url": discord.api_url,
            "gateway_url": discord.gateway_url,
            "cdn_hosts": [discord.cdn_host],
        }
        bot = {"data_dir": tmp_path / "data", "platforms": ["http", "discord"]}
        async with serving(http_config(tmp_path / "data", bot=bot, discord=section)) as house:
            await discord.bot_ready()
            await until(house)
            await discord.__aexit__(None, None, None)
            await until(house, "discord.connection")


@pytest.mark.slow
async def test_a_stop_is_seen_over_http_before_the_port_closes(tmp_path, free_port, request):
    (tmp_path / "config.toml").write_text(
        f'[bot]\nplatforms = ["http"]\n[http]\nport = {free_port}\ndrain_seconds = 30\n'
        '[models]\ninstalled = ["testcard"]\n'
    )
    shell = Shell(directory=tmp_path)
    given = ("token", "create", "--guild", "api", "--name", "ci")
    token = (await asyncio.to_thread(shell.rushes, *given)).out.strip()
    process = await asyncio.to_thread(shell.serve)
    request.addfinalizer(process.kill)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{free_port}"
    async with aiohttp.ClientSession(url, headers=headers) as session, asyncio.timeout(SECONDS):
        await reachable(session)
        process.send_signal(signal.SIGTERM)
        reasons = {}
        while "process" not in reasons:
            async with session.get("/readyz") as answer:
                reasons = (await answer.json())["reasons"]
        assert answer.status == 503
        async with session.post("/v1/videos", json={"prompt": "a fox"}) as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (503, "queue.stopping")
        assert int(answer.headers["Retry-After"]) > 0
        for path in ("/livez", "/v1/videos", "/v1/models", "/metrics"):
            async with session.get(path) as answer:
                assert answer.status == 200
        process.send_signal(signal.SIGTERM)  # enough was seen
        await asyncio.to_thread(process.communicate)
    assert process.returncode == 128 + signal.SIGTERM


async def reachable(session):
    """Wait until Rushes answers that it is ready."""
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get("/readyz") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(0.1)
