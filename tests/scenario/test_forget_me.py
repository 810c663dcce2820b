"""/rushes forget-me while something is rendered: the end of it is told, also after a restart."""

from __future__ import annotations

import pytest

from bot.delivery.erasures import ErasureNotices
from commands.policy.erasures import ErasureRequest
from inference.clock import SystemClock
from tests.scenario.discord_studio import SECONDS, installation

DONE = "All your jobs here are deleted now"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
async def test_on_discord_a_direct_message_says_when_it_is_done(tmp_path, restarted):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        alice = place.alice

        def told() -> list[str]:
            return [m.text for m in alice.direct.visible() if DONE in m.text]

        async with place.bot(step_seconds=30.0):  # nobody is too late
            asked = alice.slash(place.general, "generate", prompt="a fox --res 360p --frames 49")
            card = await asked.response()
            await place.discord.until(lambda: "step " in card.text.lower(), SECONDS, "rendering")
            answer = await alice.slash(place.general, "rushes forget-me", confirm="yes").response()
            assert "says when that is done" in answer.text
            assert answer.visible_to is alice.user
            if not restarted:
                await place.discord.until(told, SECONDS, "the end told")
        async with place.bot():
            await place.discord.until(told, SECONDS, "the end told")
            assert len(told()) == 1


async def test_on_slack_it_comes_as_a_direct_message(house, slack, alice, general):
    await alice.command(general, "/image", "a fox")
    await slack.until(lambda: any(message.files for message in general.messages))
    store = house.core.store
    job = [*await store.list_unfinished(), *await store.list_finished(1)][0]
    policy = house.services.policy
    erasure = ErasureRequest(
        tenant=job.tenant,
        person=job.requester,
        platform="slack",
        address=job.address,
        locale="en",
    )
    await policy.erasures.begin(erasure)
    await policy.erasures.mark_erased(erasure.id)
    platforms = {"slack": house.platform}
    notices = ErasureNotices(
        policy=policy, jobs=house.core.jobs, platforms=platforms, clock=SystemClock()
    )
    await notices.tell()
    assert any(DONE in message.text for message in alice.dm.messages)
    assert not any(DONE in message.text for message in general.messages)
