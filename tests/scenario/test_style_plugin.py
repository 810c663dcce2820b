"""The style plugin, installed by pip: in every chat, from the command line, and gone again."""

from __future__ import annotations

import io
import os
import shlex
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from bot.slack.manifest import manifest
from bot.testing import open_call
from inference.media.provenance import read_recipe
from tests.fakes.discord.entities import File
from tests.fakes.installs import ROOT, install
from tests.fakes.installs import STYLE as PACKAGE
from tests.fakes.slack import LoopbackSlack
from tests.fakes.slack.application import Application
from tests.scenario import discord_studio
from tests.scenario.discord_verdict import stem
from tests.scenario.slack_bot import SlackBot
from tests.scenario.slack_house import card_of, clip_below
from tests.scenario.terminal_process import Shell

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return install(PACKAGE, tmp_path_factory.mktemp("style"))


def picture() -> bytes:
    """A picture that is all orange, so that a styled clip shows it at once."""
    data = io.BytesIO()
    Image.new("RGB", (64, 48), (240, 150, 40)).save(data, "PNG")
    return data.getvalue()


ORANGE = File(name="orange.png", data=picture(), content_type="image/png")


def blueness(path: Path) -> float:
    """Return how blue the bluest frame of a file is, beside its red."""
    frames = frames_of(path)
    return float((frames[..., 2] - frames[..., 0]).mean((1, 2)).max())


def frames_of(path: Path):
    """Return the frames of a file as numbers that can be subtracted."""
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    return np.stack(frames).astype(int)


def environment(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(map(str, (site, ROOT)))}


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    (tmp_path / "orange.png").write_bytes(picture())
    return shell


def test_the_command_line_renders_with_it(shell, tmp_path, site):
    asked = ("render", "a wall", "--frames", "49", "--res", "360p", "--seed", "7")
    ended = shell.rushes(*asked, "-o", "plain.mp4", **environment(site))
    assert ended.code == 0, ended
    ended = shell.rushes(*asked, "--style", "orange.png", "-o", "made.mp4", **environment(site))
    assert ended.code == 0, ended
    assert blueness(tmp_path / "made.mp4") < min(blueness(tmp_path / "plain.mp4"), 0) - 20
    [effect] = read_recipe(tmp_path / "made.mp4")["effects"]
    assert (effect["name"], effect["package"]) == ("style", "rushes-style")
    shown = shell.rushes("show", "made.mp4", **environment(site))
    assert shown.code == 0, shown
    assert "  style: rushes-style 1.0" in shown.out
    [again] = [line for line in shown.out.splitlines() if line.startswith("Again: /generate ")]
    assert "--style picture.png --style-strength 100" in again
    (tmp_path / "picture.png").write_bytes(picture())
    typed = again.removeprefix("Again: /generate ")
    ended = shell.rushes("render", *shlex.split(typed), "-o", "again.mp4", **environment(site))
    assert ended.code == 0, ended
    assert blueness(tmp_path / "again.mp4") < -20


@pytest.mark.model
def test_a_model_that_takes_reference_pictures_gets_the_picture(shell, tmp_path, site):
    pytest.importorskip("diffusers")
    from tests.diffusers import tiny_models

    folder = tiny_models.saved("wan-vace", tmp_path / "vace")
    (tmp_path / "config.toml").write_text(
        '[bot]\nplatforms = ["terminal"]\n[models]\ninstalled = ["mine"]\n'
        f'[models.mine]\nengine = "diffusers"\npath = "{folder}"\n'
    )
    Image.new("RGB", (640, 64), "blue").save(tmp_path / "blue.png")
    asked = ("render", "a wall", "--frames", "5", "--res", "360p", "--seed", "7", "--steps", "2")
    made = {}
    for name, flags in {
        "orange": ("--style", "orange.png"),
        "blue": ("--style", "blue.png", "--style-strength", "90"),
    }.items():
        ended = shell.rushes(*asked, *flags, "-o", f"{name}.mp4", **environment(site))
        assert ended.code == 0, ended
        [effect] = read_recipe(tmp_path / f"{name}.mp4")["effects"]
        made[name] = effect["reference_weight"]
        assert effect["seconds_per_megapixel_frame"] == 0
    assert made == {"orange": 1.0, "blue": 0.9}
    orange, blue = (frames_of(tmp_path / f"{name}.mp4") for name in made)
    assert orange.shape == (5, 352, 640, 3)
    assert np.abs(orange - blue).mean() > 1
    shown = shell.rushes("show", "blue.mp4", **environment(site))
    assert "style (reference image of the model): rushes-style 1.0" in shown.out


def test_the_terminal_has_the_command_and_reads_old_jobs_without_the_package(shell, tmp_path, site):
    ended = shell.rushes(
        "chat",
        script="""
            /rushes help style
            /style a fox
            /style a wall --style orange.png --frames 49 --res 360p --style-strength 80
        """,
        **environment(site),
    )
    assert "Image whose colours and light the clip gets" in ended.out
    assert "--style is missing" in ended.out
    [clip] = tmp_path.rglob("threads/**/*.mp4")
    assert read_recipe(clip)["effects"][0]["values"] == {"style-strength": 80}
    job = clip.stem
    gone = shell.rushes(
        "chat",
        script=f"""
            /style a fox --style orange.png
            /rushes history
            /rushes show {job}
        """,
    )
    assert "a wall" in gone.out
    assert "no command /style" in gone.out
    assert "went wrong" not in gone.out
    shown = shell.rushes("show", str(clip))
    assert shown.code == 0, shown
    assert "--style picture.png --style-strength 80" in shown.out


async def test_discord_has_the_command_and_its_button_says_what_is_missing(
    tmp_path, site, monkeypatch
):
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    async with discord_studio.installation(tmp_path) as place:
        alice, general = place.alice, place.general
        async with place.bot(installed=["testcard"]):
            card = await alice.slash(
                general, "style", prompt="a wall", frames=49, style=ORANGE
            ).response()
            clip = await place.clip(card)
            await place.done(card)
            assert "· style ·" in clip.text
            file = tmp_path / "seen.mp4"
            opened = alice.click(clip, "Edit")
            await opened.form()
            await alice.submit(opened, prompt="a door").response()
            await alice.click(clip, "Reroll").response()
            alice.click(clip, "Extend")

            def made_again():
                found = [m for m in place.discord.witness.in_channel(card.thread) if stem(m)]
                return found if len(found) == 4 else None

            seconds = 4 * discord_studio.SECONDS
            clips = await place.discord.until(made_again, seconds, "three clips more")
            asked = alice.slash(general, "generate", prompt="a gate", frames=49, style=ORANGE)
            clips = [*clips, await place.clip(await asked.response())]
            lengths = []
            for made in clips:
                file.write_bytes(made.files[0].data)
                assert blueness(file) < -20, made.text
                lengths.append(len(frames_of(file)))
            assert sorted(lengths) == [49, 49, 49, 49, 81]
        monkeypatch.undo()
        async with place.bot(installed=["testcard"]):
            said = await alice.click(clip, "Reroll").response()
            assert "rushes-style" in said.text


async def test_slack_has_the_command_with_its_form(tmp_path, site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    async with open_call(tmp_path / "call") as call:
        declared = manifest(call.commands, url="https://rushes.example.com")
    application = Application.from_manifest(declared)
    async with LoopbackSlack(application=application, ping_seconds=0.05) as slack:
        team = slack.add_team("acme")
        team.install()
        alice = team.add_user("alice")
        general = team.add_channel("general", alice)
        token = {"SLACK_BOT_TOKEN": team.installation.token}
        bot = SlackBot(
            tmp_path, slack, installed=["testcard"], environment={**environment(site), **token}
        )
        await bot.start()
        try:
            await alice.command(general, "/style")
            form = await alice.wait_for_modal()
            assert {"prompt", "style"} <= {
                block.get("block_id") for block in form.content["blocks"]
            }
            answers = {"prompt": "a wall", "style": [("orange.png", picture())], "frames": "49"}
            await alice.submit(form, answers)
            styled = await clip_below(slack, await alice.wait_for(general, card_of("a wall")))
            await alice.command(general, "/generate")
            form = await alice.wait_for_modal()
            answers = {"prompt": "a gate", "style": [("orange.png", picture())], "frames": "49"}
            await alice.submit(form, answers)
            asked = await clip_below(slack, await alice.wait_for(general, card_of("a gate")))
            for clip in (styled, asked):
                file = tmp_path / "seen.mp4"
                file.write_bytes(clip.files[0].data)
                assert blueness(file) < -20
        finally:
            await bot.close()


async def test_the_picture_of_the_readme_can_be_drawn(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(PACKAGE / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", str(site))
    import before_after

    monkeypatch.setattr(before_after, "_CLIPS", ("test card",))
    monkeypatch.setattr(before_after, "_PICTURES", ("sunset",))
    drawn = await before_after.draw()
    assert (drawn.width, drawn.height) == (2 * 308 + 8, 2 * 177 + 8)
    corner, styled, plain = (drawn.getpixel(at) for at in ((20, 20), (320, 300), (20, 300)))
    assert corner == (255, 255, 255)
    assert styled != plain


@pytest.mark.model
async def test_clips_of_the_worker_come_near_a_picture_and_keep_their_drawing(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(PACKAGE / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", str(site))
    import table

    clips, pictures = list(table.CLIPS)[:2], ["sunset", "sepia"]
    found = [row async for row in table.measurements(clips, pictures)]
    assert len(found) == 4
    for clip, name, measured, _seconds in found:
        assert measured.fall >= 0.6, (clip, name, measured)
        assert measured.structure >= 0.85, (clip, name, measured)
    assert sum(measured.flicker for _, _, measured, _ in found) / 4 < 1.1
