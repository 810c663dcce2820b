"""How the loopback Slack reaches an app, and what goes wrong on the way."""

import contextlib

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import FileInstallationStore
from slack_sdk.oauth.state_store import FileOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import LoopbackSlack
from tests.unit.fakes.slack.app import upload


async def test_a_scripted_429_and_a_lost_answer(slack, client, general):
    slack.trouble(r"chat\.postMessage", error="ratelimited", retry_after=7)
    with pytest.raises(SlackApiError) as refused:
        await client.chat_postMessage(channel=general.id, text="a")
    assert refused.value.response.headers["Retry-After"] == "7"
    slack.trouble(r"chat\.postMessage", taken=True, reset=True)
    client.retry_handlers.clear()  # the SDK's own would post it twice
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=general.id, text="b")
    assert [m.text for m in general.messages] == ["b"]
    assert not slack.violations


@pytest.mark.slow
async def test_an_event_comes_again_when_the_socket_breaks(slack, online, app, alice, general):
    slack.hub.mail.retry_seconds = (0.2,) * 10
    slack.socket.numb()
    alice.mention_app(general, "hello")
    await slack.until(lambda: slack.world.deliveries)
    slack.socket.drop()
    await slack.until(lambda: slack.socket.opened == 2)
    await alice.wait_for(general, lambda m: m.text == "yes")
    first, *_, last = slack.world.deliveries
    assert (first.attempt, first.seconds) == (0, None)
    assert last.attempt > 0
    assert last.seconds is not None


async def test_an_app_that_is_asked_to_reconnect_does(slack, online, alice, general):
    await slack.socket.ask_to_reconnect()
    await slack.until(lambda: slack.socket.opened >= 2)
    assert (await alice.command(general, "/generate", "a fox")).acknowledged


@contextlib.asynccontextmanager
async def served(app):
    """Serve an app over HTTP; yield where it is."""
    runner = aiohttp.web.AppRunner(app.server(port=0, path="/slack/events").web_app)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack"
    finally:
        await runner.cleanup()


async def test_an_app_that_slack_posts_to(slack, app, alice, general):
    async with served(app) as url:
        wire = slack.post_to(f"{url}/events")
        assert (await alice.command(general, "/generate", "a fox")).acknowledged
        card = await alice.wait_for(general, lambda m: m.buttons)
        assert (await alice.click(card, "Cancel")).acknowledged
        await slack.until(lambda: card.text == "cancelled")
        alice.mention_app(general, "hello")
        await alice.wait_for(general, lambda m: m.text == "yes")
        async with aiohttp.ClientSession() as session:
            old = wire.signature("{}", age_seconds=600)
            async with session.post(f"{url}/events", data="{}", headers=old) as response:
                assert response.status == 401


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")  # slack_sdk's use of aiohttp
@pytest.mark.parametrize("rotation", [False, True])
async def test_two_workspaces_install_an_app_by_themselves(tmp_path, rotation):
    async with LoopbackSlack(rotation=rotation) as slack:
        client = AsyncWebClient(base_url=slack.api_base_url)
        settings = AsyncOAuthSettings(
            client_id=slack.client_id,
            client_secret=slack.client_secret,
            scopes=["commands", "chat:write", "im:write"],
            installation_store=FileInstallationStore(base_dir=str(tmp_path)),
            state_store=FileOAuthStateStore(expiration_seconds=60, base_dir=str(tmp_path)),
            # Bolt renews what is good for less than this: everything.
            token_rotation_expiration_minutes=24 * 60,
        )
        settings.authorize.token_rotator.client = client  # its own knows only slack.com
        app = AsyncApp(client=client, signing_secret=slack.signing_secret, oauth_settings=settings)

        @app.command("/generate")
        async def generate(ack, command, client):
            await ack()
            await client.chat_postMessage(channel=command["channel_id"], text=command["team_id"])

        async with served(app) as url:
            slack.post_to(f"{url}/events")
            teams = [slack.add_team(name) for name in ("acme", "other")]
            for team in teams:
                someone = team.add_user("someone")
                page = await slack.install(team, someone, f"{url}/install")
                assert team.id in page
                first = team.installation.token
                channel = team.add_channel("general", someone)
                assert (await someone.command(channel, "/generate")).acknowledged
                said = await someone.wait_for(channel, bool)
                assert (said.text, said.team) == (team.id, team.team)
                assert (team.installation.token != first) == rotation
        assert not slack.violations


async def test_chance_repeats_events_and_modals(slack, online, app, alice, general):
    slack.hub.faults.redelivered = slack.hub.faults.doubled_views = 1.0
    alice.mention_app(general, "hello")
    mentions = await slack.until(
        lambda: len(both := [d for d in slack.world.deliveries if d.seconds]) == 2 and both
    )
    assert [delivery.attempt for delivery in mentions] == [0, 1]
    assert len({heard["context"]["team_id"] for heard in app.heard}) == 1
    await alice.command(general, "/generate")
    await alice.submit(await alice.wait_for_modal(), {"Prompt": "a fox"})
    views = [heard["view"] for heard in app.heard if heard.get("type") == "view_submission"]
    assert len(views) == 2
    assert len({(view["id"], view["hash"]) for view in views}) == 1


async def test_a_file_that_is_never_shared(slack, client, alice, general):
    slack.hub.faults.never_shared = 1.0
    identity = await upload(slack, client, general)
    slack.hub.faults.never_shared = 0.0
    assert (await client.files_info(file=identity))["file"]["shares"] == {}
    assert not general.messages
