"""`--count` in Slack: several clips of one request, on one card."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.verdict import Reason
from tests.fakes.executor import FakeSlot
from tests.fakes.moderators import FakeModerator, a_guard
from tests.scenario.slack_house import card_of, written

pytestmark = pytest.mark.deep


class DrawingSlot(FakeSlot):
    """Makes pictures that can be looked at."""

    def write_file(self, **timings):
        manifest = super().write_file(**timings)
        path = self._current[0].directory / "clip.png"
        Image.new("RGB", (64, 36), (200, 0, 0)).save(path)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        return replace(manifest, name=path.name, size=len(data), sha256=digest)


async def test_one_card_has_all_clips_below_it(house, alice, general):
    await alice.command(general, "/generate", "a ball --seed 7 --count 2")
    card = await alice.wait_for(general, card_of("a ball"))
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done' AND number = 2")
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done' AND number = 1")
    made = await house.jobs()

    assert sorted(job.spec.seed for job in made) == [7, 8]
    clips = [message for message in general.thread(card.ts) if message.files]
    assert {file.name for clip in clips for file in clip.files} == {f"{job.id}.mp4" for job in made}
    assert all(clip.pings == {alice.id} for clip in clips)
    assert not [m for m in general.messages if m.files and m not in clips]
    await house.slack.until(lambda: "Open clip 1 ↗> · <" in str(card.blocks))
    assert "Open clip 2 ↗>" in str(card.blocks)


class FirstIsDenied(FakeModerator):
    """Finds something in the first picture that it sees."""

    async def look(self, stills):
        seen = await super().look(stills)
        return frozenset({Reason.GORE}) if len(self.pictures) == 1 else seen


async def test_the_card_says_of_each_how_it_ended(make_house, alice, general):
    executor = DrawingSlot(automatic=True)
    executor.script.append(EngineError("worker.out_of_memory"))
    guard = a_guard(pictures=[FirstIsDenied()])
    async with make_house(executor=executor, guard=guard).open() as house:
        await alice.command(general, "/image", "a ball --seed 7 --count 4")
        card = await alice.wait_for(general, card_of("a ball"))
        labels = lambda: [button["text"]["text"] for button in card.buttons]  # noqa: E731
        await house.slack.until(lambda: "Reroll 3" in labels())
        lines = [line for line in card.words.splitlines() if " · seed " in line]
        assert "does not fit into the GPU's memory" in lines[0]
        assert "violence" in lines[1]
        assert [label for label in labels() if label.startswith(("Reroll", "Try"))] == [
            "Reroll 3",
            "Reroll 4",
            "Try again 1",
            "Try again 2",
        ]
        told = lambda: [m for m in general.thread(card) if m.pings]  # noqa: E731
        await house.slack.until(lambda: len(told()) == 4)
        files = lambda: [m.files[0].name for m in general.thread(card) if m.files]  # noqa: E731
        await house.slack.until(lambda: len(files()) == 3)
        made = [f"{job.id}.png" for job in await house.jobs() if job.number > 2]
        sheet = f"{card.metadata['event_payload']['job']}-sheet.jpg"
        assert sorted(files()) == sorted([*made, sheet])
        await house.core.jobs.forget(tenant=(await house.jobs())[0].tenant, requester_id=alice.id)
        assert await house.jobs() == []


async def test_the_form_has_the_number(house, alice, general):
    await alice.command(general, "/generate")
    form = await alice.wait_for_modal()
    await alice.submit(form, {"prompt": "a ball", "count": "3"})
    assert len(await house.jobs()) == 3


async def test_stills_are_on_one_sheet_which_the_card_shows(make_house, alice, general):
    async with make_house(executor=DrawingSlot(automatic=True)).open() as house:
        await alice.command(general, "/image", "a ball --seed 7 --count 3")
        card = await alice.wait_for(general, card_of("a ball"))
        brought = lambda: [m for m in general.thread(card) if m.files]  # noqa: E731
        await house.slack.until(lambda: len(brought()) == 4)
        [sheet] = [m for m in brought() if m.files[0].name.endswith("-sheet.jpg")]
        pictures = lambda: [b for b in card.blocks if b["type"] == "image"]  # noqa: E731
        file = sheet.files[0]
        await house.slack.until(lambda: pictures() and pictures()[0]["slack_file"]["id"] == file.id)
        labels = [button["text"]["text"] for button in card.buttons]
        assert [label for label in labels if "Reroll" in label] == [
            "Reroll 1",
            "Reroll 2",
            "Reroll 3",
        ]
        assert "2 · seed 8" in sheet.words
        assert [m for m in brought() if "*2 · " in m.words]
        assert not sheet.pings

        second = next(job for job in await house.jobs() if job.number == 2)
        assert await house.core.jobs.remove(second.id, tenant=second.tenant)
        await house.slack.until(lambda: file.deleted)
        await house.slack.until(lambda: "deleted" in card.words)
        left = lambda: [m for m in brought() if not m.files[0].deleted]  # noqa: E731
        await house.slack.until(lambda: len(left()) == 3)
        [sheet] = [m for m in left() if m.files[0].name.endswith("-sheet.jpg")]
        assert ("1 · seed 7" in sheet.words, "2 · seed 8" in sheet.words) == (True, False)
        shown = sheet.files[0]
        await house.slack.until(lambda: pictures()[0]["slack_file"]["id"] == shown.id)

        first = next(job for job in await house.jobs() if job.number == 1)
        assert await house.core.jobs.remove(first.id, tenant=first.tenant)
        await house.slack.until(lambda: len(left()) == 1)
        assert "*3 · " in left()[0].words
