from __future__ import annotations

import tomllib

import pytest

from bot.cli.parser import main
from bot.config.effective import MASK, format_config
from bot.config.sections import Config
from bot.config.sources import load_config

SECRETS = {
    "DISCORD_TOKEN": "canary-discord",
    "SLACK_BOT_TOKEN": "xoxb-canary",
    "SLACK_APP_TOKEN": "xapp-canary",
    "SLACK_SIGNING_SECRET": "canary-signing",
    "OPENAI_API_KEY": "sk-canary",
    "RUSHES_SLACK__CLIENT_SECRET": "canary-client",
    "RUSHES_SAFETY__API_KEY": "canary-safety",
    "RUSHES_ASSISTANT__BASE_URL": "http://user:canary-password@llm.local/v1",
    "RUSHES_MODELS__OPENSORA__HF_TOKEN": "canary-hub",
}


@pytest.fixture
def secrets(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def test_each_value_says_where_it_comes_from(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUSHES_QUEUE__WAITING_PER_USER", "7")
    (tmp_path / "config.toml").write_text("[queue]\nwaiting_per_guild = 9\n")
    assert main(["config", "show", "--data-dir", "studio"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "waiting_per_guild = 9  # config.toml:2" in said
    assert "waiting_per_user = 7  # RUSHES_QUEUE__WAITING_PER_USER" in said
    assert "waiting_total = 200  # default" in said
    assert 'data_dir = "studio"  # --data-dir' in said
    assert "# token is not set" in said


def test_no_secret_is_shown(secrets):
    # A model's own table may be unknown here, so that one is given to the sections directly.
    del_hub = {"models": {"opensora": {"hf_token": "canary-hub"}}}
    written = "\n".join(format_config(Config(**del_hub)))
    assert "canary" not in written
    assert f'base_url = "http://{MASK}@llm.local/v1"' in written
    assert f'hf_token = "{MASK}"' in written


@pytest.mark.parametrize(
    "table",
    [
        {"hub": {"token": "canary"}},
        {"hub": [{"nested": {"password": "canary"}}]},
        {"hub-key": ["canary", "canary"]},
        {"tokens": {"mine": "canary"}},
        {"places": ["https://user:canary@host/x"]},
        {"place": "https://host/v1?api-version=1&code=canary"},
        {"place": "https://hooks.slack.com/services/T0/B0/canary"},
        {"place": "https://discord.com/api/webhooks/1/canary"},
        '{"hub": {"token": "canary"}, "hf_token": "canary"}',
    ],
)
def test_no_secret_of_a_plugin_is_shown_however_it_is_spelled(table):
    section = {"models": {"installed": ["mine"], "mine": table}}
    assert "canary" not in "\n".join(format_config(Config(**section)))


def test_a_whole_table_from_the_environment_is_shown_as_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUSHES_MODELS__TESTCARD", '{"step_seconds": 0.5}')
    lines = list(format_config(load_config(None)))
    assert "[models.testcard]" in lines
    assert "step_seconds = 0.5  # RUSHES_MODELS__TESTCARD" in lines


@pytest.mark.parametrize("place", ["https://host/v1?key=canary", "https://host/webhooks/1/canary"])
def test_an_address_is_shown_without_what_lets_one_in(place):
    written = "\n".join(format_config(Config(assistant={"base_url": place})))
    assert "canary" not in written
    assert "https://host/" in written


def test_what_is_shown_is_a_config_that_says_the_same(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "config.toml"
    source.write_text(
        '[bot]\noperators = ["discord:1", "slack:T1:U1"]\nallowed_tenants = ["discord:2"]\n'
        '[queue]\nweights = { "discord:2" = 2.5 }\n[safety]\nwords = ["a \\"b\\" \\\\ c"]\n'
        '[watermark]\ncorner = "top-left"\n[models.testcard]\nstep_seconds = 0.5\nfail = ""\n'
    )
    config = load_config(source)
    again = tmp_path / "again.toml"
    again.write_text("\n".join(format_config(config)))
    assert load_config(again).model_dump() == config.model_dump()
    tomllib.loads(again.read_text())
