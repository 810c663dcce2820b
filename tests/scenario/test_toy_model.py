"""A model from another package, with rules of its own, in every chat: no code of ours knows it."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from bot.cli import parser
from inference.media.provenance import read_recipe
from tests.fakes import toy
from tests.scenario import discord_studio
from tests.scenario.slack_bot import SlackBot
from tests.scenario.slack_house import card_of, clip_below
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process

INSTALLED = ["toy", "testcard"]


def facts(path: Path) -> tuple[int, int, int, float]:
    """Return width, height, frames and rate of a clip."""
    with av.open(str(path)) as clip:
        [video] = clip.streams.video
        frames = sum(1 for _ in clip.decode(video))
        return video.width, video.height, frames, float(video.average_rate)


@pytest.fixture
def shell(tmp_path):
    (tmp_path / "config.toml").write_text(
        f'[bot]\nplatforms = ["terminal"]\n[models]\ninstalled = {json.dumps(INSTALLED)}\n'
    )
    return Shell(directory=tmp_path)


def test_the_command_line_explains_it_and_renders_it(shell, tmp_path, monkeypatch, capsys):
    told = shell.rushes("render", "--help", "--model", "toy", **toy.environment()).out
    told = " ".join(told.split())
    assert "Colour of everything · red, green or deep blue" in told
    assert "7, 12, 17, … or 252" in told
    assert "--motion" not in told
    refused = shell.rushes(
        "render", "a wall", "--frames", "100", "-o", "a.mp4", **toy.environment()
    )
    assert refused.err == ("rushes: Toy does not support --frames 100. Choose 97 or 102 frames.\n")
    options = ("--paint", "deep blue", "--res", "1080p", "--frames", "7", "--shine", "1")
    made = shell.rushes("render", "a wall", *options, "-o", "wall.mp4", **toy.environment())
    assert made.code == 0, made
    assert facts(tmp_path / "wall.mp4") == (1920, 1080, 7, 25.0)
    recipe = read_recipe(tmp_path / "wall.mp4")
    assert recipe["options"] == {"paint": "deep blue", "shine": 1}
    # The package may be gone when somebody looks at the file.
    monkeypatch.chdir(tmp_path)
    assert parser.main(["show", "wall.mp4"]) == 0
    assert '--paint "deep blue" --shine 1' in capsys.readouterr().out


@pytest.mark.slow
def test_the_terminal_offers_it_and_what_it_can(shell, tmp_path):
    ended = shell.rushes(
        "chat",
        script="""
            /generate a wall --frames 100 --paint green
            1
            /generate a ball --motion high --frames 12
            /rushes settings set default.paint deep blue
            /generate a door --frames 7 --shine 0.25
        """,
        **toy.environment(),
    )
    assert "[97 frames] [102 frames]" in ended.out
    assert "[Without --motion] [With Test card]" in ended.out
    assert "540p · 97 frames · seed" in ended.out
    clips = {read_recipe(path)["prompt"]: path for path in tmp_path.rglob("threads/**/*.mp4")}
    assert facts(clips["a wall"]) == (960, 540, 97, 25.0)
    assert read_recipe(clips["a wall"])["options"]["paint"] == "green"
    assert read_recipe(clips["a door"])["options"] == {"paint": "deep blue", "shine": 0.25}


async def test_discord_has_its_options_and_a_button_for_what_works(tmp_path, monkeypatch):
    toy.install(monkeypatch)
    async with discord_studio.installation(tmp_path) as place:
        alice, general = place.alice, place.general
        async with place.bot(installed=INSTALLED):
            typing = alice.complete(general, "generate", "frames", "100", prompt="a", model="toy")
            await typing.acknowledged()
            assert [choice["value"] for choice in typing.choices] == [102, 97]
            asked = alice.slash(
                general, "generate", prompt="a wall --shine 1", paint="deep blue", frames=100
            )
            refused = await asked.response()
            assert "Choose 97 or 102 frames" in refused.text
            assert [button["label"] for button in refused.buttons] == ["97 frames", "102 frames"]
        async with place.bot(installed=INSTALLED):  # the button survives a restart
            card = await alice.click(refused, "97 frames").response()
            assert "540p · 16:9 · 97 frames (3.9 s) · paint deep blue" in card.text
            clip = await place.clip(card)
            await place.done(card)
            file = tmp_path / "seen.mp4"
            file.write_bytes(clip.files[0].data)
    assert facts(file) == (960, 540, 97, 25.0)


@pytest.mark.slow
async def test_slack_has_its_options_and_a_button_for_what_works(
    slack, acme, alice, general, tmp_path
):
    bot = SlackBot(
        tmp_path,
        slack,
        installed=INSTALLED,
        environment={**toy.environment(), "SLACK_BOT_TOKEN": acme.installation.token},
    )
    await bot.start()
    try:
        await alice.command(general, "/generate")
        form = await alice.wait_for_modal()
        assert {"paint", "model", "motion"} <= fields(form)
        await alice.click(form, "model", value="Test card")
        form = await alice.wait_for_modal(lambda view: "paint" not in fields(view))
        await alice.click(form, "model", value="Toy")
        form = await alice.wait_for_modal(lambda view: "paint" in fields(view))
        assert "motion" not in fields(form)
        answers = {"prompt": "a wall", "paint": "deep blue", "frames": "7", "model": "Toy"}
        await alice.submit(form, answers)
        await clip_below(slack, await alice.wait_for(general, card_of("a wall")))
        await alice.command(general, "/generate", "a door --frames 100")
        refused = await alice.wait_for(general, lambda m: m.only_for and "97 or 102" in m.words)
        await bot.kill()
        await bot.start()  # the button survives a restart
        await alice.click(refused, "97 frames")
        await clip_below(slack, await alice.wait_for(general, card_of("a door")))
    finally:
        await bot.close()


def fields(view):
    return {block.get("block_id") for block in view.content["blocks"]}
