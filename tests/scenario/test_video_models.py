"""Video models of diffusers in both chats, from /generate to a file, with tiny random weights."""

from __future__ import annotations

import asyncio
import contextlib
import re

import av
import numpy as np
import pytest
from PIL import Image

from bot.app import open_app
from inference.media.provenance import read_recipe
from tests.fakes.both_chats import both_chats
from tests.fakes.discord import LoopbackDiscord
from tests.fakes.discord.entities import File
from tests.scenario.discord_verdict import stem
from tests.scenario.slack_house import card_of, clip_below

pytest.importorskip("diffusers")
from tests.diffusers import tiny_models

pytestmark = [pytest.mark.process, pytest.mark.model, pytest.mark.slow]

SECONDS = 180.0
FILM = "--model film --res 360p --frames 5 --steps 2 --seed 7"
LOUD = "--model loud --res 360p --frames 17 --steps 2 --cfg 1 --seed 7"
LARGE = "--frames 17 --res 480p --model"
WORDS = ("pangolin", "quokka", "axolotl", "narwhal", "red panda", "wombat", "wallaby")
"""Of prompts; none of them may stand in a log."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Entries of the config for tiny models, by name: three of somebody's, two that we know."""
    place = tmp_path_factory.mktemp("models")
    kinds = {"film": "wan-5b", "loud": "ltx2", "words": "mochi"}
    paths = {name: str(tiny_models.saved(kind, place / name)) for name, kind in kinds.items()}
    own = {name: {"engine": "diffusers", "path": path} for name, path in paths.items()}
    return {**own, "wan": {"path": paths["film"]}, "ltx": {"path": paths["loud"]}}


@contextlib.asynccontextmanager
async def bot(directory, discord, slack, token, models):
    sections = {"models": {"installed": list(models), **models}}
    config = both_chats(directory, discord, slack, token, **sections)
    async with open_app(config) as app:
        await discord.bot_ready()
        await slack.connected()
        yield app


@pytest.fixture
async def discord():
    async with LoopbackDiscord() as discord:
        yield discord
        assert discord.violations == []


class Seen:
    """A finished file."""

    def __init__(self, path, data):
        path.write_bytes(data)
        self.recipe = read_recipe(path)
        with av.open(str(path)) as file:
            self.fps = file.streams.video[0].average_rate
            self.rate = file.streams.audio[0].rate if file.streams.audio else None
            frames = [one.to_ndarray(format="rgb24") for one in file.decode(video=0)]
        self.frames = np.stack(frames).astype(int)


def apart(one, other):
    """How far two files are apart: x264 may spend its bits otherwise on the same frames."""
    return np.abs(one.frames - other.frames).mean()


def picture(tmp_path):
    Image.new("RGB", (64, 48), (240, 150, 40)).save(tmp_path / "orange.png")
    data = (tmp_path / "orange.png").read_bytes()
    return File(name="orange.png", data=data, content_type="image/png")


async def test_two_models_in_two_chats(  # noqa: PLR0917 - fixtures
    tmp_path, discord, slack, acme, models, capfd
):
    guild = discord.add_guild("studio")
    general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
    bob = acme.add_user("bob")
    channel = acme.add_channel("general", bob)

    async def on_discord(words, **given):
        card = await alice.slash(general, "generate", prompt=words, **given).response()

        def brought():
            seen = discord.witness.in_channel(card.thread) if card.thread else []
            return next((m for m in seen if stem(m)), None)

        clip = await discord.until(brought, SECONDS, "a clip")
        return Seen(tmp_path / "discord.mp4", clip.files[0].data)

    async def on_slack(words, prompt):
        await bob.command(channel, "/generate", words)
        clip = await clip_below(slack, await bob.wait_for(channel, card_of(prompt), SECONDS))
        return Seen(tmp_path / "slack.mp4", clip.files[0].data)

    async def refused_on_discord(words, **given):
        return (await alice.slash(general, "generate", prompt=words, **given).response()).text

    async with bot(tmp_path / "data", discord, slack, acme.installation.token, models):
        film = await on_discord(f"a pangolin {FILM}")
        assert film.frames.shape == (5, 352, 640, 3)
        assert (film.fps, film.rate) == (24, None)
        assert film.recipe["model"] == "film"

        loud = await on_slack(f"a quokka {LOUD}", "quokka")  # the other model's turn
        assert loud.frames.shape[0] == 17
        assert loud.rate == 48_000
        again = await on_slack(f"a pangolin {FILM}", "pangolin")  # and back, its weights read anew
        assert apart(again, film) < 0.5
        silent = await on_discord(f"a quokka {LOUD} --sound off")
        assert silent.rate is None
        assert silent.frames.shape == loud.frames.shape
        animated = await on_discord(f"a pangolin {FILM}", image=picture(tmp_path))
        assert apart(animated, film) > 0.5

        # Asked for at once in both chats, as the families make them themselves.
        clips = await asyncio.gather(
            on_discord(f"a red panda {LARGE} wan"),
            on_slack(f"a wombat {LARGE} wan", "wombat"),
            on_discord(f"a red panda {LARGE} ltx"),
            on_slack(f"a wallaby {LARGE} ltx", "wallaby"),
        )
        assert [(clip.frames.shape, clip.fps, clip.rate) for clip in clips] == [
            *[((17, 480, 832, 3), 24, None)] * 2,
            *[((17, 448, 768, 3), 24, 48_000)] * 2,
        ]

        # Cancelled in the middle of sampling: the next clip is the same as without.
        long = FILM.replace("--steps 2", "--steps 100").replace("--frames 5", "--frames 121")
        card = await alice.slash(general, "generate", prompt=f"an axolotl {long}").response()
        await discord.until(lambda: re.search(r"[Ss]tep \d+ of 100", card.text), SECONDS, "steps")
        await alice.click(card, "Cancel").response()
        await discord.until(lambda: "Cancelled" in card.text, SECONDS, "cancelled")
        assert apart(await on_discord(f"a pangolin {FILM}"), film) < 0.5

        said = await refused_on_discord(f"a narwhal {FILM.replace('--frames 5', '--frames 7')}")
        assert "5" in said
        assert "9" in said
        only = FILM.replace("film", "words").replace("--frames 5", "--frames 7")
        said = await refused_on_discord(f"a narwhal {only}", image=picture(tmp_path))
        assert "words" in said
        said = await refused_on_discord(
            f"a narwhal {FILM}", image=picture(tmp_path), last=picture(tmp_path)
        )
        assert "last" in said.lower()
        said = await refused_on_discord(f"a narwhal {FILM} --sound off")
        assert "sound" in said
    out, err = capfd.readouterr()
    assert not [word for word in WORDS if word in out + err]
