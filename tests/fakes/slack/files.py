"""The methods `files.*`, the places to upload to and to download from."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from aiohttp import web

from tests.fakes.slack.asking import Ask, Method
from tests.fakes.slack.blocks import message_problems
from tests.fakes.slack.chat import check_thread
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import Channel, File, Installation, Json, Share
from tests.fakes.slack.payloads import file_json
from tests.fakes.slack.records import SlackError

LOGIN_PAGE = "<!DOCTYPE html><html><body>Sign in to your workspace</body></html>"


async def get_upload_url(ask: Ask) -> Json:
    """Reserve a file."""
    length = int(ask.args["length"])
    if length <= 0:
        raise SlackError("missing_argument")
    if length > ask.hub.file_bytes:
        raise SlackError("file_upload_size_restricted")
    file = File(
        id=ask.world.identity("F"),
        name=ask.args["filename"],
        team=ask.installation.team,
        user=ask.installation.bot.id,
        length=length,
    )
    ask.world.files[file.id] = file
    place = f"upload/v1/{file.id}{secrets.token_hex(8)}"
    return {"file_id": file.id, "upload_url": f"{ask.hub.url}{place}"}


async def complete_upload(ask: Ask) -> Json:
    """Take files as they were filled, and share them a little later.

    Completing again shares again, as far as anybody knows: whoever is not sure asks first.
    """
    files = [_reserved(ask, named) for named in ask.args["files"]]
    channel = None
    if ask.args.get("channel_id"):
        channel = ask.channel(name="channel_id", member=True)
        thread = check_thread(ask, channel, ask.args.get("thread_ts"))
        comment, blocks = str(ask.args.get("initial_comment") or ""), ask.args.get("blocks")
        if blocks and comment:
            ask.violate("blocks beside initial_comment are ignored")
            blocks = None
        ask.refuse(message_problems(comment or "-", blocks or []), "invalid_blocks")
    for file, named in zip(files, ask.args["files"], strict=True):
        file.title, file.completed = named.get("title", ""), True
    if channel is not None and not ask.hub.faults.happens(ask.hub.faults.never_shared):
        place, installation = channel, ask.installation
        ask.hub.later(
            ask.hub.share_seconds,
            lambda: share(
                ask.hub, installation, place, files, text=comment, blocks=blocks, thread_ts=thread
            ),
        )
    return {"files": [{"id": file.id, "title": file.title or file.name} for file in files]}


def share(
    hub: Hub,
    installation: Installation,
    channel: Channel,
    files: list[File],
    *,
    text: str,
    blocks: list[Json] | None,
    thread_ts: str | None,
) -> None:
    """Show the bot's files in a channel and tell the app."""
    message = hub.world.post(
        channel,
        user=installation.bot.id,
        team=installation.team,
        text=text,
        blocks=blocks,
        thread_ts=thread_ts,
        bot_id=installation.bot_id,
        files=[file for file in files if not file.deleted],
    )
    record_shares(hub, message.files, channel, message.ts, thread_ts)


def record_shares(
    hub: Hub, files: list[File], channel: Channel, ts: str, thread_ts: str | None
) -> None:
    """Note where files can be seen, and tell the app in every workspace that sees them."""
    for file in files:
        file.looked_into |= file.completed
        file.shares.append(Share(channel=channel, ts=ts, thread_ts=thread_ts))
        for team in channel.teams:
            installation = hub.world.installation(team)
            if installation is not None and installation.bot.id in channel.members:
                event = {
                    "type": "file_shared",
                    "file_id": file.id,
                    "file": {"id": file.id},
                    "user_id": file.user,
                    "channel_id": channel.id,
                    "event_ts": ts,
                }
                hub.event(installation, event, shared=channel.shared)
    hub.world.touch()


async def files_info(ask: Ask) -> Json:
    """Tell of a file."""
    return {"file": file_json(_visible(ask), ask.hub.url), "comments": []}


async def files_delete(ask: Ask) -> Json:
    """Take a file of one's own out of everywhere; messages without words go with it."""
    file = _visible(ask)
    if file.user != ask.installation.bot.id:
        raise SlackError("cant_delete_file")
    file.deleted = True
    for shared in file.shares:
        message = shared.channel.find(shared.ts)
        if message is not None:
            message.files.remove(file)
            message.deleted = not (message.files or message.text or message.blocks)
    ask.world.touch()
    return {}


async def upload(hub: Hub, request: web.Request) -> web.Response:
    """Take the bytes of a reserved file, raw or as a form."""
    file = hub.world.files.get(request.match_info["key"][:-16])
    if file is None or file.completed:
        raise web.HTTPNotFound
    if request.content_type == "multipart/form-data":
        fields = (await request.post()).values()
        data = next(f.file.read() for f in fields if isinstance(f, web.FileField))
    else:
        data = await request.read()
    if len(data) != file.length:
        hub.world.violate(f"upload of {file.name}: {len(data)} of {file.length} bytes")
        return web.Response(status=HTTPStatus.BAD_REQUEST, text="wrong length")
    file.data = data
    return web.Response(text=f"OK - {len(data)}")


async def download(hub: Hub, request: web.Request) -> web.Response:
    """Hand out a file to a token that may see it, and a login page to everybody else."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    installation = next((i for i in hub.world.installations if i.token == bearer), None)
    file = hub.world.files.get(request.match_info["key"].partition("-")[2])
    if file is None or file.deleted or file.data is None or file.mode != "hosted":
        raise web.HTTPNotFound
    if (
        installation is None
        or installation.revoked
        or "files:read" not in installation.scopes
        or not _may_see(file, installation)
    ):
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    return web.Response(body=file.data, content_type="application/octet-stream")


def _reserved(ask: Ask, named: Json) -> File:
    file = ask.world.files.get(named.get("id", ""))
    if file is None or file.team is not ask.installation.team or file.deleted:
        raise SlackError("file_not_found")
    if file.data is None:
        ask.violate(f"{file.name} was not uploaded")
        raise SlackError("file_not_found")
    return file


def _visible(ask: Ask) -> File:
    file = ask.world.files.get(ask.args["file"])
    if file is None:
        raise SlackError("file_not_found")
    if not _may_see(file, ask.installation):
        ask.violate(f"asked for a file of {file.team.name}")
        raise SlackError("file_not_found")
    if file.deleted:
        raise SlackError("file_deleted")
    if file.access_denied:
        raise SlackError("access_denied")
    return file


def _may_see(file: File, installation: Installation) -> bool:
    seen_in = [share.channel.teams for share in file.shares]
    return file.team is installation.team or any(installation.team in teams for teams in seen_in)


METHODS = (
    Method(
        name="files.getUploadURLExternal",
        handler=get_upload_url,
        scope="files:write",
        per_minute=100,
    ),
    Method(
        name="files.completeUploadExternal",
        handler=complete_upload,
        scope="files:write",
        per_minute=100,
    ),
    Method(name="files.info", handler=files_info, scope="files:read", per_minute=100),
    Method(name="files.delete", handler=files_delete, scope="files:write", per_minute=50),
)
