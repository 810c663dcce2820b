"""The application itself over HTTP: who it is, where its gateway is, its commands and guilds."""

from __future__ import annotations

from typing import Any

from tests.fakes.discord import payloads
from tests.fakes.discord.api import Api, Call
from tests.fakes.discord.entities import Guild
from tests.fakes.discord.permissions import in_guild
from tests.fakes.discord.refusals import Refusal
from tests.fakes.discord.registry import Registry
from tests.fakes.discord.world import World

GLOBAL = "/applications/{application_id}/commands"
IN_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"


class ApplicationRoutes:
    """What a bot asks about itself and its surroundings.

    Args:
        gateway_url: Where the gateway is, once the server runs.
    """

    def __init__(self, world: World, registry: Registry) -> None:
        self._world = world
        self._registry = registry
        self.gateway_url = ""

    def mount(self, api: Api) -> None:
        """Add the routes."""
        api.route("GET", "/users/@me", self._me)
        api.route("GET", "/users/@me/guilds", self._my_guilds)
        api.route("GET", "/users/{user_id}", self._user)
        api.route("GET", "/oauth2/applications/@me", self._application)
        api.route("GET", "/applications/@me", self._application)
        api.route("GET", "/gateway", lambda _: (200, {"url": self.gateway_url}), public=True)
        api.route("GET", "/gateway/bot", self._gateway)
        api.route("GET", "/guilds/{guild_id}", self._get_guild)
        api.route("GET", "/guilds/{guild_id}/channels", self._guild_channels)
        api.route("GET", "/guilds/{guild_id}/threads/active", self._active_threads)
        api.route("GET", "/guilds/{guild_id}/members/{user_id}", self._get_member)
        for path in (GLOBAL, IN_GUILD):
            one = path + "/{command_id}"
            api.route("GET", path, self._list)
            api.route("PUT", path, self._overwrite)
            api.route("POST", path, self._create)
            api.route("GET", one, self._get)
            api.route("DELETE", one, self._remove)

    def _me(self, _: Call) -> tuple[int, Any]:
        about = {"verified": True, "mfa_enabled": False, "locale": "en-US", "email": None}
        return 200, payloads.user(self._world.bot) | about

    def _my_guilds(self, call: Call) -> tuple[int, Any]:
        bot, after = self._world.bot, int(call.query.get("after", 0))
        mine = [g for g in self._world.guilds.values() if bot.id in g.members and g.id > after]
        told = [
            {
                "id": str(guild.id),
                "name": guild.name,
                "icon": None,
                "banner": None,
                "owner": guild.owner_id == bot.id,
                "permissions": str(in_guild(guild, bot)),
                "features": [],
            }
            for guild in sorted(mine, key=lambda guild: guild.id)
        ]
        return 200, told[: int(call.query.get("limit", 200))]

    def _user(self, call: Call) -> tuple[int, Any]:
        user = self._world.users.get(call.id("user_id"))
        if user is None:
            raise Refusal(10013)
        return 200, payloads.user(user)

    def _application(self, _: Call) -> tuple[int, Any]:
        bot = payloads.user(self._world.bot)
        return 200, {
            "id": str(self._world.application_id),
            "name": self._world.bot.name,
            "icon": None,
            "description": "",
            "summary": "",
            "type": None,
            "bot": bot,
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "flags": 0,
            "flags_new": "0",
            "eligible_oauth2_scopes": ["bot", "applications.commands"],
            "explicit_content_filter": 0,
            "owner": {**bot, "id": "1", "username": "operator", "bot": False},
            "team": None,
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "approximate_guild_count": len(self._world.guilds),
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "integration_types_config": {"0": {}},
        }

    def _gateway(self, _: Call) -> tuple[int, Any]:
        left = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
        return 200, {"url": self.gateway_url, "shards": 1, "session_start_limit": left}

    def _guild(self, call: Call) -> Guild:
        guild = self._world.guilds.get(call.id("guild_id"))
        if guild is None:
            raise Refusal(10004)
        if self._world.bot.id not in guild.members:
            raise Refusal(50001)
        return guild

    def _get_guild(self, call: Call) -> tuple[int, Any]:
        told = payloads.guild(self._world, self._guild(call))
        return 200, {name: told[name] for name in told.keys() - {"channels", "threads", "members"}}

    def _guild_channels(self, call: Call) -> tuple[int, Any]:
        return 200, payloads.guild(self._world, self._guild(call))["channels"]

    def _active_threads(self, call: Call) -> tuple[int, Any]:
        threads = payloads.guild(self._world, self._guild(call))["threads"]
        return 200, {"threads": threads, "members": [], "has_more": False}

    def _get_member(self, call: Call) -> tuple[int, Any]:
        member = self._guild(call).members.get(call.id("user_id"))
        if member is None:
            raise Refusal(10007)
        return 200, payloads.member(member) | {"user": payloads.user(member.user)}

    # -- commands ----------------------------------------------------------------------------

    def _place(self, call: Call) -> int | None:
        if call.id("application_id") != self._world.application_id:
            raise Refusal(50001)
        return self._guild(call).id if "guild_id" in call.path else None

    def _list(self, call: Call) -> tuple[int, Any]:
        return 200, self._registry.listed(self._place(call))

    def _overwrite(self, call: Call) -> tuple[int, Any]:
        place = self._place(call)
        self._registry.overwrite(place, call.body)
        return 200, self._registry.listed(place)

    def _create(self, call: Call) -> tuple[int, Any]:
        return 201, self._registry.add(self._place(call), call.body)

    def _get(self, call: Call) -> tuple[int, Any]:
        return 200, self._registry.get(self._place(call), call.id("command_id"))

    def _remove(self, call: Call) -> tuple[int, Any]:
        self._registry.remove(self._place(call), call.id("command_id"))
        return 204, None
