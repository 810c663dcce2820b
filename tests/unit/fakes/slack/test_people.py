"""What people do on the loopback Slack, with slack-bolt on the other side."""

import aiohttp
import pytest

from tests.fakes.slack import Application, Refused
from tests.unit.fakes.slack.app import upload


async def test_a_command_is_acknowledged_and_answered_with_a_card(slack, online, alice, general):
    reply = await alice.command(general, "/generate", "a red fox &amp; friends")
    assert reply.acknowledged
    assert reply.payload == {"text": "taken"}
    card = await alice.wait_for(general, lambda m: m.metadata)
    assert card.metadata["event_payload"] == {"job": "J1"}
    assert card.text == "a red fox &amp; friends"
    assert [m.text for m in alice.sees(general) if m.only_for] == ["taken"]
    assert slack.acknowledgement_seconds(0.99) > 0
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
