"""Discord as people meet it: the real bot against a Discord on loopback."""

from __future__ import annotations

import asyncio
import io

import pytest
from PIL import Image

from tests.fakes.discord import ChannelKind, File, Permission
from tests.scenario.discord_studio import SECONDS, studio

pytestmark = pytest.mark.process

FOX = "a red fox running through snow"


@pytest.fixture
async def place(tmp_path):
    async with studio(tmp_path / "data") as place:
        yield place


def picture() -> File:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(data, "PNG")
    return File(name="fox.png", data=data.getvalue(), content_type="image/png")


async def said(interaction) -> str:
    return (await interaction.response()).text


async def test_a_command_becomes_a_card_then_a_clip_in_its_thread_with_one_ping(place):
    async with place.bot():
        asked = place.alice.slash(place.general, "generate", prompt=f"{FOX} --seed 7", length=None) if False else place.alice.slash(place.general, "generate", prompt=f"{FOX} --seed 7")
        card = await asked.response()
        assert FOX in card.text
        clip = await place.clip(card)
        await place.done(card)
    assert card.thread.name == FOX
    assert card.thread.mention in card.text
    assert place.discord.witness.pings(place.alice.user) == [clip]
    assert clip.files[0].data[4:8] == b"ftyp"
