"""Failing states of the doctor: hosts, proxies, the clock and AI services."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from types import SimpleNamespace

import pytest
from aiohttp import web

from bot.doctor import discord, examination, network
from bot.doctor.findings import Level
from bot.doctor.slack import examine as slack_examine
from tests.fakes.proxy import LoopbackProxy
from tests.scenario.doctor.findings import (
    OF_ADDRESS,
    answering,
    answers,
    config,
    fine,
    needing,
    only,
    serving,
)


def test_a_port_of_http_that_is_taken(tmp_path, free_port):
    known = config(tmp_path, bot={"platforms": ["http"]}, http={"port": free_port})
    fine(network.check_port(known))
    with socket.create_server(("127.0.0.1", free_port)):
        found = only(network.check_port(known), Level.FAIL, "error.http.cannot_listen")
    assert found.text("en").count(str(free_port)) == 1
    assert not [*network.check_port(config(tmp_path, http={"port": free_port}))]


@pytest.mark.slow
@pytest.mark.process
async def test_the_port_of_a_running_rushes_is_its_own(tmp_path, free_port):
    known = config(tmp_path, bot={"platforms": ["http"]}, http={"port": free_port})
    (tmp_path / "data").mkdir()
    health = {"ready": True, "platforms": ["http"], "problems": {}}
    with socket.create_server(("127.0.0.1", free_port)):
        taken = await examination.examine(known, "en", offline=True)
        assert "http" in [one.check for one in taken if one.level is Level.FAIL]
        async with answering(tmp_path / "data" / "rushes.sock", health):
            found = await examination.examine(known, "en", offline=True)
    assert "http" not in [one.check for one in found]


async def test_a_host_that_is_away(tmp_path, free_port):
    found = await network.check_hosts(needing(tmp_path, f"http://127.0.0.1:{free_port}"))
    only(found[:1], Level.FAIL, "doctor.host.unreachable")


async def test_a_host_whose_certificate_is_not_trusted(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    await asyncio.to_thread(
        subprocess.run,
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "certificate.pem",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    async with serving(answers({}), tls) as url:
        found = await network.check_hosts(needing(tmp_path, url))
    only(found[:1], Level.FAIL, "doctor.host.certificate")


async def test_a_proxy_that_lets_nobody_through(tmp_path, monkeypatch):
    async with LoopbackProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("p%40ss", "wrong"))
        found = await network.check_hosts(needing(tmp_path, "https://discord.example"))
    only(found[:1], Level.FAIL, "doctor.host.proxy")


def test_a_proxy_that_is_none(tmp_path, monkeypatch):
    fine(network.proxy(config(tmp_path)))
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    only(network.proxy(config(tmp_path)), Level.FAIL, "error.config.proxy")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    [found] = network.proxy(config(tmp_path))
    assert found.code == "doctor.proxy.unneeded"
    assert "HTTPS_PROXY" in found.text("en")


@pytest.mark.parametrize(("ahead", "level"), [(60, Level.WARN), (-4000, Level.FAIL)])
async def test_a_clock_that_is_wrong(tmp_path, monkeypatch, ahead, level):
    async with serving(answers({})) as url:
        fine(await network.check_hosts(needing(tmp_path, url)))
        now = network.time.time
        monkeypatch.setattr(network, "time", SimpleNamespace(time=lambda: now() + ahead))
        only(await network.check_hosts(needing(tmp_path, url)), level, "doctor.clock.wrong")


@pytest.mark.parametrize(
    ("status", "data", "level", "code"),
    [
        (401, {}, Level.FAIL, "doctor.assistant.rejected"),
        (200, {"data": [{"id": "llama"}]}, Level.FAIL, "doctor.assistant.no_model"),
        (503, {}, Level.WARN, "doctor.assistant.down"),
        (404, {}, Level.WARN, "doctor.assistant.down"),  # an address without /v1
        (429, {}, Level.WARN, "doctor.assistant.down"),
    ],
)
async def test_an_assistant_that_does_not_help(tmp_path, status, data, level, code):
    async def answer(request):
        assert request.path == "/v1/models"
        assert request.headers["Authorization"] == "Bearer sk-test"
        return web.json_response(data, status=status)

    async with serving(answer) as url:
        section = {"model": "gpt-test", "base_url": f"{url}/v1", "api_key": "sk-test"}
        only(await network.check_openai(config(tmp_path, assistant=section)), level, code)


async def test_a_chat_with_a_token_that_is_not_among_the_platforms(tmp_path):
    known = config(tmp_path, discord={"token": "x"}, slack={"bot_token": "xoxb-x"})
    for found in (await discord.examine(known, "en"), await slack_examine(known)):
        assert "[bot] platforms" in only(found, Level.WARN, "doctor.chat.unlisted").text("en")


async def test_an_assistant_that_is_there(tmp_path):
    async with serving(answers({"data": [{"id": "gpt-test"}]})) as url:
        section = {"model": "gpt-test", "base_url": f"{url}/v1"}
        fine(await network.check_openai(config(tmp_path, assistant=section)))


async def test_an_assistant_with_a_password_in_its_address_is_asked_by_that(tmp_path):
    async def answer(request):
        return web.Response(status=200 if request.headers["Authorization"] == OF_ADDRESS else 401)

    async with serving(answer) as url:
        known = {
            "model": "small",
            "api_key": "sk-1",
            "base_url": url.replace("://", "://me:pass@") + "/v1",
        }
        fine(await network.check_openai(config(tmp_path, assistant=known)))
