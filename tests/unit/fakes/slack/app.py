"""A plain app of slack-bolt, so that nothing of ours can be wrong on both sides."""

import aiohttp
from slack_bolt.async_app import AsyncApp

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


def make_app(slack, client):
    """Return an app of a few lines that answers everything, and keeps what it heard."""
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
