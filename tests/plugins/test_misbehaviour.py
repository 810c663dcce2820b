"""Plugins that load well and fail in use: each is named in the log, and everything else goes on."""

from __future__ import annotations

import asyncio
import re

import pytest
from structlog.testing import capture_logs

from bot.plugins import guards
from bot.testing import open_terminal
from commands.text.card import plain
from tests.fakes import packages

pytestmark = [pytest.mark.process, pytest.mark.slow]

BAD = """
    import asyncio, contextlib
    from inference.domain.errors import AssistantError, UserError
    from inference.safety.base import Moderators

    class Own(BaseException):
        pass

    async def trouble(kind):
        if kind == "raise":
            raise RuntimeError("secret" + " words")
        if kind == "exit":
            raise SystemExit(3)
        if kind == "cancel":
            raise asyncio.CancelledError
        if kind == "hang":
            await asyncio.Event().wait()
        return {"none": None, "number": 3, "words": ["violence"], "text": "violence"}[kind]

    class Bad:
        name = "bad"

        def __init__(self, kind):
            self.kind = kind

        async def read(self, texts, tenant):
            return await trouble(self.kind)

        async def look(self, stills):
            return await trouble(self.kind)

        async def refine(self, request):
            return await trouble(self.kind)

    def moderators(kind):
        @contextlib.asynccontextmanager
        async def made(config, media):
            yield Moderators(texts=(Bad(kind),), pictures=(Bad(kind),))
        return made

    def assistants(kind):
        @contextlib.asynccontextmanager
        async def made(config):
            yield Bad(kind)
        return made

    for kind in ("raise", "exit", "cancel", "hang", "none", "number", "words", "text"):
        globals()[f"judge_{kind}"] = moderators(kind)
        globals()[f"advise_{kind}"] = assistants(kind)

    def entering(trouble_at_start, value=None):
        @contextlib.asynccontextmanager
        async def made(*arguments):
            await trouble_at_start()
            yield value
        return made

    async def hang():
        await asyncio.Event().wait()

    async def refuse():
        raise UserError("config.no_token")

    async def nothing():
        pass

    @contextlib.asynccontextmanager
    async def leaves_badly(*arguments):
        yield Moderators()
        raise RuntimeError("secret" + " words")

    @contextlib.asynccontextmanager
    async def never_leaves(*arguments):
        yield Moderators()
        await hang()

    hangs, refuses = entering(hang), entering(refuse)
    wrong, empty = entering(nothing, 3), entering(nothing, Moderators(texts=(3,)))
"""

LOUD = """
    import asyncio
    from commands.context import Command
    from commands.text.card import Card, CardKind

    async def exits(call):
        raise SystemExit(3)

    async def cancels(call):
        raise asyncio.CancelledError

    async def hangs(call):
        await asyncio.Event().wait()

    async def nothing(call):
        return None

    async def words(call):
        return "hello"

    def plain(call):
        return Card(kind=CardKind.INFO, lines=(("plain",),))

    async def dances(call):
        return Card(kind=CardKind.INFO, lines=(("dances",),))

    def commands(options):
        for made in (exits, cancels, hangs, nothing, words, plain, dances):
            yield Command(name=made.__name__, handler=made, texts={"en": "Does something."})
"""

KINDS = ("raise", "exit", "cancel", "hang", "none", "number", "words", "text")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Wait for what hangs as long as a test likes to wait."""
    for name in ("ANSWER_SECONDS", "OPEN_SECONDS", "CLOSE_SECONDS", "HANDLER_SECONDS"):
        monkeypatch.setattr(guards, name, 0.5)


@pytest.fixture
def bad(place):
    packages.make(
        place,
        "bad",
        BAD,
        moderators={
            **{f"judge-{kind}": f"judge_{kind}" for kind in KINDS},
            **{name: name for name in ("hangs", "refuses", "wrong", "empty")},
            **{name: name for name in ("leaves_badly", "never_leaves")},
        },
        assistants={
            **{f"advise-{kind}": f"advise_{kind}" for kind in KINDS if kind != "text"},
            **{name: name for name in ("hangs", "refuses", "wrong")},
        },
    )


def named(logs, event, **fields):
    """Return whether something was logged about a plugin."""
    return any(
        entry["event"] == event
        and fields.items() <= entry.items()
        and "secret words" not in str(entry)
        for entry in logs
    )


@pytest.mark.cases(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("closed", [False, True])
async def test_a_moderator_that_fails_is_one_that_could_not_be_asked(kind, closed, bad, tmp_path):
    safety = {"moderators": [f"judge-{kind}"], "fail_closed": closed}
    with capture_logs() as logs:
        async with open_terminal(tmp_path, config={"safety": safety}) as terminal:
            await terminal.say("/generate a red fox --frames 1")
            if closed:
                with pytest.raises(AssertionError, match="job is"):
                    await terminal.next_file()
            else:
                assert (await terminal.next_file()).stat().st_size
    assert named(logs, "plugin.failed", group="rushes.moderators", plugin=f"judge-{kind}")
    assert named(logs, "safety.unchecked", moderator="bad")


@pytest.mark.cases(2)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "text"])
async def test_an_assistant_that_fails_leaves_people_their_own_words(kind, bad, tmp_path):
    config = {"assistant": {"engine": f"advise-{kind}"}}
    with capture_logs() as logs:
        async with open_terminal(tmp_path, config=config) as terminal:
            await terminal.say("/generate a red fox --frames 1 --refine")
            assert (await terminal.next_file()).stat().st_size
    assert named(logs, "plugin.failed", group="rushes.assistants", plugin=f"advise-{kind}")


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["hangs", "refuses", "wrong", "empty"])
async def test_moderators_that_cannot_be_made_are_named_and_replaced(name, bad, tmp_path):
    async with open_terminal(tmp_path, config={"safety": {"moderators": [name]}}) as terminal:
        await terminal.say("/generate a red fox --frames 1")
        assert (await terminal.next_file()).stat().st_size
        assert f"plugin.rushes.moderators.{name}" in terminal.app.services.health.problems


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["hangs", "refuses", "wrong"])
async def test_an_assistant_that_cannot_be_made_is_named_and_replaced(name, bad, tmp_path):
    config = {"assistant": {"engine": name}}
    async with open_terminal(tmp_path, config=config) as terminal:
        await terminal.say("/generate a red fox --frames 1 --refine")
        assert (await terminal.next_file()).stat().st_size
        assert f"plugin.rushes.assistants.{name}" in terminal.app.services.health.problems


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["leaves_badly", "never_leaves"])
async def test_a_stop_does_not_fail_or_wait_with_a_plugin(name, bad, tmp_path):
    with capture_logs() as logs:
        async with asyncio.timeout(180):
            async with open_terminal(tmp_path, config={"safety": {"moderators": [name]}}):
                pass
    assert named(logs, "plugin.failed", group="rushes.moderators", plugin=name)


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["exits", "cancels", "hangs", "nothing", "words", "plain"])
async def test_a_handler_that_fails_answers_with_a_reference_and_all_else_works(
    name, place, tmp_path
):
    packages.make(place, "loud", LOUD, commands={"loud": "commands"})
    with capture_logs() as logs:
        async with open_terminal(tmp_path) as terminal:
            said = plain(await terminal.say(f"/{name}"))
            assert re.search(r"\b[0-9a-f]{8}\b", said), said
            assert plain(await terminal.say("/dances")) == "dances"
    assert named(logs, "plugin.failed", package="loud", command=f"/{name}")


async def test_a_person_who_gives_up_cancels_a_handler(place, tmp_path):
    packages.make(place, "loud", LOUD, commands={"loud": "commands"})
    async with open_terminal(tmp_path) as terminal:
        asked = asyncio.create_task(terminal.say("/hangs"))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
