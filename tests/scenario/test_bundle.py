"""A bundle for a bug report, from a Rushes full of canaries."""

from __future__ import annotations

import json
import zipfile

import pytest

from bot.config.sections import Config
from bot.doctor import bundle
from bot.doctor.findings import fail, report_error
from inference.domain.errors import UserError
from inference.log_setup import LOG_NAME
from tests.scenario.terminal_process import Shell, stop

CONFIG = """
[bot]
data_dir = "canary-folder"
platforms = ["terminal"]
operators = ["terminal:canary-operator"]
allowed_tenants = ["terminal:canary-tenant"]
[discord]
api_base_url = "http://canary-host:1/"
[models]
installed = ["testcard"]
[models.testcard]
step_seconds = 0.02
[safety]
words = ["canary-word"]
[watermark]
text = "canary-mark"
[assistant]
base_url = "http://canary-user:canary-password@127.0.0.1:1/v1"
[queue]
weights = { "terminal:canary-tenant" = 2.0 }
waiting_per_guild = 7
"""

SECRETS = {
    "DISCORD_TOKEN": "canary-discord-token",
    "OPENAI_API_KEY": "canary-key",
    "SLACK_SIGNING_SECRET": "canary-signing",
}


def contents(path) -> dict[str, str]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name).decode() for name in opened.namelist()}


@pytest.mark.process
@pytest.mark.slow
def test_a_bundle_holds_no_secret_no_prompt_and_no_name(tmp_path):
    shell = Shell(directory=tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    process = shell.start("run", environment=SECRETS)
    data = ("--data-dir", "canary-folder")
    while shell.rushes("health", *data).code:
        assert process.poll() is None, process.communicate()
    who = ("--as", "canary-person", "--guild", "canary-tenant", "--channel", "canary-channel")
    job = shell.rushes("submit", "a canary-prompt", "--frames", "49", *who, *data).out.strip()
    shell.settled(job, *who, *data)
    shell.rushes("submit", "a canary-word", *who, *data)
    ended = shell.rushes("doctor", "--bundle", "bundle.zip", **SECRETS)
    stop(process)
    assert ended.code == 0, ended

    found = contents(tmp_path / "bundle.zip")
    assert (tmp_path / "bundle.zip").stat().st_mode & 0o077 == 0
    for name, text in found.items():
        assert "canary" not in text, name
        assert str(tmp_path) not in text, name
    log = [json.loads(line) for line in found["log.jsonl"].splitlines()]
    assert "rushes.ready" in {line["event"] for line in log}
    assert job in found["log.jsonl"]
    assert json.loads(found["counts.json"])["states"]["done"] == 1
    assert json.loads(found["config.json"])["queue"]["waiting_per_guild"] == 7
    assert "SecretStr" not in found["config.json"]
    assert "aiohttp" in json.loads(found["versions.json"])["packages"]


def test_lines_that_others_wrote_are_left_out(tmp_path):
    lines = [
        "canary: not JSON",
        json.dumps(["canary"]),
        json.dumps({"event": "slack.refused", "tenant": "canary", "count": 3, "text": "canary"}),
        json.dumps({"event": "a canary", "logger": "bot.app", "error": "KeyError"}),
        json.dumps({"event": "a canary", "logger": "a_plugin", "reason": "canary"}),
        json.dumps({"event": "library.message", "logger": "discord.client", "where": "client:7"}),
    ]
    (tmp_path / LOG_NAME).write_text("\n".join(lines))
    found = [
        fail("host.canary", "doctor.host.unreachable", name="canary", problem="canary"),
        fail("weights.canary", "error.model.no_weights", model="canary"),
        report_error("workspace.canary", UserError("slack.token_rejected", problem="canary")),
        fail("memory.canary", "doctor.memory.too_small", model="canary", free="1", size="1"),
        report_error("config", UserError("config.no_section", name="canary", known=[])),
    ]
    bundle.write(tmp_path / "bundle.zip", found, Config(bot={"data_dir": tmp_path}))
    written = contents(tmp_path / "bundle.zip")
    assert "canary" not in "".join(written.values())
    log = [json.loads(line) for line in written["log.jsonl"].splitlines()]
    assert log[2]["count"] == 3
    assert log[3]["error"] == "KeyError"
    assert (log[5]["event"], log[5]["where"]) == ("library.message", "client:7")
    assert json.loads(written["findings.json"])[0]["code"] == "doctor.host.unreachable"


def test_a_bundle_never_writes_over_a_file(tmp_path):
    (tmp_path / "bundle.zip").write_text("mine")
    with pytest.raises(FileExistsError):
        bundle.write(tmp_path / "bundle.zip", [], Config(bot={"data_dir": tmp_path}))
    assert (tmp_path / "bundle.zip").read_text() == "mine"
