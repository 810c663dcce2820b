"""How Slack writes teams, people, channels, messages, files and views."""

from __future__ import annotations

import mimetypes
import time

from tests.fakes.slack.model import (
    APP_ID,
    Channel,
    File,
    Installation,
    Json,
    Message,
    Team,
    User,
    View,
)


def team_json(team: Team) -> Json:
    """Write a workspace as interactive payloads do."""
    written = {"id": team.id, "domain": team.name}
    if team.enterprise_id:
        written["enterprise_id"] = team.enterprise_id
    return written


def user_json(user: User, *, to: Team, locale: bool) -> Json:
    """Write a person; of a stranger, only what the other company may know."""
    stranger = user.team is not to
    written: Json = {
        "id": user.id,
        "team_id": user.team.id,
        "name": user.name,
        "real_name": user.name.title(),
        "deleted": False,
        "is_bot": user.is_bot,
        "is_stranger": stranger,
        "profile": {"real_name": user.name.title(), "display_name": user.name},
    }
    if not stranger:
        written |= {"is_admin": user.is_admin, "is_owner": False, "is_restricted": user.is_guest}
        written["tz"] = "Etc/UTC"
        if locale:
            written["locale"] = user.locale
    return written


def channel_json(channel: Channel, installation: Installation) -> Json:
    """Write a channel as one team's token sees it."""
    if channel.kind == "im":
        [person] = channel.members - {installation.bot.id}
        return {
            "id": channel.id,
            "is_im": True,
            "is_channel": False,
            "is_private": True,
            "is_archived": False,
            "user": person,
            "is_ext_shared": False,
            "is_shared": False,
            "context_team_id": installation.team.id,
        }
    teams = [team.id for team in channel.teams]
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": channel.kind == "public",
        "is_group": channel.kind == "private",
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.kind == "private",
        "is_archived": channel.archived,
        "is_member": installation.bot.id in channel.members,
        "is_shared": channel.shared,
        "is_ext_shared": channel.shared,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "pending_shared": [],
        "context_team_id": installation.team.id,
        "conversation_host_id": teams[0],
        "shared_team_ids": teams,
        "internal_team_ids": [installation.team.id],
        "connected_team_ids": [team for team in teams if team != installation.team.id],
    }


def message_json(message: Message, url: str) -> Json:
    """Write a message as it is now."""
    written: Json = {
        "type": "message",
        "ts": message.ts,
        "user": message.user,
        "team": message.team.id,
        "text": message.text,
    }
    if message.blocks:
        written["blocks"] = message.blocks
    if message.thread_ts:
        written["thread_ts"] = message.thread_ts
    if message.bot_id:
        written |= {"bot_id": message.bot_id, "app_id": APP_ID}
    if message.metadata:
        written["metadata"] = message.metadata
    if message.files:
        stub = message.channel.shared
        written["files"] = [stub_json(f) if stub else file_json(f, url) for f in message.files]
    if message.shares:
        written["attachments"] = [forwarded_json(message.shares, url)]
    if len(message.states) > 1:
        written["edited"] = {"user": message.user, "ts": message.ts}
    return written


def forwarded_json(message: Message, url: str) -> Json:
    """Write a message as it stands in another one that forwards it."""
    return {
        "is_msg_unfurl": True,
        "is_share": True,
        "channel_id": message.channel.id,
        "ts": message.ts,
        "author_id": message.user,
        "text": message.text,
        "fallback": message.text,
        "files": [file_json(file, url) for file in message.files],
    }


def file_json(file: File, url: str) -> Json:
    """Write a file with all that `files.info` tells of it."""
    if (closed := _closed(file)) is not None:
        return closed
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    shares: Json = {}
    for share in file.shares:
        side = "public" if share.channel.kind == "public" else "private"
        entry: Json = {"ts": share.ts, "channel_name": share.channel.name, "team_id": file.team.id}
        if share.thread_ts:
            entry["thread_ts"] = share.thread_ts
        shares.setdefault(side, {}).setdefault(share.channel.id, []).append(entry)
    written: Json = {
        "id": file.id,
        "created": int(time.time()),
        "timestamp": int(time.time()),
        "name": file.name,
        "title": file.title or file.name,
        "user": file.user,
        "user_team": file.team.id,
        "mode": "hosted",
        "size": file.length,
        "permalink": f"{url}files/{file.id}",
        "url_private": f"{url}files-pri/{file.team.id}-{file.id}/{file.name}",
        "url_private_download": f"{url}files-pri/{file.team.id}-{file.id}/download/{file.name}",
        "shares": shares,
        "channels": [s.channel.id for s in file.shares if s.channel.kind == "public"],
        "groups": [s.channel.id for s in file.shares if s.channel.kind == "private"],
        "ims": [s.channel.id for s in file.shares if s.channel.kind == "im"],
    }
    if file.mode != "hosted":
        _put_elsewhere(written, file)
    if not file.completed:
        for name in ("url_private", "url_private_download"):
            written.pop(name, None)
    if file.looked_into:
        written |= {"mimetype": kind, "filetype": file.name.rpartition(".")[2]}
    return written


def _closed(file: File) -> Json | None:
    """Write a file of which nothing is told any more, if it is one."""
    if file.deleted:
        return {"id": file.id, "mode": "tombstone"}
    if file.mode == "hidden_by_limit":
        return {"id": file.id, "mode": file.mode}
    if file.access_denied:
        return {"id": file.id, "mode": "file_access", "file_access": "access_denied"}
    return None


def _put_elsewhere(written: Json, file: File) -> None:
    """Write a file that has no bytes on Slack."""
    written["mode"] = file.mode
    for name in ("url_private", "url_private_download", "size"):
        written.pop(name)
    if file.external_type:
        place = f"https://drive.example.com/{file.id}"
        written |= {"is_external": True, "external_type": file.external_type}
        written |= {"external_id": file.id, "external_url": place, "url_private": place}


def stub_json(file: File) -> Json:
    """Write a file as events in shared channels do: only `files.info` knows more."""
    return {
        "id": file.id,
        "created": int(time.time()),
        "timestamp": int(time.time()),
        "user": file.user,
        "mode": "file_access",
        "file_access": "check_file_info",
    }


def view_json(view: View, installation: Installation, values: Json | None = None) -> Json:
    """Write a modal or a home tab, with what was filled in."""
    content = view.content
    return {
        "id": view.id,
        "team_id": view.team.id,
        "app_id": APP_ID,
        "app_installed_team_id": installation.team.id,
        "bot_id": installation.bot_id,
        "type": content["type"],
        "title": content.get("title"),
        "submit": content.get("submit"),
        "close": content.get("close"),
        "blocks": content["blocks"],
        "private_metadata": content.get("private_metadata", ""),
        "callback_id": content.get("callback_id", ""),
        "external_id": content.get("external_id", ""),
        "notify_on_close": content.get("notify_on_close", False),
        "clear_on_close": content.get("clear_on_close", False),
        "state": {"values": values or {}},
        "hash": view.hash,
        "root_view_id": view.root_id or view.id,
        "previous_view_id": None,
    }
