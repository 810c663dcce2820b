"""The loopback Slack against slack-bolt itself, so that nothing of ours can be wrong with both."""

import contextlib

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import FileInstallationStore
from slack_sdk.oauth.state_store import FileOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import Application, LoopbackSlack, Refused
from tests.fakes.slack.api import METHODS
from tests.fakes.slack.contract import Contract
from tests.fakes.slack.responses import new_response_url

MODAL = {
    "type": "modal",
    "callback_id": "generate",
    "title": {"type": "plain_text", "text": "Generate"},
    "submit": {"type": "plain_text", "text": "Go"},
    "blocks": [
        {
            "type": "input",
            "block_id": "prompt",
            "label": {"type": "plain_text", "text": "Prompt"},
            "element": {"type": "plain_text_input", "action_id": "prompt"},
        },
        {
            "type": "input",
            "block_id": "image",
            "optional": True,
            "label": {"type": "plain_text", "text": "Image"},
            "element": {"type": "file_input", "action_id": "image", "filetypes": ["png"]},
        },
    ],
}


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
async def app(slack, acme):
    """An app of a few lines that answers everything."""
    client = AsyncWebClient(token=acme.installation.token, base_url=slack.api_base_url)
    app = AsyncApp(client=client, signing_secret=slack.signing_secret)
    app.heard = []

    @app.command("/generate")
    async def generate(ack, command, client, context):
        await ack("taken")
        app.heard.append(command)
        if not command["text"]:
            await client.views_open(trigger_id=command["trigger_id"], view=MODAL)
            return
        await client.chat_postMessage(
            channel=command["channel_id"],
            text=command["text"],
            blocks=button("Cancel", "cancel"),
            metadata={"event_type": "card", "event_payload": {"job": "J1"}},
        )

    @app.view("generate")
    async def generate_view(ack, body, view):
        app.heard.append(body)
        if view["state"]["values"]["prompt"]["prompt"]["value"] == "bad":
            await ack(response_action="errors", errors={"prompt": "no"})
        else:
            await ack()

    @app.action("cancel")
    async def cancel(ack, body, client, respond):
        await ack()
        app.heard.append(body)
        place = body["container"]
        await client.chat_update(
            channel=place["channel_id"], ts=place["message_ts"], text="cancelled", blocks=[]
        )
        await respond("done", replace_original=False)

    @app.event("app_mention")
    async def mention(event, say, context):
        app.heard.append({"event": event, "context": dict(context)})
        await say("yes", thread_ts=event.get("thread_ts", event["ts"]))

    @app.event("app_home_opened")
    async def home(event, client):
        await client.views_publish(
            user_id=event["user"], view={"type": "home", "blocks": [section("hello")]}
        )

    @app.event("file_shared")
    async def shared(event):
        app.heard.append(event)

    @app.shortcut("animate")
    async def animate(ack, body):
        await ack()
        app.heard.append(body)

    return app


@pytest.fixture
async def online(app, slack):
    handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=1)
    await handler.connect_async()
    await slack.connected()
    yield handler
    await handler.close_async()


def section(text):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(label, action):
    element = {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": label}}
    return [section("a card"), {"type": "actions", "elements": [element]}]


async def upload(slack, client, channel, data=b"film", **more):
    place = await client.files_getUploadURLExternal(filename="fox.mp4", length=len(data))
    async with (
        aiohttp.ClientSession() as session,
        session.post(place["upload_url"], data=data) as response,
    ):
        assert response.status == 200
    files = [{"id": place["file_id"], "title": "fox"}]
    done = await client.files_completeUploadExternal(files=files, channel_id=channel.id, **more)
    assert "shares" not in done["files"][0]
    return place["file_id"]


async def test_a_command_is_acknowledged_and_answered_with_a_card(slack, online, alice, general):
    reply = await alice.command(general, "/generate", "a red fox &amp; friends")
    assert reply.acknowledged
    assert reply.payload == {"text": "taken"}
    card = await alice.wait_for(general, lambda m: m.metadata)
    assert card.metadata["event_payload"] == {"job": "J1"}
    assert card.text == "a red fox &amp; friends"
    assert [m.text for m in alice.sees(general) if m.only_for] == ["taken"]
    assert 0 < slack.acknowledgement_seconds(0.99) < 1
    assert not slack.violations


async def test_a_button_edits_its_message_and_answers_privately(slack, online, alice, general):
    await alice.command(general, "/generate", "a fox")
    card = await alice.wait_for(general, lambda m: m.buttons)
    assert (await alice.click(card, "Cancel")).acknowledged
    await slack.until(lambda: card.text == "cancelled")
    await alice.wait_for(general, lambda m: m.text == "done" and m.only_for == alice.id)
    assert [state.text for state in card.states] == ["a fox", "cancelled"]
    with pytest.raises(Refused):
        await alice.click(card, "Cancel")


async def test_a_modal_is_opened_filled_in_and_closed(slack, online, app, alice, general):
    await alice.command(general, "/generate")
    modal = await alice.wait_for_modal()
    with pytest.raises(Refused, match="Prompt has to be filled in"):
        await alice.submit(modal)
    await alice.submit(modal, {"Prompt": "bad"})
    assert modal.open
    await alice.submit(modal, {"Prompt": "a fox", "image": ("a.png", b"pixels")})
    assert alice.modal is None
    values = app.heard[-1]["view"]["state"]["values"]
    assert values["prompt"]["prompt"]["value"] == "a fox"
    [image] = values["image"]["image"]["files"]
    async with aiohttp.ClientSession() as session:
        async with session.get(image["url_private_download"]) as response:
            assert (response.status, response.content_type) == (200, "text/html")
        bearer = {"Authorization": f"Bearer {app.client.token}"}
        async with session.get(image["url_private_download"], headers=bearer) as response:
            assert await response.read() == b"pixels"
    assert not slack.violations


async def test_a_mention_in_a_thread_is_heard_with_its_files(slack, online, app, alice, general):
    first = alice.say(general, "look")
    said = alice.mention_app(general, "animate", thread=first, files=[("a.png", b"pixels")])
    answer = await alice.wait_for(general, lambda m: m.text == "yes")
    assert answer.thread_ts == first.ts == said.thread_ts
    assert [m.text for m in general.thread(first)][-1] == "yes"
    event = next(h["event"] for h in app.heard if "event" in h)
    assert event["files"][0]["mimetype"] == "image/png"
    await slack.until(lambda: any(h.get("type") == "file_shared" for h in app.heard))


async def test_shortcuts_and_the_home_tab(slack, online, app, alice, general):
    message = alice.say(general, "a picture", files=[("a.png", b"pixels")])
    assert (await alice.message_shortcut("animate", message)).acknowledged
    chosen = next(heard for heard in app.heard if "message" in heard)
    assert chosen["message"]["files"][0]["name"] == "a.png"
    assert (await alice.shortcut("animate")).acknowledged
    await alice.open_home()
    await slack.until(lambda: alice.home)
    assert "hello" in alice.home.words
    assert not slack.violations


async def test_a_file_is_shared_in_a_thread_a_little_later(slack, client, alice, general):
    card = alice.say(general, "card")
    identity = await upload(
        slack, client, general, thread_ts=card.ts, initial_comment=f"{alice.mention} here"
    )
    await slack.until(lambda: general.thread(card))
    [clip] = general.thread(card)
    assert clip.files[0].data == b"film"
    assert clip.pings == {alice.id}
    told = (await client.files_info(file=identity))["file"]
    assert told["shares"]["public"][general.id][0]["ts"] == clip.ts
    await client.files_delete(file=identity)
    assert clip.files == []


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([section("x" * 3001)], "3001 of 3000"),
        ([section("a < b")], "not escaped"),
        ([{"type": "divider"}] * 51, "51 blocks"),
        ([{**section("a"), "block_id": "x"}, {**section("b"), "block_id": "x"}], "there twice"),
        (button("x" * 76, "cancel"), "76 of 75"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "a"}}], "must be plain_text"),
        ([{"type": "actions", "elements": []}], "1 to 25"),
        ([{"type": "carousel"}], "unknown"),
        (MODAL["blocks"][:1], "input in a message"),
    ],
)
async def test_blocks_that_slack_does_not_take_are_refused(slack, client, general, blocks, problem):
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        await client.chat_postMessage(channel=general.id, text="a", blocks=blocks)
    assert problem in slack.violations[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"title": {"type": "plain_text", "text": "x" * 25}}, "25 of 24"),
        ({"private_metadata": "x" * 3001}, "3001 of 3000"),
        ({"blocks": [{"type": "divider"}] * 101}, "101 blocks"),
        ({"submit": None}, "submit"),
        ({"type": "home"}, "a home does not go here"),
    ],
)
async def test_modals_that_slack_does_not_take_are_refused(slack, acme, client, change, problem):
    view = {name: value for name, value in (MODAL | change).items() if value}
    trigger = slack.world.trigger(acme.installation, acme.add_user("bob").id)
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.views_open(trigger_id=trigger, view=view)
    assert problem in slack.violations[0]
    assert not slack.world.views


async def test_calls_that_do_not_follow_the_contract_are_refused(slack, client, general):
    if not slack.hub.contract.methods:
        pytest.skip("Slack's description of its methods is not beside the project")
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.api_call("chat.postMessage", json={"channel": general.id, "colour": "red"})
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.api_call("users.info")
    assert [v.partition(": ")[2] for v in slack.violations] == [
        "no argument colour",
        "user is missing",
    ]


async def test_places_that_a_token_cannot_reach(slack, acme, alice, client):
    other = slack.add_team("other")
    other.install()
    secret = other.add_channel("secret", kind="private")
    closed = acme.add_channel("closed", alice, bot=False)
    with pytest.raises(SlackApiError, match="channel_not_found"):
        await client.chat_postMessage(channel=secret.id, text="a")
    assert len(slack.violations) == 1
    with pytest.raises(SlackApiError, match="not_in_channel"):
        await client.chat_postMessage(channel=closed.id, text="a")
    await client.conversations_join(channel=closed.id)
    await client.chat_postMessage(channel=closed.id, text="a")
    acme.install(scopes=frozenset({"commands"}))
    client.token = acme.installation.token
    with pytest.raises(SlackApiError, match="missing_scope") as refused:
        await client.chat_postMessage(channel=closed.id, text="a")
    assert refused.value.response["needed"] == "chat:write"
    acme.uninstall(reason="token_revoked")
    with pytest.raises(SlackApiError, match="token_revoked"):
        await client.auth_test()


async def test_the_fifty_first_update_in_a_minute_is_refused(slack, client, general):
    ts = (await client.chat_postMessage(channel=general.id, text="a"))["ts"]
    for number in range(50):
        await client.chat_update(channel=general.id, ts=ts, text=str(number))
    with pytest.raises(SlackApiError) as refused:
        await client.chat_update(channel=general.id, ts=ts, text="once more")
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) > 30
    assert slack.violations == ["chat.update (acme): more than 50 in a minute"]
    assert slack.busiest_minute("chat.update") == 50


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


async def test_what_slacks_own_client_refuses(slack, online, acme, alice, general):
    thread = alice.say(general, "a thread")
    with pytest.raises(Refused, match="threads"):
        await alice.command(general, "/generate", "a", thread=thread)
    with pytest.raises(Refused, match="Slack's own"):
        await alice.command(general, "/status")
    with pytest.raises(Refused, match="not in"):
        await alice.command(acme.add_channel("elsewhere"), "/generate", "a")
    with pytest.raises(ValueError, match="/help"):
        Application(commands=frozenset({"/help"}))


async def test_a_channel_of_two_companies(slack, online, app, acme, alice):
    other = slack.add_team("other")
    other.install()
    bob = other.add_user("bob")
    shared = acme.add_channel("shared", alice, bob, shared_with=[other])
    info = (await app.client.conversations_info(channel=shared.id))["channel"]
    assert (info["is_ext_shared"], info["connected_team_ids"]) == (True, [other.id])
    bob.mention_app(shared, "hello", of=acme.installation, files=[("a.png", b"pixels")])
    await slack.until(lambda: any("context" in heard for heard in app.heard))
    heard = next(heard for heard in app.heard if "context" in heard)
    assert heard["context"]["team_id"] == acme.id
    assert heard["context"]["actor_team_id"] == other.id
    [stub] = heard["event"]["files"]
    assert stub["file_access"] == "check_file_info"
    assert (await app.client.files_info(file=stub["id"]))["file"]["name"] == "a.png"
    acme.add_channel("inside", alice)
    await app.client.chat_postMessage(channel=alice.dm.id, text="only for acme")
    await app.client.chat_postMessage(channel=shared.id, text="for both")
    assert slack.leaks([(acme, "only for acme")]) == []
    assert slack.leaks([(acme, "for both")]) == ["other was shown 'for both' of acme"]


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


async def test_a_response_url_is_good_for_five_answers(slack, acme, alice, general):
    url = new_response_url(slack.hub, acme.installation, general, alice.id)
    async with aiohttp.ClientSession() as session:
        for status in (200, 200, 200, 200, 200, 404):
            async with session.post(url, json={"text": "again"}) as response:
                assert response.status == status
    assert len(alice.sees(general)) == 5
    assert slack.violations == ["a response URL was used too often or too late"]


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


def test_what_the_methods_need_is_what_slack_says():
    contract = Contract.read()
    if not contract.methods:
        pytest.skip("Slack's description of its methods is not beside the project")
    tiers = {"t3": 50, "t4": 100, "t5": None}
    for method in METHODS.values():
        described = contract.methods[method.name]
        assert method.per_minute == tiers[described["rate_limits"]], method.name
        scopes = described["scope"].get("bot", [])
        assert method.scope in scopes or (method.scope is None and len(scopes) != 1), method.name


async def test_a_channel_becomes_shared_and_ceases_to_be(slack, online, app, acme, general):
    other = slack.add_team("other")
    other.install()
    bob = other.add_user("bob")
    heard = []

    @app.event("channel_shared")
    @app.event("channel_unshared")
    async def keep(body):
        heard.append(body)

    acme.share(general, other, bob)
    assert bob.sees(general) == general.messages
    acme.unshare(general, other)
    await slack.until(lambda: len(heard) == 4)
    assert {body["event"]["type"] for body in heard} == {"channel_shared", "channel_unshared"}
    assert bob.id not in general.members


async def test_a_modal_has_to_be_opened_in_time_and_only_once(slack, acme, alice, client):
    trigger = slack.world.trigger(acme.installation, alice.id)
    await client.views_open(trigger_id=trigger, view=MODAL)
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client.views_open(trigger_id=trigger, view=MODAL)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=alice.modal.id, view=MODAL, hash="old")
    await client.views_update(view_id=alice.modal.id, view=MODAL, hash=alice.modal.hash)
