"""Tokens: made in a shell, found by a running Rushes."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from bot.cli.parser import main
from bot.config.sources import load_config
from bot.http.access import tokens
from bot.preflight import preflight
from bot.registry import Registry
from commands.policy.settings import QUOTA_ROLES, ROLES, Scope, SettingSet
from commands.policy.settings_store import Change, SettingsStore
from commands.policy.stores import TABLES
from inference.clock import SystemClock
from inference.domain.errors import NotFound, UserError
from inference.domain.job import Requester
from inference.store.maintenance import DATABASE_NAME
from inference.store.sqlite.database import open_database
from tests.fakes.options import OPTIONS

DAY = 86_400.0


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUSHES_MODELS__INSTALLED", '["testcard"]')
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return tmp_path


@pytest.fixture
async def database(folder):
    (folder / "data").mkdir()
    async with open_database(folder / "data" / DATABASE_NAME, tokens.TABLES) as database:
        yield database


@pytest.fixture
def table(database, folder):
    with tokens.open_tokens(folder / "data") as table:
        yield table


def make(table, **changes):
    given = {"guild": "api", "name": "ci", "person": None, "roles": frozenset(), "expires": None}
    return table.create(**{**given, "now": 0.0, **changes})


async def test_a_token_is_found_until_it_expires_or_is_revoked(database, table):
    made = make(table, expires="90d", roles=frozenset({"editor"}))
    found = await tokens.find(database, made, 89 * DAY)
    assert (found.tenant, found.person, found.roles) == ("terminal:api", "ci", {"editor"})
    assert await tokens.find(database, made, 90 * DAY) is None
    table.revoke(found.id, DAY)
    assert await tokens.find(database, made, DAY) is None


async def test_nothing_that_was_stored_opens_anything(database, table, folder):
    made = make(table)
    for file in (folder / "data").iterdir():
        assert made.split("_", 2)[2].encode() not in file.read_bytes()
    [stored] = table.all()
    for wrong in ("", stored.hash, stored.id, f"rsh_{stored.id}_{stored.hash[:43]}", made[:-1]):
        assert await tokens.find(database, wrong, 0.0) is None
    assert await tokens.find(database, f"{made[:-1]}{'b' if made[-1] == 'a' else 'a'}", 0.0) is None
    assert await tokens.find(database, "rsh_é\udc80", 0.0) is None


def test_a_name_is_free_again_once_its_token_is_invalid(table):
    make(table, expires="1d")
    with pytest.raises(UserError, match=r"token\.exists"):
        make(table, now=DAY / 2)
    make(table, now=DAY)
    table.revoke(table.all()[1].id, DAY)
    make(table, now=DAY)


@pytest.mark.parametrize(
    ("guild", "person", "tenant", "everywhere"),
    [
        ("api", None, "terminal:api", "http:terminal:api:ci"),
        ("api", "kim", "terminal:api", "terminal:kim"),
        ("discord:42", "7", "discord:42", "discord:7"),
        ("slack:T1", "U2", "slack:T1", "slack:T1:U2"),
    ],
)
def test_a_token_belongs_to_a_tenant_and_a_person(table, guild, person, tenant, everywhere):
    make(table, guild=guild, person=person)
    [token] = table.all()
    assert (token.tenant, token.everywhere) == (tenant, everywhere)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"guild": "discord:here"}, "token.guild"),
        ({"guild": ""}, "token.guild"),
        ({"name": "a\nb"}, "token.name"),
        ({"name": " "}, "token.name"),
        ({"expires": "soon"}, "token.expires"),
        ({"expires": "0d"}, "token.expires"),
        ({"roles": frozenset({"editor", ""})}, "token.role"),
        ({"roles": frozenset({"a\nb"})}, "token.role"),
        ({"person": "a\nb"}, "token.person"),
    ],
)
def test_what_makes_no_token_is_said(table, changes, code):
    with pytest.raises(UserError, match=code):
        make(table, **changes)
    assert table.all() == []


def test_an_unknown_token_cannot_be_revoked(table):
    with pytest.raises(NotFound):
        table.revoke("nothing", 0.0)


def test_the_shell_makes_lists_and_revokes_a_token_where_rushes_never_ran(capsys):
    arguments = ("--guild", "api", "--name", "ci", "--role", "editor", "--expires", "90d")
    assert main(["token", "create", *arguments]) == 0
    made = capsys.readouterr()
    assert made.out.startswith("rsh_")
    assert "cannot be shown again" in made.err
    assert "[bot] platforms" in made.err
    assert main(["token", "list"]) == 0
    line = capsys.readouterr().out
    key = line.split()[0]
    assert "terminal:api  ci  ci  editor  valid until 20" in line
    assert main(["token", "revoke", key]) == 0
    capsys.readouterr()
    main(["token", "list"])
    assert capsys.readouterr().out.rstrip().endswith("revoked")
    assert main(["token", "create", "--guild", "a:b", "--name", "x"]) == 1
    assert "is not a guild" in capsys.readouterr().err


async def test_the_shell_says_what_a_role_changes(capsys, folder):
    """Roles are words that the settings of the guild give a meaning; a typo has none."""

    number = itertools.count()

    async def told(*roles: str, guild: str = "api") -> list[str]:
        flags = [flag for role in roles for flag in ("--role", role)]
        name = f"token {next(number)}"
        arguments = ["token", "create", "--guild", guild, "--name", name, *flags]
        assert await asyncio.to_thread(main, arguments) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "role" in line.lower()]

    nothing = "The role king has no effect: no setting of api names"
    assert await told("king") == [f"{nothing} a role."]
    async with open_database(folder / "data" / DATABASE_NAME, TABLES, tokens.TABLES) as database:
        store = SettingsStore(database, SystemClock(), SettingSet(OPTIONS))
        changes = [
            Change(scope=Scope.GUILD, setting=ROLES, value=["editor", "Staff"]),
            Change(scope=Scope.CHANNEL, subject="http", setting=ROLES, value=["editor"]),
            Change(scope=Scope.GUILD, setting=QUOTA_ROLES, value={"editor": 7200, "guest": 60}),
        ]
        await store.change("terminal:api", changes, Requester(id="a", name="a"))
    assert await told("king") == [f"{nothing} it. These are named: Staff, editor, guest."]
    assert await told("editor", "guest") == [
        "The role editor counts for these settings of api: quota.roles, roles.",
        "The role guest counts for these settings of api: quota.roles.",
    ]
    assert await told() == []
    assert "no setting of films names a role." in (await told("editor", guild="films"))[0]


def test_the_platform_is_made_before_anything_runs(folder):
    """Preflight makes every platform, outside of any event loop."""
    config = load_config(None, overrides={"bot": {"platforms": ["http"]}})
    preflight(config)
    assert Registry.load().platform("http", config).name == "http"
