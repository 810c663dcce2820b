"""Failing states of the doctor: Slack."""

from __future__ import annotations

import contextlib
import sqlite3

from bot.config.sections import Config
from bot.doctor.findings import Level
from bot.doctor.slack import examine as slack_examine
from bot.slack.installations import TABLES
from inference.store.maintenance import DATABASE_NAME
from tests.scenario.doctor.findings import WRONG_APP, config, fine, only


def on_slack(tmp_path, slack, token, **section) -> Config:
    known = {
        "bot_token": token,
        "app_token": slack.app_token,
        "api_base_url": slack.api_base_url,
    }
    return config(tmp_path, bot={"platforms": ["slack"]}, slack=known | section)


async def test_a_slack_without_its_bot_token(tmp_path):
    known = config(tmp_path, slack={"app_token": "xapp-1"})
    found = only(await slack_examine(known), Level.WARN, "doctor.slack.no_bot_token")
    assert "SLACK_BOT_TOKEN" in found.text("en")


async def test_a_slack_that_is_well(tmp_path, slack, acme):
    fine(await slack_examine(on_slack(tmp_path, slack, acme.installation.token)))


async def test_an_app_that_lacks_scopes(tmp_path, slack, acme):
    acme.installation.scopes -= {"files:write"}
    found = await slack_examine(on_slack(tmp_path, slack, acme.installation.token))
    assert "files:write" in only(found, Level.FAIL, "doctor.slack.scopes").text("en")


async def test_a_token_that_slack_does_not_take(tmp_path, slack, acme):
    found = await slack_examine(on_slack(tmp_path, slack, "xoxb-wrong"))
    only(found, Level.FAIL, "error.slack.token_rejected")


async def test_an_app_token_that_slack_does_not_take(tmp_path, slack, acme):
    section = on_slack(tmp_path, slack, acme.installation.token, app_token=WRONG_APP)
    found = only(await slack_examine(section), Level.FAIL, "error.slack.token_rejected")
    assert found.check == "slack.socket"


async def test_each_workspace_that_installed_the_app_is_asked(tmp_path, slack, acme, data):
    many = {"client_id": "1", "client_secret": "2", "bot_token": None, "mode": "socket"}
    section = on_slack(tmp_path, slack, None, **many)
    fine(await slack_examine(section))  # nobody has installed it: there is not even the table
    row = "INSERT INTO slack_installations VALUES (?, ?, NULL, 'B1', 'U1', ?, '', ?, ?)"
    with contextlib.closing(sqlite3.connect(data / DATABASE_NAME)) as connection:
        for _, sql in TABLES.steps():
            connection.executescript(sql)
        connection.execute(row, ("T1", "T1", acme.installation.token, None, None))
        connection.execute(row, ("T2", "T2", "xoxe-expired", "xoxe-refresh", 1.0))
        connection.commit()
        fine(await slack_examine(section))
        connection.execute(row, ("T3", "T3", "xoxb-wrong", None, None))
        connection.commit()
    found = only(await slack_examine(section), Level.FAIL, "error.slack.token_rejected")
    assert found.check == "workspace.T3"


async def test_a_slack_that_answers_with_errors(tmp_path, slack, acme):
    slack.hub.trouble("auth.test", error="internal_error")
    found = await slack_examine(on_slack(tmp_path, slack, acme.installation.token))
    only(found, Level.FAIL, "doctor.slack.failed")
