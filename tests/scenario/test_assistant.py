"""The prompt assistant in the whole product: there, away, and asked for a word."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from bot.app import open_app
from bot.config.sources import load_config
from bot.control.client import Speaker, connect
from bot.control.server import serve_control
from commands.actions import Action
from inference.media.provenance import read_recipe
from tests.fakes import openai_server
from tests.fakes.openai_server import KEY, MODEL, prompt
from tests.fakes.readable import plain, readable
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process

REFINED = "A red fox runs through deep snow."
LINES = """
    /generate fuchs im schnee --res 360p --frames 49
    /image ein Fuchs im tiefen weißen Schnee --res 360p
    /random --res 360p --frames 1 --seed 7
"""


@pytest.fixture
def server():
    with openai_server.serving() as server:
        server.replies = [prompt(REFINED)]
        yield server


@pytest.fixture
def shell(tmp_path):
    return Shell(directory=tmp_path)


def configure(shell, base_url, *, seconds=180):
    assistant = f'base_url = "{base_url}"\napi_key = "{KEY}"\nmodel = "{MODEL}"\n'
    shell.write_config(more=f"[assistant]\n{assistant}timeout_seconds = {seconds}\n")


def recipes(shell, out: str) -> list[dict]:
    paths = [Path(line) for line in re.findall(r"^▶ (.+)$", out, re.MULTILINE)]
    return [read_recipe(shell.directory / path) for path in paths]


def test_what_people_ask_for_is_refined_rendered_and_written_into_the_file(shell, server):
    configure(shell, server.base_url)

    ended = shell.rushes("chat", script=LINES)

    assert (ended.code, ended.err) == (0, ""), ended
    made = recipes(shell, ended.out)
    assert [recipe["prompt"] for recipe in made] == [REFINED] * 3
    originals = {recipe["original"] for recipe in made}
    assert originals == {"fuchs im schnee", "ein Fuchs im tiefen weißen Schnee", None}
    assert server.complaints == []
    assert len(server.requests) == 3
    cards = [path.read_text("utf-8") for path in shell.directory.glob("data/threads/*/*/card.txt")]
    assert (
        sum(f"✍ {REFINED}" in readable(card) for card in cards) == 2
    )  # what was drawn has no own words


async def test_one_word_is_for_all_that_were_asked_for_together(installation, server, tmp_path):
    kim = Speaker(name="kim", guild="studio", language="en", directory=tmp_path)
    await installation.command("/rushes settings set review yes", kim)
    line = "/generate fuchs im schnee --res 360p --frames 1 --count 3"
    made = await installation.command(line, kim)
    together = (await installation.job(made.card.job, kim)).together
    assert len(together) == 3

    async def reached(state):
        async with asyncio.timeout(180):
            for job in together:
                while (await installation.job(job, kim)).state != state:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
        return await installation.job(made.card.job, kim)

    card = (await reached("review")).card
    assert plain(card).count("Waiting for you to approve") == 4  # of each, and what to do now
    accept = next(button for button in card.buttons if button.action is Action.ACCEPT)
    await installation.press(accept.id, kim)

    await reached("done")
    assert len(server.requests) == 1


@pytest.mark.slow
def test_all_works_the_same_with_the_assistant_down(shell):
    configure(shell, "http://127.0.0.1:9/v1", seconds=3)

    ended = shell.rushes("chat", script=LINES + "/refine a fox\n")

    made = recipes(shell, ended.out)
    assert len(made) == 3, ended
    assert {recipe["original"] for recipe in made} == {None}
    assert {"fuchs im schnee", "ein Fuchs im tiefen weißen Schnee"} < {
        recipe["prompt"] for recipe in made
    }
    assert ended.out.count("The prompt assistant did not answer") >= 3
    assert "fuchs" not in ended.err.casefold()
    assert KEY not in ended.err
    answer = ended.out.split("> /refine a fox\n")[1].split("\n\n")[0]
    assert "prompt assistant" in answer


@pytest.fixture
async def installation(server, tmp_path, monkeypatch):
    """A client of a studio with an assistant, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assistant = {"base_url": server.base_url, "api_key": KEY, "model": MODEL}
    config = load_config(
        None,
        overrides={
            "bot": {"data_dir": tmp_path / "data", "platforms": ["terminal"]},
            "models": {"installed": ["testcard"], "testcard": {"step_seconds": 0.02}},
            "assistant": assistant,
        },
    )
    async with (
        open_app(config) as app,
        serve_control(app),
        connect(config.bot.data_dir) as client,
    ):
        yield client


async def test_a_refined_prompt_waits_for_its_requesters_word(installation, server, tmp_path):
    kim = Speaker(name="kim", guild="studio", language="en", directory=tmp_path)
    bo = Speaker(name="bo", guild="studio", language="en", directory=tmp_path)
    await installation.command("/rushes settings set review yes", kim)
    made = await installation.command("/generate fuchs im schnee --res 360p --frames 1", kim)

    async def reached(state):
        async with asyncio.timeout(180):
            while (report := await installation.job(made.card.job, kim)).state != state:  # noqa: ASYNC110 - as a client sees it
                await asyncio.sleep(0.05)
        return report

    card = (await reached("review")).card
    assert f"✍ {REFINED}" in plain(card)
    keep = next(button for button in card.buttons if button.action is Action.KEEP)
    assert "Only kim or an admin" in plain((await installation.press(keep.id, bo)).card)
    await installation.press(keep.id, kim)

    done = await reached("done")
    recipe = read_recipe(done.result.attachment.path)
    assert (recipe["prompt"], recipe["original"]) == ("fuchs im schnee", None)
    assert len(server.requests) == 1


@pytest.mark.slow
def test_without_an_assistant_nothing_is_offered_and_all_else_works(shell):
    shell.write_config()

    ended = shell.rushes(
        "chat",
        script="""
            /rushes help generate
            /refine a fox
            /generate a fox --refine
            /random --res 360p --frames 1 --seed 7
            /generate 눈 속의 여우 --res 360p --frames 1
        """,
    )

    assert "--refine/--no-refine" not in ended.out
    assert "[assistant] in config.toml" in ended.out
    assert "so leave --refine out" in ended.out
    assert "understands English best" in ended.out
    assert len(recipes(shell, ended.out)) == 2


@pytest.mark.slow
def test_a_script_answers_a_review_or_does_not_wait_for_one(shell, server):
    configure(shell, server.base_url)

    ended = shell.rushes(
        "chat",
        script="""
            /rushes settings set review yes
            /generate fuchs --res 360p --frames 1
            /press 1
            /generate wolf --res 360p --frames 1
        """,
    )

    assert "[Use this] [Edit] [Keep mine] [Cancel]" in ended.out
    (recipe,) = recipes(shell, ended.out)
    assert (recipe["prompt"], recipe["original"]) == (REFINED, "fuchs")
    assert ended.code == 1  # the other one was never decided on


def test_a_model_without_a_server_or_key_is_said_at_the_start(shell):
    shell.write_config(more=f'[assistant]\nmodel = "{MODEL}"\n')

    ended = shell.rushes("run")

    assert ended.code != 0
    assert "OPENAI_API_KEY" in ended.err
    assert "Traceback" not in ended.err
