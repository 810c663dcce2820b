"""The Slack platform: composes connection, listeners and messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp

from bot.config.sections import SlackSection
from bot.platform import Outgoing, Receipt, Remember, Services
from bot.slack.address import NAME
from bot.slack.api.calls import Calls, slack_code
from bot.slack.api.clients import Clients, Credentials
from bot.slack.api.errors import REVOKED
from bot.slack.api.rate_limits import Limiter
from bot.slack.app import finish, make_app, quiet_logger
from bot.slack.background import BackgroundTasks
from bot.slack.command_prefix import CommandPrefix
from bot.slack.inbound import listeners
from bot.slack.inbound.answers import Answers
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.images import ImageFetcher, ImageFinder
from bot.slack.inbound.inbox import Inbox
from bot.slack.installations import WorkspaceInstallations
from bot.slack.lookups.channels import Channels
from bot.slack.lookups.people import People
from bot.slack.oauth import OAuthStates, make_flow
from bot.slack.outbound.files import Files
from bot.slack.outbound.messages import Poster
from bot.slack.socket_mode.connection import Connection
from bot.slack.web import serve
from commands.text.messages import error_text
from inference.clock import Clock, SystemClock
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job

UPLOAD_LIMIT = 10**9
"""Bytes of a file; workspaces may take less, and say so when it is announced."""


class SlackPlatform:
    """One app in any number of workspaces; see `bot.platform.Platform`."""

    name = NAME

    def __init__(
        self,
        section: SlackSection,
        *,
        clock: Clock = SystemClock(),  # noqa: B008 - it has no state
        limiter: Limiter | None = None,
    ) -> None:
        """Make it from its section of the config; nothing is connected yet.

        Args:
            section: The config.
            clock: Dates and paces everything.
            limiter: Knows what was called before; without one, nothing may be called at once.
        """
        self._section = section
        self._clock = clock
        credentials = Credentials(
            bot_token=_secret(section.bot_token),
            client_id=section.client_id,
            client_secret=_secret(section.client_secret),
        )
        self._clients = Clients(credentials, api_base_url=section.api_base_url)
        self._calls = Calls(self._clients, limiter or Limiter(clock))
        self._poster = Poster(self._calls, Files(self._calls, clock))
        self.images = ImageFetcher(self._calls, clock)
        self._services: Services | None = None
        self._prefix = CommandPrefix(())
        self._connection: Connection | None = None
        self._listening = False

    @property
    def connected(self) -> bool:
        """Whether Slack reaches us: by a socket, or because we listen; see `Platform`."""
        return self._listening or (self._connection is not None and self._connection.connected)

    async def run(self, services: Services) -> None:
        """Stay connected until cancelled.

        Raises:
            UserError: `slack.*`: a token is missing or rejected.
        """
        for key, mode in self._section.missing():
            raise UserError("slack.missing", where="config.toml", key=key, mode=mode)
        self._services = services
        self._prefix = CommandPrefix(services.commands, self._section.command_prefix)
        logger = quiet_logger()
        async with self._clients.connect(services.database) as installations:
            app = make_app(
                clients=self._clients,
                installations=installations,
                signing_secret=_secret(self._section.signing_secret),
                logger=logger,
            )
            # Work begun for a request ends with the connection that the request came over.
            async with asyncio.TaskGroup() as group:
                background = BackgroundTasks(group)
                inbox = Inbox(services.database, background)
                left = await inbox.left()
                self._register(app, services, installations, background, inbox)
                background.start(inbox.replay(app, left), name="replay")
                async with self._serve_http(app, services, installations, logger):
                    await self._connect(app, services, logger)

    async def upload_limit(self, job: Job) -> int:  # noqa: ARG002 - the port's signature
        """Return Slack's limit of a file in bytes."""
        return UPLOAD_LIMIT

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post a message; see `Platform`."""
        with self._watch_token(message.job):
            return await self._poster.post(self._rename_commands(message), remember)

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Edit a card to its newest state; see `Platform`."""
        with self._watch_token(message.job):
            await self._poster.edit(receipt, self._rename_commands(message))

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Delete a message, with its file; see `Platform`."""
        await self._poster.remove(receipt, job)

    async def find(self, message: Outgoing) -> Receipt | None:  # noqa: ARG002 - the port's signature
        """Return None: only files can be asked after, and `post` goes on with those itself."""
        return None

    def _rename_commands(self, message: Outgoing) -> Outgoing:
        """Return a message with the commands that it names as they are called here."""
        return replace(message, card=self._prefix.card(message.card))

    @contextlib.contextmanager
    def _watch_token(self, job: Job) -> Iterator[None]:
        """Report a token that Slack rejects, and that it takes it again."""
        services, key = self._services, f"slack.token.{job.tenant}"
        try:
            yield
        except DeliveryError as error:
            code = slack_code(error)
            if services is not None and code in REVOKED:
                refusal = UserError("slack.workspace_token", workspace=job.tenant, problem=code)
                services.health.report(key, error_text(refusal, services.language))
            raise
        if services is not None:
            services.health.clear(key)

    def _register(
        self,
        app: AsyncApp,
        services: Services,
        installations: WorkspaceInstallations,
        background: BackgroundTasks,
        inbox: Inbox,
    ) -> None:
        people = People(self._clients, services, self._clock)
        channels = Channels(self._clients, people, self._clock)
        deps = Dependencies(
            services=services,
            installations=installations,
            channels=channels,
            gateway=CommandGateway(services, people, channels),
            answers=Answers(self._calls, self._poster, self._prefix),
            calls=self._calls,
            prefix=self._prefix,
            images=ImageFinder(services.database, self._clients, self._clock),
            background=background,
            inbox=inbox,
        )
        listeners.register(app, deps)
        finish(app)

    @contextlib.asynccontextmanager
    async def _serve_http(
        self,
        app: AsyncApp,
        services: Services,
        installations: WorkspaceInstallations,
        logger: logging.Logger,
    ) -> AsyncIterator[None]:
        """Serve what comes over HTTP, if anything does, inside the block."""
        section, client_secret = self._section, _secret(self._section.client_secret)
        flow = None
        if section.client_id is not None and client_secret is not None:
            flow = make_flow(
                client_id=section.client_id,
                client_secret=client_secret,
                clients=self._clients,
                installations=installations,
                states=OAuthStates(client_secret, self._clock),
                allows=services.policy.operator_rules.allows,
                logger=logger,
            )
        delivered = app if section.mode == "http" else None
        if delivered is None and flow is None:
            yield
            return
        async with serve(
            host=section.host, port=section.port, app=delivered, flow=flow, clock=self._clock
        ):
            yield

    async def _connect(self, app: AsyncApp, services: Services, logger: logging.Logger) -> None:
        token = _secret(self._section.app_token)
        if self._section.mode == "http" or token is None:
            self._listening = True
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._listening = False
        else:
            self._connection = Connection(
                app,
                token,
                self._clients,
                logger,
                health=services.health,
                language=services.language,
                clock=self._clock,
            )
            try:
                await self._connection.run()
            finally:
                self._connection = None


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
