from __future__ import annotations

import sys

import pytest

from bot.config.sources import load_config
from bot.moderation import BUILT_IN, moderation
from commands.policy.stores import TABLES
from inference.clock import SystemClock
from inference.domain.errors import UserError
from inference.domain.verdict import Outcome, Reason
from inference.safety import pictures
from inference.store.sqlite.database import open_database
from inference.workers.media.process import MediaProcess


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def configured(**safety):
    return load_config(None, overrides={"safety": safety})


async def judged(config, text):
    async with (
        MediaProcess() as media,
        moderation(config, media, SystemClock(), BUILT_IN) as guard,
        open_database(config.bot.data_dir / "test.sqlite3", TABLES) as database,
    ):
        return await guard(database).judge_texts([text], tenant="guild:a", flagged=Outcome.SPOILER)


async def test_the_lists_that_ship_and_the_operators_are_always_there(tmp_path):
    (tmp_path / "data").mkdir()
    config = configured(words=["acme"])

    assert (await judged(config, "a fox")).outcome is Outcome.ALLOW
    assert (await judged(config, "gore")).outcome is Outcome.SPOILER
    assert (await judged(config, "an ACME truck")).reasons == (Reason.HOUSE_WORDS,)


@pytest.mark.parametrize(
    ("safety", "code"),
    [
        ({"openai": True}, "config.safety_no_key"),
        ({"classifier": True}, "config.safety_no_classifier"),
    ],
)
async def test_a_check_that_cannot_work_is_told_at_the_start(monkeypatch, safety, code):
    monkeypatch.setattr(pictures, "PACKAGE", "no_such_package")

    with pytest.raises(UserError, match=code.replace(".", r"\.")):
        await judged(configured(**safety), "a fox")


@pytest.mark.parametrize(
    ("safety", "assistant"),
    [({"api_key": "sk-own"}, {}), ({}, {"api_key": "sk-assistant"})],
)
async def test_the_assistants_key_is_good_enough(safety, assistant):
    overrides = {"safety": {"openai": True, **safety}, "assistant": assistant}

    async with moderation(
        load_config(None, overrides=overrides), MediaProcess(), SystemClock(), BUILT_IN
    ) as guard:
        assert guard


async def test_who_checks_nothing_elsewhere_loads_no_client():
    loaded = set(sys.modules)

    async with moderation(configured(), MediaProcess(), SystemClock(), BUILT_IN):
        assert not {name for name in set(sys.modules) - loaded if name.startswith("openai")}
