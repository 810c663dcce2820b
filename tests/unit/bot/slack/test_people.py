from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bot.platform import Services
from bot.slack.api.clients import Clients, Credentials
from bot.slack.installations import WorkspaceInstallation
from bot.slack.lookups.people import (
    KEPT_SECONDS,
    People,
)
from bot.slack.origin import Origin, answering_team
from inference.store.sqlite.database import open_database

HOME = WorkspaceInstallation(
    team="T1",
    bot_id="B1",
    bot_user="UBOT",
    token="xoxb-one",  # noqa: S106 - of nobody
    scopes=frozenset({"users:read", "usergroups:read"}),
)
GRID = WorkspaceInstallation(
    team="T1",
    enterprise="E1",
    bot_id="B1",
    bot_user="UBOT",
    token="xoxb-two",  # noqa: S106 - of nobody
)


@dataclass
class Directory:
    """What Slack knows of people."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        method, form = request.match_info["method"], {**request.query, **await request.post()}
        self.asked.append(method)
        if method == "usergroups.list":
            return web.json_response({"ok": True, "usergroups": self.groups})
        user = self.users.get(str(form["user"]))
        if user is None:
            return web.json_response({"ok": False, "error": "user_not_found"})
        return web.json_response({"ok": True, "user": {"id": form["user"], **user}})


@pytest.fixture
def directory():
    return Directory()


@pytest.fixture
async def people(directory, tmp_path, clock):
    app = web.Application()
    app.router.add_route("*", "/api/{method}", directory.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clients = Clients(Credentials(), api_base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/api/")
    async with (
        open_database(tmp_path / "rushes.db") as database,
        clients.connect(database) as installations,
    ):
        installations.configure(HOME)
        services = Services(
            jobs=None,
            installation=None,
            policy=None,
            commands=None,
            language="en",
            database=database,
            operators=frozenset({"slack:T1:UOP"}),
        )
        yield People(clients, services, clock)
    await runner.cleanup()


def origin(user="U1", *, installation=HOME, **changes) -> Origin:
    return Origin(installation=installation, team="T1", user=user, channel="C1", **changes)


async def test_a_member_has_their_name_and_rights(people, directory):
    profile = {"display_name": "Ann", "real_name": "Ann Smith"}
    directory.users["U1"] = {"team_id": "T1", "is_admin": True, "profile": profile}
    known = await people.identify(origin())
    assert (known.caller.id, known.caller.name, known.caller.admin) == ("U1", "Ann", True)
    assert not known.external
    assert not known.caller.operator


async def test_operators_are_named_by_workspace_and_person(people, directory):
    directory.users["UOP"] = {"team_id": "T1"}
    assert (await people.identify(origin("UOP"))).caller.operator
    assert not (await people.identify(origin("UOP", home="T2", foreign=True))).caller.operator


@pytest.mark.parametrize(
    ("user", "payload", "external"),
    [
        ({"team_id": "T1"}, {}, False),
        ({"team_id": "T2", "is_stranger": True}, {}, True),
        ({"team_id": "T2"}, {}, True),
        ({"team_id": "T1"}, {"home": "T2", "foreign": True}, True),
        (None, {"home": "T1"}, False),
        (None, {"home": "T2", "foreign": True}, True),
        (None, {"foreign": True}, True),
    ],
)
async def test_who_may_be_of_another_company_is(people, directory, user, payload, external):
    if user is not None:
        directory.users["U1"] = user
    assert (await people.identify(origin(**payload))).external is external


@pytest.mark.parametrize(
    ("user", "external"),
    [
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E1"}}, False),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E2"}}, True),
    ],
)
async def test_workspaces_of_one_organisation_are_one_company(people, directory, user, external):
    directory.users["U1"] = user
    known = await people.identify(origin(installation=GRID, home="T9", foreign=True))
    assert known.external is external


async def test_guests_have_no_rights_and_an_id_of_their_own(people, directory):
    directory.users["U1"] = {"team_id": "T2", "is_admin": True, "is_owner": True}
    directory.groups = [{"id": "S1", "users": ["U1"]}]
    caller = (await people.identify(origin(home="T2", foreign=True))).caller
    assert (caller.id, caller.admin, caller.roles) == ("U1@T2", False, frozenset())


async def test_user_groups_are_roles_where_the_app_may_read_them(people, directory):
    directory.users["U1"] = {"team_id": "T1"}
    directory.groups = [{"id": "S1", "users": ["U1", "U2"]}, {"id": "S2", "users": ["U2"]}]
    assert (await people.identify(origin())).caller.roles == {"S1"}
    assert (await people.identify(origin(installation=GRID))).caller.roles == frozenset()


async def test_a_profile_is_asked_for_once_in_a_while(people, directory, clock):
    directory.users["U1"] = {"team_id": "T1", "is_admin": True}
    await people.identify(origin())
    await people.identify(origin())
    assert directory.asked.count("users.info") == 1
    clock.advance(KEPT_SECONDS + 1)
    directory.users.clear()
    known = await people.identify(origin(user_name="ann"))
    assert directory.asked.count("users.info") == 2
    assert not known.caller.admin


def test_the_workspace_whose_bot_posted_a_message_answers_its_buttons():
    posted = {"bot_id": "B1", "team": "T1", "bot_profile": {"team_id": "T1"}}
    assert answering_team({"team": {"id": "T2"}, "message": posted}) == "T1"
    assert answering_team({"team": {"id": "T2"}, "message": {"user": "U1", "team": "T3"}}) is None
    assert answering_team({"team": {"id": "T2"}}) is None
