from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.chat.session import Session
from bot.control.client import Answer, JobReport, Speaker
from commands.actions import Action, ButtonId
from commands.text.card import Button, Card, CardKind, Confirm, plain
from commands.text.job_buttons import confirmation
from commands.text.replies import error, note
from inference.domain.errors import UserError

ANN = Speaker(name="ann", guild="film", admin=True, language="en", directory=Path("/"))
NOT_ADMIN = replace(ANN, name="bob", admin=False)


@pytest.fixture
def session():
    return Session(None, ANN)


class Pressed:
    """Notes which buttons were pressed."""

    def __init__(self):
        self.ids = []
        self.refusal = None

    async def confirm(self, button_id, speaker):
        if self.refusal is not None:
            return Answer(card=error(self.refusal, "en"), accepted=False)
        return Answer(card=confirmation(ButtonId.decode(button_id).job, "en"), accepted=True)

    async def command(self, line, speaker, key):
        self.ids.append(line)
        return Answer(card=note("chat.idle", "en"), accepted=True)

    async def press(self, button_id, speaker, key):
        self.ids.append(button_id)
        return Answer(card=note("chat.idle", "en"), accepted=True)


def a_card(job, *actions):
    buttons = tuple(
        Button(
            key=ButtonId(action=action, job=job),
            label=action,
            confirm=Confirm(title="", text="", yes="", no="") if action is Action.DELETE else None,
        )
        for action in actions
    )
    return Card(kind=CardKind.DONE, buttons=buttons)


@pytest.fixture
def client():
    return Pressed()


async def test_a_number_stays_with_its_card_when_another_one_comes_in(client):
    session = Session(client, ANN)
    assert session.number_buttons(a_card("first", Action.CANCEL, Action.EDIT)) == 1
    assert session.number_buttons(a_card("second", Action.REROLL)) == 3
    for number in ("1", "/press 3", "#2"):
        await session.handle(number)
    assert client.ids == ["v1:cancel:first", "v1:reroll:second", "v1:edit:first"]
    assert not (await session.handle("4")).accepted


@pytest.mark.parametrize("said", ["help", "hello", "안녕"])
async def test_a_greeting_is_answered_with_help(client, said):
    assert (await Session(client, ANN).handle(said)).accepted
    assert client.ids == ["/rushes help"]


async def test_delete_asks_before_it_deletes(client):
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.REROLL, Action.DELETE))
    asked = (await session.handle("2")).card
    assert client.ids == []
    number = session.number_buttons(asked)
    assert "Delete" in asked.title
    await session.handle(str(number))
    assert client.ids == ["v1:delete:first"]


async def test_delete_is_not_asked_where_there_is_nothing_to_delete(client):
    client.refusal = UserError("job.nothing_to_remove", job="first")
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.DELETE))
    for _ in range(2):
        outcome = await session.handle("1")
        assert not outcome.accepted
        assert "nothing left" in plain(outcome.card)
    assert client.ids == []


async def test_a_server_that_cannot_ask_is_asked_for(client):
    client.confirm = lost_question
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.DELETE))
    assert "Delete" in (await session.handle("1")).card.title
    await session.handle("1")
    assert client.ids == ["v1:delete:first"]


async def lost_question(button_id, speaker):
    raise UserError("control.lost")


async def test_delete_pressed_again_says_yes_and_after_anything_else_asks_again(client):
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.REROLL, Action.DELETE))
    session.number_buttons((await session.handle("2")).card)
    await session.handle("1")
    session.number_buttons((await session.handle("2")).card)
    assert client.ids == ["v1:reroll:first"]
    await session.handle("2")
    assert client.ids == ["v1:reroll:first", "v1:delete:first"]


async def test_delete_of_one_clip_says_yes_to_no_other(client):
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.DELETE))
    session.number_buttons(a_card("second", Action.DELETE))
    await session.handle("1")
    await session.handle("2")
    assert client.ids == []


async def test_a_yes_that_got_lost_on_its_way_is_sent_again(client):
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.DELETE))
    await session.handle("1")
    press, client.press = client.press, lost
    with pytest.raises(UserError):
        await session.handle("1", key="k")
    client.press = press
    await session.handle("1", key="k")
    assert client.ids == ["v1:delete:first"]


async def lost(button_id, speaker, key):
    raise UserError("control.lost")


async def test_another_speaker_begins_with_number_one(client):
    session = Session(client, ANN)
    session.number_buttons(a_card("first", Action.CANCEL))
    await session.handle("/as bob")
    assert session.number_buttons(a_card("second", Action.CANCEL)) == 1


@pytest.mark.parametrize(
    ("line", "speaker"),
    [
        ("/as bob", NOT_ADMIN),
        ("/as ann", ANN),
        ("/as bob fun", replace(NOT_ADMIN, guild="fun")),
        ("/as bob +editors +staff", replace(NOT_ADMIN, roles=("editors", "staff"))),
        (
            "/as bob fun #dailies +editors",
            replace(NOT_ADMIN, guild="fun", channel="dailies", roles=("editors",)),
        ),
        ("/as #dailies ann", replace(ANN, channel="dailies")),
    ],
)
async def test_somebody_else_speaks_with_their_own_rights(session, line, speaker):
    assert (await session.handle(line)).accepted
    assert session.speaker == speaker


async def test_who_began_as_admin_is_one_again_and_nobody_else_becomes_one(session):
    for line, admin in (("/as bob", False), ("/as ann", True), ("/as eve fun", False)):
        await session.handle(line)
        assert session.speaker.admin is admin
    member = Session(None, NOT_ADMIN)
    await member.handle("/as ann")
    assert not member.speaker.admin


@pytest.mark.parametrize(
    "line", ["/as", "/as +editors", "/as a b c", "/as a #x #y", "/as a +", "/as !", "/as a #!"]
)
async def test_a_line_without_a_proper_name_changes_nothing(session, line):
    assert not (await session.handle(line)).accepted
    assert session.speaker == ANN


class Refusing:
    """Accepts every command; its jobs come to an end before they are in the queue."""

    def __init__(self, kind):
        self.kind = kind

    async def command(self, line, speaker, key):
        return Answer(card=Card(kind=CardKind.WAITING, job="first"), accepted=True)

    async def past_preparing(self, job_id, speaker):
        card = Card(kind=self.kind, job=job_id)
        return JobReport(id=job_id, state="", settled=False, card=card, result=None)


@pytest.mark.parametrize("kind", [CardKind.FAILED, CardKind.WAITING])
async def test_of_a_job_that_is_refused_at_once_a_message_tells_alone(kind):
    outcome = await Session(Refusing(kind), ANN).handle("/animate it rolls --image notes.txt")
    assert outcome.posted == (kind is CardKind.FAILED)
    assert outcome.unfinished == ("first",)
