"""Two people in two guilds, one GPU, one terminal each, read from a script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inference.media.provenance import read_recipe
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    return shell


def posted(out: str) -> list[Path]:
    return [Path(line) for line in re.findall(r"^▶ (.+)$", out, re.MULTILINE)]


def test_two_people_in_two_guilds_each_get_their_clip(shell, tmp_path):
    ended = shell.rushes(
        "chat",
        "--as",
        "kim",
        "--guild",
        "studio",
        script="""
            # kim is in the studio, bo makes films
            /generate a red fox --res 360p --frames 49
            /as bo films
            /generate a blue ball --res 360p --frames 49
            /rushes queue
        """,
    )
    assert ended.code == 0, ended
    fox, ball = sorted(posted(ended.out), key=lambda path: path.parts[-3], reverse=True)
    assert fox.parts[:3] == ("data", "threads", "studio")
    assert ball.parts[:3] == ("data", "threads", "films")
    assert read_recipe(tmp_path / fox)["prompt"] == "a red fox"
    assert read_recipe(tmp_path / ball)["prompt"] == "a blue ball"
    # The line of one guild is not shown to the other.
    queue = ended.out.split("/rushes queue\n")[1]
    assert "a blue ball" in queue.split("\n\n")[0]
    assert "a red fox" not in queue.split("\n\n")[0]


@pytest.mark.slow
def test_several_of_one_request_come_into_one_thread_with_their_sheet(shell, tmp_path):
    script = "/image a red fox --res 360p --count 2 --seed 7\n"
    ended = shell.rushes("chat", script=script)
    assert ended.code == 0, ended
    assert "1 · seed 7" in ended.out
    assert "2 · seed 8" in ended.out
    *files, sheet = posted(ended.out)
    assert {read_recipe(tmp_path / path)["seed"] for path in files} == {7, 8}
    [thread] = {path.parent for path in files}
    assert sheet == thread / f"{thread.name}-sheet.jpg"
    assert (tmp_path / sheet).is_file()


@pytest.mark.slow
def test_a_script_goes_on_after_its_jobs_were_forgotten(shell):
    shell.write_config(step_seconds=0.3)
    lines = ("/image a red fox --count 2", "/rushes forget-me yes", "/image a blue ball")
    ended = shell.rushes("chat", script="\n".join(lines))
    assert ended.code == 0, ended
    assert len(posted(ended.out)) == 1


def test_a_cancelled_job_leaves_the_line_and_the_others_go_on(shell):
    shell.write_config(step_seconds=0.1)
    ended = shell.rushes(
        "chat",
        script="""
            /generate first --res 360p --frames 49
            /generate second --res 360p --frames 49
            /press 1
            /rushes queue
        """,
    )
    assert ended.code == 0, ended
    assert "Nothing will be posted" in ended.out
    queue = ended.out.split("/rushes queue\n")[1].split("\n\n")[0]
    assert "first" in queue
    assert "second" not in queue
    assert len(posted(ended.out)) == 1
    assert "Cancelled." in ended.out


BAD_LINES = {
    "/press 9": ["Choose 1 to"],  # how many there are depends on how far the job is
    "/generate": ["Describe the clip"],
    "/generate " + "x" * 10_000: ["10000", "2000"],
    "/generate a ball --frams 49": ["--frams", "--frames"],
    "/generate a ball --motion wild": ["--motion", "extremely high"],
    "/generate a ball --frames 50": ["50", "49 or 65 frames"],
    "/generate a ball --model sora": ["sora", "testcard"],
    "/queue": ["/rushes queue"],
    "/rushes show 7Q2FK9XDAB": ["7Q2FK9XDAB"],
    "/rushes-admin pause": ["/rushes-admin pause"],
    "/as !": ["/as NAME"],
    "a red fox": ["/generate"],
}


def test_bad_lines_are_answered_with_a_sentence_each_and_the_queue_goes_on(shell):
    shell.write_config(step_seconds=0.2)
    script = "\n".join(["/generate before --res 360p --frames 1", *BAD_LINES, "/rushes queue"])
    ended = shell.rushes("chat", script=script)
    assert (ended.code, ended.err) == (1, ""), ended
    for line, parts in BAD_LINES.items():
        answer = ended.out.split(f"> {line}\n")[1].split("\n\n")[0]
        answer = re.sub(r"\n  \[.+\]$", "", answer)  # the buttons for what works
        assert answer.count("\n") == 0
        for part in parts:
            assert part in answer
    assert [path.suffix for path in posted(ended.out)] == [".png"]


@pytest.mark.slow
def test_an_image_that_is_not_there_refuses_the_job_and_no_other(shell):
    ended = shell.rushes(
        "chat",
        script="""
            /generate a ball --res 360p --frames 49 --image nothing.png
            /generate a still --res 360p --frames 1
        """,
    )
    assert ended.code == 1, ended
    assert "There is no image at" in ended.out
    assert [path.suffix for path in posted(ended.out)] == [".png"]


@pytest.mark.slow
def test_without_waiting_the_chat_leaves_the_jobs_for_the_next_start(shell):
    shell.write_config(step_seconds=0.5)
    left = shell.rushes("chat", "--no-wait", script="/generate a ball --res 360p --frames 49\n")
    assert left.code == 0, left
    assert posted(left.out) == []
    shell.write_config()
    ended = shell.rushes("chat", script="/rushes status\n")
    assert ended.code == 0, ended
    assert len(posted(ended.out)) == 1


@pytest.mark.slow
def test_a_job_that_fails_makes_the_script_fail(shell):
    shell.write_config(more='fail = "error"\n')
    ended = shell.rushes("chat", script="/generate a ball --res 360p --frames 49\n")
    assert ended.code == 1, ended
    assert "@" in ended.out
    assert "[Try again]" in ended.out
