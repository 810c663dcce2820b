"""The methods that tell who and what is there, and those that move the bot about."""

from __future__ import annotations

from tests.fakes.slack.asking import Ask, Method, flag
from tests.fakes.slack.model import APP_ID, Json
from tests.fakes.slack.payloads import channel_json, user_json
from tests.fakes.slack.records import SlackError


async def auth_test(ask: Ask) -> Json:
    """Say whose token it is."""
    installation = ask.installation
    return {
        "url": ask.hub.url,
        "team": installation.team.name,
        "team_id": installation.team.id,
        "enterprise_id": installation.team.enterprise_id,
        "user": installation.bot.name,
        "user_id": installation.bot.id,
        "bot_id": installation.bot_id,
        "is_enterprise_install": False,
    }


async def auth_revoke(ask: Ask) -> Json:
    """Throw the token away."""
    if not flag(ask.args.get("test")):
        ask.installation.revoked = "token_revoked"
    return {"revoked": True}


async def users_info(ask: Ask) -> Json:
    """Tell of a colleague, or a little of somebody met in a shared channel."""
    user, team = ask.world.users.get(ask.args["user"]), ask.installation.team
    met = user and (
        user.team is team
        or any(user.id in c.members and team in c.teams for c in ask.world.channels.values())
    )
    if user is None or not met:
        raise SlackError("user_not_found")
    locale = flag(ask.args.get("include_locale"))
    return {"user": user_json(user, to=team, locale=locale)}


async def bots_info(ask: Ask) -> Json:
    """Tell of a bot."""
    for installation in ask.world.installations:
        if installation.bot_id == ask.args.get("bot"):
            bot = {"id": installation.bot_id, "name": installation.bot.name, "deleted": False}
            return {"bot": {**bot, "user_id": installation.bot.id, "app_id": APP_ID}}
    raise SlackError("bot_not_found")


async def team_info(ask: Ask) -> Json:
    """Tell of the workspace."""
    team = ask.installation.team
    written: Json = {"id": team.id, "name": team.name, "domain": team.name}
    if team.enterprise_id:
        written["enterprise_id"] = team.enterprise_id
    return {"team": written}


async def conversations_info(ask: Ask) -> Json:
    """Tell of a channel."""
    return {"channel": channel_json(ask.channel(), ask.installation)}


async def conversations_members(ask: Ask) -> Json:
    """Tell who is in a channel."""
    members = sorted(ask.channel().members)
    return {"members": members, "response_metadata": {"next_cursor": ""}}


async def conversations_join(ask: Ask) -> Json:
    """Enter a public channel."""
    channel = ask.channel()
    if channel.kind != "public":
        raise SlackError("method_not_supported_for_channel_type")
    channel.members.add(ask.installation.bot.id)
    ask.world.touch()
    return {"channel": channel_json(channel, ask.installation)}


async def conversations_open(ask: Ask) -> Json:
    """Open direct messages with one person."""
    if ask.args.get("channel"):
        channel = ask.channel()
    else:
        users = str(ask.args.get("users") or "").split(",")
        if users == [""]:
            raise SlackError("users_list_not_supplied")
        if len(users) > 1:
            raise SlackError("too_many_users")  # group conversations are not played here
        if users[0] not in ask.world.users:
            raise SlackError("user_not_found")
        channel = ask.world.open_im(ask.installation, users[0])
    full = flag(ask.args.get("return_im"))
    return {
        "channel": channel_json(channel, ask.installation) if full else {"id": channel.id},
        "no_op": True,
        "already_open": True,
    }


METHODS = (
    Method(name="auth.test", handler=auth_test),
    Method(name="auth.revoke", handler=auth_revoke, per_minute=50),
    Method(name="users.info", handler=users_info, scope="users:read", per_minute=100),
    Method(name="bots.info", handler=bots_info, scope="users:read", per_minute=50),
    Method(name="team.info", handler=team_info, scope="team:read", per_minute=50),
    Method(name="conversations.info", handler=conversations_info, per_minute=50),
    Method(name="conversations.members", handler=conversations_members, per_minute=100),
    Method(
        name="conversations.join",
        handler=conversations_join,
        scope="channels:join",
        per_minute=50,
    ),
    Method(name="conversations.open", handler=conversations_open, scope="im:write", per_minute=50),
)
