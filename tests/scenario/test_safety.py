"""What may not be asked for is not made, and what may not be seen is not shown."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.openai_moderation import KEY, moderation_server
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process

SMALL = "--res 360p --frames 49"


@pytest.fixture
def server():
    with moderation_server() as server:
        yield server


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    return shell


def ask(shell, server, more=""):
    """Let the shell's Rushes ask the server."""
    shell.write_config(
        more=f'[safety]\nopenai = true\napi_key = "{KEY}"\nbase_url = "{server.url}"\n{more}'
    )


def posted(out):
    return [Path(line) for line in re.findall(r"^▶ (.+)$", out, re.MULTILINE)]


def jobs(shell):
    """Return state and attempts of every job, in order."""
    with closing(sqlite3.connect(shell.directory / "data" / "rushes.sqlite3")) as database:
        return list(database.execute("SELECT state, attempt FROM jobs ORDER BY created_at"))


def files(shell):
    """Return all files of jobs, and all that were posted."""
    data = shell.directory / "data"
    return [
        path
        for folder in ("jobs", "threads")
        for path in (data / folder).rglob("*")
        if path.suffix in {".mp4", ".png", ".jpg"}
    ]


def test_words_are_refused_with_a_sentence_and_the_guilds_own_only_in_it(shell):
    ended = shell.rushes(
        "chat",
        *("--admin", "--as", "kim", "--guild", "studio"),
        script="""
            /rushes-admin words add pineapple
            /generate a g.0.r.e fest --res 360p --frames 1
            /as bo studio
            /generate a Pineapple --res 360p --frames 1
            /as bo films
            /generate a Pineapple in Scunthorpe --res 360p --frames 1
        """,
    )

    assert ended.code == 1, ended
    assert "The prompt was refused (graphic violence), so nothing was rendered." in ended.out
    assert "(words that admins here do not allow)" in ended.out
    assert [path.parts[-3] for path in posted(ended.out)] == ["films"]
    assert "fest" not in ended.err


@pytest.mark.slow
def test_denied_images_and_results_are_deleted_and_never_shown(shell, server):
    ask(shell, server)
    Image.new("RGB", (640, 360), "orange").save(shell.directory / "cat.png")
    server.pictures.extend(["sexual", None, None, "violence/graphic", None])

    # One after the other: the answers are for pictures in their order.
    ended = shell.rushes("chat", script="/animate it runs --image cat.png\n")
    assert ended.code == 1, ended
    assert "The reference image was refused (sexual content)" in ended.out
    ended = shell.rushes("chat", script=f"/generate a red fox {SMALL}\n")
    assert ended.code == 1, ended
    assert "The result was deleted without being shown (graphic violence)" in ended.out
    assert jobs(shell) == [("refused", 0), ("refused", 1)]
    assert files(shell) == []
    assert (server.texts, server.seen) == (["it runs", "a red fox"], 5)


@pytest.mark.slow
def test_flagged_results_are_hidden_where_the_guild_wants_that_and_others_are_not(shell, server):
    ask(shell, server)
    server.words["fox"] = "violence"

    ended = shell.rushes(
        "chat",
        "--admin",
        script=f"""
            /rushes-admin settings set safety spoiler
            /generate a red fox {SMALL}
            /generate a blue ball {SMALL}
        """,
    )

    assert ended.code == 0, ended
    assert ended.out.count("Not shown openly because a safety check flagged it: violence") == 1
    logs = [(shell.directory / clip).with_name("thread.jsonl") for clip in posted(ended.out)]
    messages = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert [message["spoiler"] for message in messages if message["file"]] == [True, False]


@pytest.mark.slow
def test_a_process_killed_between_render_and_look_looks_after_its_restart(shell, server):
    ask(shell, server)
    script = f"/generate a red fox {SMALL}\n"
    killed = shell.rushes("chat", script=script, RUSHES_FAULT="after:finish")
    assert killed.code == -signal.SIGKILL, killed
    assert (jobs(shell), server.seen) == ([("finishing", 1)], 0)

    server.every_picture = "sexual"
    ended = shell.rushes("chat", script="/rushes status\n")

    assert "The result was deleted without being shown (sexual content)" in ended.out, ended
    assert (jobs(shell), server.seen) == ([("refused", 1)], 4)
    assert files(shell) == []


@pytest.mark.slow
def test_what_nobody_can_be_asked_about_is_denied_where_the_operator_wants_that(shell, server):
    ask(shell, server, more="fail_closed = true\n")
    server.troubles.append((401, {}, b'{"error": {"message": "no such key"}}'))

    ended = shell.rushes("chat", script=f"/generate a red fox {SMALL}\n")

    assert "(the check is not available, try again later)" in ended.out, ended
    assert jobs(shell) == [("refused", 0)]


@pytest.mark.slow
def test_a_check_that_cannot_work_is_told_in_one_sentence_at_the_start(shell):
    shell.write_config(more="[safety]\nopenai = true\n")

    ended = shell.rushes("chat", script="/rushes queue\n", OPENAI_API_KEY="")

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "safety.openai is on, but has no key" in ended.err
