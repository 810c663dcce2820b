"""Everything that leaves the machine goes through the proxy of the environment, or around it."""

from __future__ import annotations

import asyncio
import io
from urllib.parse import quote

import aiohttp
import pytest
from PIL import Image

from bot.config.sections import DiscordSection
from bot.discord.connection import log_in
from bot.network.connector import (
    ProxyError,
    open_session,
)
from inference.assist.base import RefinementRequest
from inference.assist.openai import AssistantSettings, open_assistant
from inference.domain.errors import AssistantError, UserError
from inference.domain.spec import Mode
from inference.safety.openai import OpenAIModerator
from tests.fakes import openai_moderation, openai_server
from tests.fakes.discord import File, Message
from tests.fakes.proxy import PASSWORD, LoopbackProxy
from tests.scenario.discord_studio import eventually, installation
from tests.scenario.slack_house import card_of, clip_below

pytestmark = pytest.mark.process

DEAD = "http://127.0.0.1:9"
"""Nobody is there: whoever goes through it fails."""


@pytest.fixture(autouse=True)
def _no_password_in_logs(caplog, capsys):
    """Whatever happens, and however much is logged."""
    caplog.set_level("DEBUG")
    yield
    told = caplog.text + "".join(capsys.readouterr())
    assert PASSWORD not in told
    assert quote(PASSWORD, safe="") not in told


@pytest.fixture
def environ(monkeypatch):
    return monkeypatch.setenv


@pytest.fixture
async def proxy(environ):
    async with LoopbackProxy() as proxy:
        environ("HTTP_PROXY", proxy.url)
        environ("HTTPS_PROXY", proxy.url)
        yield proxy


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        yield place


def picture() -> File:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(data, "PNG")
    return File(name="fox.png", data=data.getvalue(), content_type="image/png")


async def animated(place) -> Message:
    """Animate a picture, wait for the clip, and return the card."""
    prompt = "a fox --res 360p --frames 49"
    asked = place.alice.slash(place.general, "animate", prompt=prompt, image=picture())
    card = await asked.response()
    await place.clip(card)
    return card


async def test_discord_goes_through_a_proxy_that_wants_a_password(place, proxy):
    async with place.bot():
        await place.done(await animated(place))
        await eventually((place.directory / "discord-commands").exists)
        # Nothing is under way any more: what is cut off at the end may be known to the proxy alone.
    api, gateway = place.discord.api_url, place.discord.gateway_url
    went = {
        part
        for part in (api, gateway, "/attachments/", "/callback")
        for s in proxy.seen
        if part in s
    }
    assert went == {api, gateway, "/attachments/", "/callback"}
    sent = len(place.discord.witness.requests) + len(place.discord.cdn.fetched)
    assert len([s for s in proxy.seen if gateway not in s]) == sent
    assert proxy.refused == []


@pytest.mark.slow
async def test_a_chat_without_tls_takes_the_proxy_of_the_one_with_it(place, environ):
    async with LoopbackProxy() as proxy:
        environ("HTTPS_PROXY", proxy.url)
        async with place.bot():
            queue = place.alice.slash(place.general, "rushes queue")
            await queue.response()
            await eventually((place.directory / "discord-commands").exists)
        sent = len(place.discord.witness.requests)
        assert len(proxy.seen) == sent + place.discord.gateway.identifies


@pytest.mark.slow
async def test_discord_on_no_proxy_is_reached_directly(place, environ):
    environ("HTTP_PROXY", DEAD)
    environ("HTTPS_PROXY", DEAD)
    environ("NO_PROXY", f"discord.com,{place.discord.host}")
    async with place.bot():
        await animated(place)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_the_password_is_one_sentence(place, proxy, scheme):
    proxy.password = "another"  # noqa: S105
    api = place.discord.api_url.replace("http:", f"{scheme}:")
    section = DiscordSection(token=place.discord.token, api_base_url=api)
    with pytest.raises(UserError, match="proxy_refused") as caught:
        async with log_in(section, place.discord.token):
            pass
    assert PASSWORD not in str(caught.value)


async def test_tls_is_tunnelled_and_a_refusal_says_no_password(proxy):
    mute = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    host = f"127.0.0.1:{mute.sockets[0].getsockname()[1]}"
    async with mute, open_session() as session:
        with pytest.raises(aiohttp.ClientError):  # it speaks no TLS
            await session.get(f"https://{host}/")
        assert proxy.seen == [f"CONNECT {host}"]
        proxy.password = "another"  # noqa: S105
        with pytest.raises(ProxyError) as caught:
            await session.ws_connect(f"wss://{host}/")
        assert caught.value.status == 407
        assert caught.value.__cause__ is None
        assert "Basic" not in repr(caught.value)


async def test_a_wrong_value_is_one_sentence_before_anything_starts(place, environ):
    environ("HTTPS_PROXY", "socks5://team:secret@proxy:1080")
    with pytest.raises(UserError) as caught:
        async with place.bot():
            pass
    assert caught.value.code == "config.proxy"
    assert "secret" not in str(caught.value)


async def test_slack_goes_through_the_proxy_or_around_it(slack, make_house, acme, environ, proxy):
    alice = acme.add_user("alice")
    general = acme.add_channel("general", alice)
    async with make_house().open():
        await alice.command(general, "/generate", "a fox")
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
    ways = {"ws://", "auth.test", "chat.postMessage", "files.getUploadURLExternal"}
    assert {way for way in ways for s in proxy.seen if way in s} == ways
    assert proxy.refused == []
    proxy.seen.clear()
    environ("NO_PROXY", "127.0.0.1")
    async with make_house().open():
        await alice.command(general, "/generate", "a bear")
        await clip_below(slack, await alice.wait_for(general, card_of("a bear")))
    assert proxy.seen == []


async def test_the_assistant_goes_through_the_proxy_or_around_it(proxy, environ):
    draft = RefinementRequest(words="a red fox", mode=Mode.TEXT_TO_VIDEO)
    with openai_server.serving() as server:
        server.replies = [openai_server.prompt("A red fox."), openai_server.prompt("A bear.")]
        settings = AssistantSettings(
            model=openai_server.MODEL, base_url=server.base_url, api_key=openai_server.KEY
        )
        async with open_assistant(settings) as assistant:
            assert await assistant.refine(draft) == "A red fox."
        assert len(proxy.seen) == 1
        environ("NO_PROXY", server.base_url.split("/")[2])
        environ("ALL_PROXY", "socks5://elsewhere:1080")
        async with open_assistant(settings) as assistant:
            assert await assistant.refine(draft) == "A bear."
        assert len(proxy.seen) == 1
        environ("NO_PROXY", "")
        proxy.password = "another"  # noqa: S105
        async with open_assistant(settings) as assistant:
            with pytest.raises(AssistantError):
                await assistant.refine(draft)


@pytest.mark.slow
async def test_moderation_goes_through_the_proxy_or_around_it(proxy, environ):
    with openai_moderation.moderation_server() as server:
        for seen in 1, 1:
            key = openai_moderation.KEY
            async with OpenAIModerator(api_key=key, base_url=server.url) as moderator:
                assert await moderator.read(["a fox"], "guild:a") == frozenset()
            assert len(proxy.seen) == seen
            environ("NO_PROXY", "127.0.0.0/8")
