from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from bot.discord.access import CHANNEL, THREAD, VOICE
from bot.plugin_report import PluginState
from commands.actions import Action
from commands.catalog import built_in_commands
from commands.option_set import OptionSet
from commands.policy.settings import Scope, SettingSet, Topic, ValueShape
from commands.specs import layers
from commands.text import messages
from commands.text.messages import (
    any_of,
    duration,
    error_text,
    format_estimate,
    message_ids,
    ordinal,
    parts,
    text,
)
from commands.text.summary import STAGES
from inference.domain import job
from inference.domain.errors import EngineError, UserError
from inference.domain.job import Failure, JobState
from inference.domain.verdict import Reason
from inference.jobs import prompt_refinement
from inference.jobs.service import CancelOutcome
from tests.fakes.models import MODELS
from tests.fakes.sources import modules

pytestmark = pytest.mark.deep

ORIGINS = (
    layers.BUILT_IN,
    layers.FROM_MODEL,
    layers.CONFIG,
    layers.GUILD,
    layers.CHANNEL,
    layers.USER,
    layers.FROM_PRESET,
    layers.COMMAND,
    layers.CAPPED,
    job.TYPED,
    job.RANDOM,
    job.ASSISTANT,
    job.LANGUAGE,
    job.MEMORY,
    job.DRAFT,
)
"""Names of layers and other origins, as stored with jobs."""

ROOT = Path(__file__).parents[3]
OPTIONS = OptionSet(MODELS.capabilities(name) for name in MODELS.names())
"""Of every model that ships."""
COMMANDS = tuple(built_in_commands(OPTIONS))
SETTINGS = SettingSet(OPTIONS)
RAISED = {
    "UserError",
    "AssistantError",
    "NotFound",
    "Refusal",
    "EngineError",
    "CheckpointError",
    "FolderError",
    "DeliveryError",
    "WorkerLost",
    "StoreError",
    "RushesError",
    "Failure",
}
ASKING = {"text", "parts", "note"}
KEY = re.compile(r"[a-z_]+(\.[a-z_-]+)+")
ADDED = {"EngineError": {"job"}, "WorkerLost": {"job"}}
"""What a card adds to the values of an error that ended a job."""


def raised_codes() -> Iterator[tuple[str, str, set[str] | None]]:
    """Yield place, code and parameter names (None if they are not all literal)."""
    for path, nodes in modules():
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = {word.arg: word.value for word in node.keywords}
            code = node.args[0] if node.args else given.pop("code", None)
            if name not in RAISED or not isinstance(code, ast.Constant):
                continue
            where = f"{path}:{node.lineno}"
            names = None if None in given or name == "Failure" else {*given, *ADDED.get(name, ())}
            yield where, str(code.value), names


def placeholders(key: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(messages.template(key)) if name}


def literals() -> set[str]:
    return {
        node.value
        for _, nodes in modules()
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def codes_of_the_database() -> set[str]:
    """Return the codes in the tables of the diagnosis, and of the errors that are raised."""
    tables, raised = set(), set()
    for path, nodes in modules():
        for node in nodes:
            match node:
                case ast.Constant(value=str(code)) if path.name == "diagnosis.py":
                    tables.add(code)
                case ast.Call(func=ast.Name(id="StoreError"), args=[ast.Constant(value=code), *_]):
                    raised.add(str(code))
    return raised | {code for code in tables if re.fullmatch(r"store\.\w+", code)}


def keys_made_of_data() -> set[str]:
    return {
        *(command.help_key for command in COMMANDS),
        *(option.help_key for command in COMMANDS for option in command.options),
        *(f"label.{item.name}" for item in OPTIONS.order),
        *(f"origin.{origin}" for origin in ORIGINS),
        *(f"button.{action}" for action in Action if action.about_job),
        *("option.more", "discord.option.more"),
        *(f"stage.{stage}" for stage in STAGES),
        *(f"error.{code}" for code in codes_of_the_database()),
        *(f"example.animate.{chat}" for chat in ("any", "terminal", "discord", "slack")),
        *("card.from_draft.image", "card.from_draft.seed"),
        "note.shortened",  # from the engine, with the frames
        "note.no_fp8",  # likewise
        *(f"note.{note}" for note in prompt_refinement.NOTES),
        *(
            f"note.{note}"
            for name in MODELS.names()
            if (note := MODELS.capabilities(name).native_note)
        ),
        *(f"cancel.{outcome}" for outcome in CancelOutcome),
        *(f"reason.{reason}" for reason in Reason),
        *(setting.help_key for setting in SETTINGS.by_key.values()),
        *(f"setting.title.{scope}" for scope in Scope),
        *(f"setting.topic.{topic}" for topic in Topic),
        *(f"setting.shape.{shape}" for shape in ValueShape if shape is not ValueShape.VALUE),
        *(f"state.{state}" for state in JobState),
        *(f"cli.plugins.{state}" for state in PluginState),
        *(f"discord.group.{command.parent}" for command in COMMANDS if command.parent),
        *(f"discord.command.{name}" for command in COMMANDS for name in command.typed[1:].split()),
        *(f"discord.option.{option.name}" for command in COMMANDS for option in command.options),
        *(
            f"choice.{option.name}.{str(choice).replace(' ', '-')}"
            for command in COMMANDS
            for option in command.options
            if option.worded
            for choice in option.choices
        ),
        *(f"discord.permission.{name}" for name in {*CHANNEL, *VOICE, *THREAD}),
        *(f"ordinal.{form}" for form in ("one", "two", "few", "other")),
    }


def test_every_error_that_can_be_raised_has_a_sentence_with_values_that_are_given():
    problems, known = [], message_ids()
    for where, code, names in raised_codes():
        if f"error.{code}" not in known:
            problems.append(f"{where}: no message for {code}")
        elif names is not None and placeholders(f"error.{code}") - names:
            missing = placeholders(f"error.{code}") - names
            problems.append(f"{where}: {code} is raised without {missing}")
    assert problems == []


def test_every_text_that_is_asked_for_is_there_with_its_values():
    problems, known = [], message_ids()
    for path, nodes in modules():
        for node in nodes:
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            key = getattr(node.args[0], "value", None)
            if name not in ASKING or not isinstance(key, str) or not KEY.fullmatch(key):
                continue
            where = f"{path}:{node.lineno}"
            given = {word.arg for word in node.keywords}
            if key not in known:
                problems.append(f"{where}: no message for {key}")
            elif None not in given and placeholders(key) - given:
                problems.append(f"{where}: {key} without {placeholders(key) - given}")
    assert problems == []


def test_every_key_made_of_data_has_a_message():
    assert keys_made_of_data() <= message_ids()


def test_no_message_is_unused():
    used = {f"error.{code}" for _, code, _ in raised_codes()}
    unused = message_ids() - used - keys_made_of_data() - literals()
    assert unused == set()


def test_no_message_is_there_twice():
    path = ROOT / "commands/locales/en/LC_MESSAGES/rushes.po"
    ids = re.findall(r'^msgid "(.+)"$', path.read_text("utf-8"), re.MULTILINE)
    assert sorted(ids) == sorted(set(ids))


def test_people_are_called_by_the_words_of_the_flags():
    """As in --everyone; what both chats show says "here", for neither a server nor a workspace."""
    for key in message_ids():
        english = messages.template(key).lower()
        assert not re.search(r"(every|some|no)body|server or workspace", english), key


@pytest.mark.parametrize("locale", ["en", "ko"])
def test_discord_and_slack_say_the_same_about_the_same(locale):
    reasons = {key.removeprefix("discord.") for key in message_ids() if "discord.why." in key}
    shared = {reason for reason in reasons if f"slack.{reason}" in message_ids()}
    assert shared >= {"why.card_gone", "why.thread_closed", "why.channel_closed"}
    for reason in shared:
        twins = {messages.template(f"{chat}.{reason}", locale) for chat in ("discord", "slack")}
        assert len(twins) == 1, reason


def test_every_message_can_be_filled():
    for key in message_ids():
        for _, name, style, _ in Formatter().parse(messages.template(key)):
            assert name is None or name.isidentifier(), key
            assert not style or style in messages.WRITERS, key


def test_help_fits_into_what_discord_shows():
    for key in message_ids():
        if key.startswith(("option.", "command.")):
            assert len(text(key, "en")) <= 100, key


def test_a_missing_message_is_logged_and_answered_neutrally(every_message_is_there):
    assert text("no.such", "en") == "Something went wrong (no.such). Please tell the operator."
    assert every_message_is_there.pop()["key"] == "no.such"


@pytest.mark.parametrize("locale", ["ko", "ko-KR", "ko_KR.UTF-8", "ko.UTF-8"])
def test_a_language_is_found_however_a_system_writes_it(locale):
    assert text("value.yes", locale) == "예"


@pytest.mark.parametrize("locale", ["en", "en-US", "en_GB", "xx", "", "../../etc", "zh-CN"])
def test_a_language_that_is_not_there_is_answered_in_english(locale):
    assert text("value.yes", locale) == "yes"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "1 s"),
        (47.4, "47 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (180, "3 min"),
        (3599, "1 h"),
        (4800, "1 h 20 min"),
        (7200, "2 h"),
    ],
)
def test_durations_are_in_the_units_of_people(seconds, written):
    assert duration(seconds, "en") == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.2, "about 1 s"),
        (14.3, "about 14 s"),
        (41, "about 40 s"),
        (58, "about 1 min"),
        (170, "about 3 min"),
        (4700, "about 1 h 20 min"),
        (2 * 86400, "about 2 days"),
        (35838.5 * 3600, "about 4 years"),
    ],
)
def test_estimates_do_not_pretend_to_be_exact(seconds, written):
    assert format_estimate(seconds, "en") == written


@pytest.mark.parametrize(
    ("number", "written"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (22, "22nd")],
)
def test_places_in_line_are_ordinals(number, written):
    assert ordinal(number, "en") == written


@pytest.mark.parametrize(
    ("items", "written"),
    [([], ""), (["a"], "a"), (["a", "b"], "a or b"), ([1, 2, 3], "1, 2 or 3")],
)
def test_alternatives_are_listed(items, written):
    assert any_of(items, "en") == written


@pytest.mark.parametrize(("count", "written"), [(1, "1 frame"), (0, "0 frames"), (49, "49 frames")])
def test_plural_forms_follow_the_count(count, written):
    assert text("unit.frames", "en", count=count) == written


def test_values_with_braces_stay_as_they_are():
    assert text("card.title", "en", prompt="{model} %s {0}") == "🎬 {model} %s {0}"


def test_values_that_are_not_text_stay_whole_in_parts():
    instant = object()
    assert instant in parts("card.next", "en", start=3, ready=instant)


def test_an_error_becomes_its_sentence():
    error = UserError("value.not_a_choice", option="--aspect", value="x", legal=["16:9", "1:1"])
    assert error_text(error, "en") == "--aspect cannot be “x”. Choose 16:9 or 1:1."
    assert error_text(Failure(code="disk.full"), "en") == error_text(EngineError("disk.full"), "en")


def test_an_option_is_shown_by_the_word_that_its_setting_has():
    short = "|".join(option.short for option in OPTIONS.by_name.values() if option.short)
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("commands/locales/*/*/*.po")]
    assert short
    assert pages
    for page in pages:
        shown = re.findall(rf"--(?:{short})(?![a-z-]).*", page.read_text(encoding="utf-8"))
        assert page.name == "CHANGELOG.md" or shown == [], page


@pytest.mark.parametrize(
    ("key", "one", "many"),
    [
        ("cli.doctor.summary", "1 warning,", "2 warnings,"),
        ("cli.db.sound", "1 job,", "2 jobs,"),
        ("doctor.database.fine", "1 job,", "2 jobs,"),
        ("doctor.database.rows", "1 row cannot", "2 rows cannot"),
        ("doctor.weights.fine", "1 checkpoint is", "2 checkpoints are"),
        ("doctor.weights.unverified", "1 checkpoint is", "2 checkpoints are"),
    ],
)
def test_one_of_a_thing_is_in_the_singular(key, one, many):
    assert one in text(key, "en", count=1)
    assert many in text(key, "en", count=2)
