"""/rushes my-data in both chats: the file comes, and only to whoever asked."""

from __future__ import annotations

import json

import pytest

from tests.scenario.discord_studio import eventually, installation


async def test_on_slack_it_comes_as_a_direct_message(house, slack, alice, general):
    await alice.command(general, "/rushes", "my-data")
    await slack.until(lambda: any(message.files for message in alice.dm.messages))
    [file] = [file for message in alice.dm.messages for file in message.files]
    assert json.loads(file.data)["person"]["id"] == alice.id
    assert not any(message.files for message in general.messages)


@pytest.mark.process
async def test_on_discord_only_the_person_sees_it(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        async with place.bot():
            await eventually((place.directory / "discord-commands").exists)
            answer = await place.alice.slash(place.general, "rushes my-data").response()
            assert answer.visible_to is place.alice.user
            [file] = answer.files
            assert file.name == "my-data.json"
            assert json.loads(file.data)["person"]["id"] == str(place.alice.user.id)
