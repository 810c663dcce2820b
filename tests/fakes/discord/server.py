"""The loopback Discord as tests use it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.fakes.discord.api import MAX_REQUEST_BYTES, Api
from tests.fakes.discord.cdn import Cdn
from tests.fakes.discord.clock import Clock
from tests.fakes.discord.contract import Contract
from tests.fakes.discord.entities import Channel, ChannelKind, Guild, Role, User
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.people import Person
from tests.fakes.discord.permissions import USUAL
from tests.fakes.discord.registry import Registry
from tests.fakes.discord.rest_application import ApplicationRoutes
from tests.fakes.discord.rest_interactions import InteractionRoutes
from tests.fakes.discord.rest_messages import MessageRoutes
from tests.fakes.discord.troubles import Trouble
from tests.fakes.discord.witness import Witness
from tests.fakes.discord.world import World

T = TypeVar("T")


class LoopbackDiscord:
    """A whole Discord with one bot, on 127.0.0.1.

        async with LoopbackDiscord() as discord:
            guild = discord.add_guild("studio")
            general = discord.add_channel(guild, "general")
            alice = discord.add_person("alice", guild)
            ...  # start the bot with `token`, `api_url`, `gateway_url`, `cdn_host`
            await discord.bot_ready()
            interaction = alice.slash(general, "generate", prompt="a red fox")
            card = await interaction.response()

    `violations` collects requests that Discord's contract forbids; it should stay empty.

    Args:
        token: The bot's.
    """

    def __init__(self, *, token: str = "loopback.token.of-the-bot") -> None:  # noqa: S107 - opens nothing but this
        self.token = token
        clock = Clock()
        self.cdn = Cdn(clock)
        self.world = World(clock, self.cdn)
        self.interactions = Interactions(self.world)
        self.registry = Registry(self.world)
        self.api = Api(token=token, contract=Contract.shared())
        self.gateway = Gateway(self.world, token=token, on_interaction=self.interactions.sent)
        self.world.publish = self.gateway.publish
        self.witness = Witness(self.world, self.interactions, self.api)
        self._application_routes = ApplicationRoutes(self.world, self.registry)
        self._runner: web.AppRunner | None = None
        self.host = ""
        """host:port, also of the CDN."""

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        self._application_routes.mount(self.api)
        MessageRoutes(self.world).mount(self.api)
        InteractionRoutes(self.world, self.interactions).mount(self.api)
        self.api.mount(application)
        self.cdn.mount(application)
        application.router.add_get("/gateway", self.gateway.handle)
        application.router.add_get("/gateway/", self.gateway.handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.host = f"{host}:{port}"
        self.cdn.base_url = f"http://{self.host}"
        self.gateway.url = self._application_routes.gateway_url = f"ws://{self.host}/gateway"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gateway.drop()
        assert self._runner is not None
        await self._runner.cleanup()

    # -- where it is -------------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        """Base of the HTTP API, without a slash at the end."""
        return f"http://{self.host}{Api.PREFIX}"

    @property
    def gateway_url(self) -> str:
        """Of the gateway's WebSocket."""
        return self.gateway.url

    @property
    def cdn_host(self) -> str:
        """host:port of attachments."""
        return self.host

    # -- what there is -----------------------------------------------------------------------

    def add_guild(
        self,
        name: str,
        *,
        locale: str = "en-US",
        boost_tier: int = 0,
        permissions: int = USUAL,
    ) -> Guild:
        """Found a guild with the bot in it, whose own role has these permissions."""
        return self.world.add_guild(
            name, locale=locale, boost_tier=boost_tier, permissions=int(permissions)
        )

    def add_channel(
        self,
        guild: Guild,
        name: str = "general",
        kind: ChannelKind = ChannelKind.TEXT,
        *,
        nsfw: bool = False,
    ) -> Channel:
        """Add a channel to a guild."""
        return self.world.add_channel(guild, name, kind, nsfw=nsfw)

    def add_role(self, guild: Guild, name: str, permissions: int = 0) -> Role:
        """Add a role to a guild."""
        return self.world.add_role(guild, name, permissions)

    def add_person(
        self, name: str, *guilds: Guild, roles: tuple[Role, ...] = (), locale: str = "en-US"
    ) -> Person:
        """Open an account that is a member of these guilds."""
        user = self.world.add_user(name, locale=locale)
        for guild in guilds:
            self.world.join(guild, user, list(roles))
        return self._person(user)

    def owner(self, guild: Guild) -> Person:
        """Return the owner of a guild, who may do everything there."""
        user = self.world.users[guild.owner_id]
        if user.id not in guild.members:
            self.world.join(guild, user, [])
        return self._person(user)

    def thread_of(
        self, person: Person, channel: Channel, name: str, *, private: bool = False
    ) -> Channel:
        """Let a person open a thread in a channel; into a private one they bring the bot."""
        kind = ChannelKind.PRIVATE_THREAD if private else ChannelKind.PUBLIC_THREAD
        thread = self.world.open_thread(channel, name, owner=person.user, kind=kind, minutes=1440)
        if private:
            thread.thread_members |= {person.id, self.world.bot.id}
            self.world.changed(thread)
        return thread

    def _person(self, user: User) -> Person:
        return Person(
            user=user, world=self.world, interactions=self.interactions, registry=self.registry
        )

    # -- time and trouble --------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The time of tokens, signed URLs and nonces."""
        return self.world.clock

    @property
    def violations(self) -> list[str]:
        """Requests that Discord's contract forbids, in words."""
        return self.api.violations

    def trouble(self, pattern: str, *, times: float = 1, **what: Any) -> Trouble:
        """Make requests go wrong, the next `times` (`math.inf`: all) that match; see `Trouble`.

        Args:
            pattern: Regular expression, searched in `METHOD /path`.
            times: How many requests.
            what: Members of `Trouble`.
        """
        trouble = Trouble(pattern=re.compile(pattern), left=times, **what)
        self.api.troubles.planned.append(trouble)
        return trouble

    def storm(self, share: float, seed: int = 6) -> list[Trouble]:
        """Let a share of all requests end in 500, 502, 503 or 429, for good."""
        self.api.troubles.chance.seed(seed)
        kinds: list[dict[str, Any]] = [
            {"status": 500},
            {"status": 502},
            {"status": 503},
            {"retry_after": 0.3},
            {"retry_after": 0.2, "scope": "shared"},
        ]
        part = share / len(kinds)
        return [self.trouble("", times=math.inf, share=part, **kind) for kind in kinds]

    # -- waiting -----------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], T | None], seconds: float = 180.0, what: str = "condition"
    ) -> T:
        """Return what a condition returns as soon as that is true.

        Raises:
            TimeoutError: It did not come true in time.
        """
        return await self.world.bell.until(condition, seconds, what)

    async def bot_ready(self, seconds: float = 180.0) -> None:
        """Wait until the bot is connected and has registered commands once."""

        def ready() -> bool:
            return self.gateway.ready and self.registry.overwrites > 0

        await self.until(ready, seconds, "bot connected and commands registered")
