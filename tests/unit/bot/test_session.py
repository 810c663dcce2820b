from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.chat.session import Session
from bot.control.client import Speaker

ANN = Speaker(name="ann", guild="film", admin=True, language="en", directory=Path("/"))
NOT_ADMIN = replace(ANN, name="bob", admin=False)


@pytest.fixture
def session():
    return Session(None, ANN)


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
    assert (await session.hear(line)).accepted
    assert session.speaker == speaker


async def test_who_began_as_admin_is_one_again_and_nobody_else_becomes_one(session):
    for line, admin in (("/as bob", False), ("/as ann", True), ("/as eve fun", False)):
        await session.hear(line)
        assert session.speaker.admin is admin
    member = Session(None, NOT_ADMIN)
    await member.hear("/as ann")
    assert not member.speaker.admin


@pytest.mark.parametrize(
    "line", ["/as", "/as +editors", "/as a b c", "/as a #x #y", "/as a +", "/as !", "/as a #!"]
)
async def test_a_line_without_a_proper_name_changes_nothing(session, line):
    assert not (await session.hear(line)).accepted
    assert session.speaker == ANN
