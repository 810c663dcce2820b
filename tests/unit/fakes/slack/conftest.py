import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import LoopbackSlack
from tests.unit.fakes.slack.app import make_app


@pytest.fixture
async def slack():
    async with LoopbackSlack(ping_seconds=0.2) as slack:
        yield slack


@pytest.fixture
def acme(slack):
    team = slack.add_team("acme")
    team.install()
    return team


@pytest.fixture
def alice(acme):
    return acme.add_user("alice", locale="ko-KR")


@pytest.fixture
def general(acme, alice):
    return acme.add_channel("general", alice)


@pytest.fixture
def client(slack, acme):
    return AsyncWebClient(token=acme.installation.token, base_url=slack.api_base_url)


@pytest.fixture
def app(slack, client):
    return make_app(slack, client)


@pytest.fixture
async def online(app, slack):
    handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=1)
    await handler.connect_async()
    await slack.connected()
    yield handler
    await handler.close_async()
