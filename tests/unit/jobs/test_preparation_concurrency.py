"""An assistant or a moderator that hangs holds up only those who need it."""

from __future__ import annotations

import asyncio

from inference.jobs.preparation import CHECKS
from inference.jobs.prompt_refinement import QUESTIONS
from tests.fakes.assistant import FakeAssistant
from tests.fakes.moderators import FakeModerator, a_guard


async def until(reached):
    async with asyncio.timeout(180):
        while not reached():  # noqa: ASYNC110 - nobody tells us, so look
            await asyncio.sleep(0.001)


async def test_an_assistant_that_hangs_holds_up_nobody_who_does_not_ask_it(bench):
    bench.assistant = FakeAssistant()
    bench.assistant.gate = asyncio.Event()
    async with bench.open() as core:
        await core.jobs.pause()
        for number in range(QUESTIONS + 4):
            await bench.submit(prompt=f"fox {number}", refine=True)
        await until(lambda: len(bench.assistant.requests) == QUESTIONS)

        await bench.queued()

        assert len(bench.assistant.requests) == QUESTIONS


async def test_moderation_of_images_that_hangs_holds_up_no_words(bench):
    moderator = FakeModerator()
    moderator.gate = asyncio.Event()
    bench.guard = a_guard(pictures=[moderator])
    async with bench.open() as core:
        await core.jobs.pause()
        for _ in range(CHECKS + 4):
            await bench.submit(image="https://cdn.example/cat.gif")
        await until(lambda: len(moderator.pictures) == CHECKS)

        await bench.queued()
