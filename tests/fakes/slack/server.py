"""The loopback Slack as one object."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from tests.fakes.slack.api import Api
from tests.fakes.slack.application import Application
from tests.fakes.slack.contract import Contract
from tests.fakes.slack.faults import Faults
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.mail import Mail
from tests.fakes.slack.model import APP_ID, Json, Team
from tests.fakes.slack.oauth import CLIENT_ID, CLIENT_SECRET, Authorizations, Grant
from tests.fakes.slack.people import Person
from tests.fakes.slack.records import Refused, Trouble
from tests.fakes.slack.requests import SignedRequests
from tests.fakes.slack.socket_mode import SocketMode
from tests.fakes.slack.workspaces import Workspace
from tests.fakes.slack.world import PATIENCE_SECONDS, World

T = TypeVar("T")

_AUTHORIZE = re.compile(r"https?://[^\"'\s]+/oauth/v2/authorize\?[^\"'\s]+")


class LoopbackSlack:
    """A Slack for one app, on a free port of this machine while it is entered.

    An app finds it by `api_base_url`, with the secrets below. Everything that was seen is in
    `world`; `violations` is what the app did wrong.
    """

    app_token = "xapp-1-A0LB000000-loopback"  # noqa: S105 - of a server that exists for one test
    signing_secret = "loopback-signing-secret"  # noqa: S105 - as above
    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET

    def __init__(
        self,
        *,
        application: Application | None = None,
        faults: Faults | None = None,
        share_seconds: float = 0.05,
        ping_seconds: float = 2.0,
        rotation: bool = False,
    ) -> None:
        self.world = World()
        self.socket = SocketMode(self.world, ping_seconds=ping_seconds)
        faults = faults or Faults()
        self.hub = Hub(
            world=self.world,
            faults=faults,
            contract=Contract.read(),
            application=application or Application(),
            mail=Mail(self.world, faults, self.socket),
            share_seconds=share_seconds,
        )
        self.redirect_to = ""
        """Where `/redirect` leads."""
        self.redirected = 0
        self._authorizations = Authorizations(self.hub, rotation=rotation)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        api = Api(
            self.hub,
            self._authorizations,
            app_token=self.app_token,
            open_socket=self._open_socket,
        )
        app = web.Application(client_max_size=2**30)
        app.add_routes(
            [
                web.route("*", "/api/{method}", api.handle),
                web.get("/link", self.socket.serve),
                web.route("*", "/redirect", self._redirect),
                web.post("/actions/{team}/{key}", api.respond),
                web.post("/upload/v1/{key}", api.upload),
                web.get("/files-pri/{key}/{path:.*}", api.download),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.hub.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.socket.close()
        assert self._runner is not None
        await self._runner.cleanup()
        await self.hub.close()

    @property
    def api_base_url(self) -> str:
        """Where the Web API is, with a slash at the end."""
        return f"{self.hub.url}api/"

    # -- what tests do -----------------------------------------------------------------------

    def add_team(self, name: str, *, enterprise_id: str | None = None) -> Workspace:
        """Found a workspace; the app is not installed yet."""
        team = Team(id=self.world.identity("T"), name=name, enterprise_id=enterprise_id)
        self.world.teams[team.id] = team
        return Workspace(self.hub, team, self._authorizations.install)

    def post_to(self, url: str) -> SignedRequests:
        """Deliver by signed requests from now on, instead of Socket Mode."""
        wire = SignedRequests(url, self.signing_secret)
        self.hub.mail.wire = wire
        return wire

    def trouble(self, pattern: str, *, times: float = 1, **what: Any) -> Trouble:
        """Make matching calls go wrong, `times` times; see `Trouble`."""
        return self.hub.trouble(pattern, times=times, **what)

    async def until(self, found: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
        """Wait until `found` returns something true, and return it."""
        return await self.world.until(found, seconds)

    async def connected(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for the app in Socket Mode."""
        await self.until(lambda: self.socket.connections, seconds)

    async def install(self, workspace: Workspace, by: Person, install_url: str) -> str:
        """Install the app as an administrator does in a browser; return the last page.

        Raises:
            Refused: The app does not lead to a page on which one could allow it.
        """
        # Like browsers do, take this machine for safe without https.
        origin = URL(install_url).origin()
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=origin)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            asked = await self._asked(browser, install_url)
            redirect = asked.get("redirect_uri")
            grant = Grant(
                team=workspace.team,
                by=by.user,
                scopes=frozenset(filter(None, asked["scope"].split(","))),
                redirect_uri=redirect,
            )
            answer = {"code": self._authorizations.grant(grant), "state": asked["state"]}
            back = redirect or install_url.replace("/install", "/oauth_redirect")
            async with browser.get(back, params=answer) as response:
                page = await response.text()
                if not response.ok:
                    raise Refused(f"{response.status}: {page}")
        return page

    # -- what it saw -------------------------------------------------------------------------

    @property
    def violations(self) -> list[str]:
        """What the app did that Slack does not allow."""
        return self.world.violations

    def calls(self, method: str, team: Workspace | None = None) -> int:
        """Count the calls of a method."""
        named = [c for c in self.world.calls if c.method == method]
        return sum(team is None or call.team == team.id for call in named)

    def errors(self) -> Counter[str]:
        """Count what calls were answered with, other than success."""
        return Counter(f"{c.method}: {c.error}" for c in self.world.calls if c.error)

    def busiest_minute(self, method: str) -> int:
        """Return the most calls that one workspace made in any minute, refused ones apart."""
        most = 0
        for team in self.world.teams:
            calls = (c for c in self.world.calls if (c.method, c.team) == (method, team))
            ats = [call.at for call in calls if call.error is None]
            most = max([most, *(sum(at <= other < at + 60 for other in ats) for at in ats)])
        return most

    def acknowledgement_seconds(self, share: float, *, kind: str | None = None) -> float:
        """Return in how many seconds a share of the deliveries was acknowledged.

        Args:
            share: 0 to 1.
            kind: `events_api`, `slash_commands` or `interactive` alone; otherwise all.
        """
        heard = [d for d in self.world.deliveries if kind in {None, d.kind}]
        times = sorted(d.seconds for d in heard if d.seconds is not None)
        return times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")

    def leaks(self, secrets: Iterable[tuple[Workspace, str]]) -> list[str]:
        """Return where people saw words that only another team may see."""
        shown = {
            team.id: "\n".join(self.world.shown_to(team)) for team in self.world.teams.values()
        }
        return [
            f"{other.name} was shown {secret!r} of {owner.team.name}"
            for owner, secret in secrets
            for other in self.world.teams.values()
            if other is not owner.team and secret in shown[other.id]
        ]

    # -- how ---------------------------------------------------------------------------------

    async def _redirect(self, _: web.Request) -> web.Response:
        self.redirected += 1
        self.world.touch()
        raise web.HTTPTemporaryRedirect(self.redirect_to)

    async def _open_socket(self) -> Json:
        address = self.hub.url.replace("http", "ws", 1)
        return {"url": f"{address}link?ticket={self.socket.ticket()}&app_id={APP_ID}"}

    async def _asked(self, browser: aiohttp.ClientSession, install_url: str) -> dict[str, str]:
        async with browser.get(install_url, allow_redirects=False) as response:
            page = response.headers.get("Location", "") + (await response.text())
        found = _AUTHORIZE.search(page.replace("&amp;", "&"))
        if found is None:
            raise Refused(f"no way to Slack from {install_url}: {page[:200]}")
        asked = {key: values[0] for key, values in parse_qs(urlsplit(found[0]).query).items()}
        if asked.get("client_id") != CLIENT_ID or not asked.get("scope") or "state" not in asked:
            raise Refused(f"Slack does not know what {found[0]} asks for")
        if unknown := set(asked["scope"].split(",")) - self.hub.application.scopes:
            raise Refused(f"scopes that the app did not declare: {unknown}")
        return asked
