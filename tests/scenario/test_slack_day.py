import io
import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.fakes.slack import LoopbackSlack
from tests.fakes.slack.model import File
from tests.scenario.slack_day import Plan, live
from tests.scenario.slack_verdict import Asked, judge

JOB = "7Q2FK9XDTB"


@pytest.mark.slow
@pytest.mark.process
async def test_a_bad_morning_on_slack_loses_and_repeats_nothing(tmp_path):
    verdict = await live(Plan.short(), tmp_path)
    assert not verdict.problems
    assert verdict.accepted == verdict.delivered > 20


class Office:
    """One job of one person, brought as it should be."""

    def __init__(self, slack):
        self.slack = slack
        self.team = slack.add_team("acme")
        self.team.install()
        self.alice = self.team.add_user("alice")
        self.general = self.team.add_channel("general", self.alice)
        self.asked = Asked(
            by=self.alice, how="command", words="fox0001a", channel=self.general, at=0.0
        )
        self.card = self.show_card()
        self.clip = self.show_clip()
        self.show_buttons()

    def post(self, **message):
        installation = self.team.installation
        return self.slack.world.post(
            message.pop("channel", self.general),
            user=installation.bot.id,
            team=message.pop("team", self.team.team),
            bot_id=installation.bot_id,
            **message,
        )

    def show_card(self, job=JOB):
        payload = {"job": job, "kind": "card"}
        metadata = {"event_type": "rushes_job", "event_payload": payload}
        return self.post(text="fox0001a runs", metadata=metadata)

    def show_clip(self, job=JOB, **message):
        data, info = io.BytesIO(), PngInfo()
        info.add_text("comment", json.dumps({"job": job}))
        Image.new("RGB", (8, 8)).save(data, "PNG", pnginfo=info)
        file = File(
            id=self.slack.world.identity("F"),
            name="fox.png",
            team=self.team.team,
            user="",
            length=len(data.getvalue()),
            data=data.getvalue(),
        )
        where = {"thread_ts": self.card.ts, "text": f"{self.alice.mention} here it is"}
        return self.post(files=[file], **(where | message))

    def show_buttons(self, **message):
        text = {"type": "plain_text", "text": "Info"}
        button = {"type": "button", "action_id": f"v1:info:{JOB}", "text": text}
        blocks = [{"type": "actions", "elements": [button]}]
        where = {"thread_ts": self.card.ts, "text": "still", "blocks": blocks}
        return self.post(**(where | message))

    def problems(self):
        return judge(self.slack, [self.asked]).problems


@pytest.fixture
async def office():
    async with LoopbackSlack() as slack:
        office = Office(slack)
        assert not office.problems()
        yield office


def lose(office):
    office.clip.deleted = True


def elsewhere(office):
    office.clip.thread_ts = None


def stranger(office):
    office.clip.team = office.slack.add_team("other").team


WRONGS = {
    "0 clips": lose,
    "2 clips": Office.show_clip,
    "not in the thread": elsewhere,
    "the token of other": stranger,
    "pings too many": lambda office: office.show_buttons(text=office.alice.mention, blocks=[]),
    "2 of 1 jobs": lambda office: office.show_card("ANOTHERJOB"),
    "nobody asked for": lambda office: office.show_clip("ANOTHERJOB"),
    "violation": lambda office: office.slack.world.violate("something"),
    "0 of 1 jobs": lambda office: setattr(office.card, "deleted", True),
}


@pytest.mark.parametrize("problem", WRONGS)
async def test_a_verdict_sees_what_is_wrong(office, problem):
    WRONGS[problem](office)
    assert problem in " ".join(office.problems())
