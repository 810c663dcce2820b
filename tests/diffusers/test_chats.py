"""Two families through `/generate` on both chats: from typed words to a file below the card."""

import io

import av
import pytest

from bot.app import open_app
from tests.fakes.both_chats import both_chats
from tests.fakes.discord import LoopbackDiscord
from tests.fakes.slack import LoopbackSlack
from tests.scenario.slack_house import declared

pytestmark = [pytest.mark.process, pytest.mark.slow]

SECONDS = 300.0
WORDS = "a red fox --frames 17 --res 480p --model"


def streams(data):
    """Return size, frames, rate and the rate of the sound of a clip."""
    with av.open(io.BytesIO(data)) as clip:
        [video] = clip.streams.video
        sound = clip.streams.audio[0].rate if clip.streams.audio else None
        count = sum(1 for _ in clip.decode(video))
        return video.width, video.height, count, float(video.average_rate), sound


async def test_two_families_in_both_chats(tmp_path, folders):
    models = {
        "wan": {"path": str(folders("wan-5b"))},
        "ltx": {"path": str(folders("ltx2"))},
    }
    async with LoopbackDiscord() as discord, LoopbackSlack(application=declared()) as slack:
        guild = discord.add_guild("studio")
        general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
        team = slack.add_team("acme")
        team.install()
        bob = team.add_user("bob")
        channel = team.add_channel("general", bob)
        token = team.installation.token
        sections = {"models": {"installed": list(models), **models}}
        config = both_chats(tmp_path / "data", discord, slack, token, **sections)
        async with open_app(config):
            await discord.bot_ready()
            await slack.connected()
            cards = [
                await alice.slash(general, "generate", prompt=f"{WORDS} {name}").response()
                for name in models
            ]
            for name in models:
                await bob.command(channel, "/generate", f"{WORDS} {name}")

            def in_discord():
                found = [
                    message.files[0].data
                    for card in cards
                    if card.thread is not None
                    for message in discord.witness.in_channel(card.thread)
                    if message.files
                ]
                return found if len(found) == len(models) else None

            def in_slack():
                found = [
                    reply.files[0]
                    for card in channel.messages
                    for reply in channel.thread(card.ts)
                    if reply.files
                ]
                return found if len(found) == len(models) else None

            clips = await discord.until(in_discord, SECONDS, "clips")
            files = await slack.until(in_slack, SECONDS)
        assert len(files) == len(models)
        assert {streams(clip) for clip in clips} == {
            (832, 480, 17, 24.0, None),
            (768, 448, 17, 24.0, 48_000),
        }
        assert discord.violations == slack.violations == []
