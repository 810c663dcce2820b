from __future__ import annotations

from types import SimpleNamespace

import pytest

from bot.http.api_command_names import HTTP, MCP
from bot.http.error_responses import MAX_PARAM, error_json, retry_seconds
from bot.http.videos import actions
from commands.installation import Installation
from commands.text.messages import error_text, text
from inference.domain.errors import NotFound, UserError
from inference.domain.job import JobState
from inference.domain.untrusted_text import isolate
from inference.engines.built_in import TESTCARD
from tests.fakes.orders import a_job

MODEL = TESTCARD.capabilities
KNOWN = Installation(models=(MODEL,), default_model=MODEL.name).options


@pytest.mark.parametrize(
    ("error", "http", "mcp"),
    [
        (NotFound("job.unknown", job="X"), "GET /v1/videos", "queue"),
        (UserError("queue.full_user", limit=2), "DELETE /v1/videos/{id}", "cancel"),
        (
            UserError("flag.unknown", flag="--aspct", help="/rushes help generate"),
            "/openapi.json",
            "tools/list",
        ),
        (UserError("prompt.empty"), '{"prompt": ', '{"prompt": '),
        (UserError("value.not_whole", option="--seed", value="x"), "rushes.seed", "seed"),
        (
            UserError("value.out_of_range", option="--res", value="x", lowest=1, highest=2),
            "rushes.resolution",
            "resolution",
        ),
        (UserError("model.no_animation", model="A", able=["B"]), "model", "model"),
        (UserError("preset.unknown", name="dusk"), "dusk", "dusk"),
        (UserError("option.no_assistant"), "rushes.refine", "refine"),
    ],
)
@pytest.mark.parametrize("locale", ["en", "ko"])
def test_a_refusal_names_what_a_program_can_send(error, http, mcp, locale):
    for words, said in ((HTTP, http), (MCP, mcp)):
        message = error_json(error, locale, options=KNOWN, names=words)["message"]
        assert said in message
        assert "--aspct" in message or "--" not in message
        assert "/generate" not in message
        assert "/rushes" not in message
        assert "/refine" not in message


def test_what_people_wrote_stays():
    assert HTTP.say(isolate("a fox on /generate --seed 7"), KNOWN) == isolate(
        "a fox on /generate --seed 7"
    )


@pytest.mark.parametrize(
    ("code", "param"),
    [
        ("prompt.empty", "prompt"),
        ("prompt.too_long", "prompt"),
        ("model.no_negative", "rushes.negative"),
        ("model.unknown", "model"),
    ],
)
def test_a_refusal_names_the_field_that_it_is_about(code, param):
    error = UserError(code, model="A", limit=2000, length=3000, name="a", known=["b"], example="c")
    assert error_json(error, "en", options=KNOWN)["param"] == param


def test_a_long_name_of_a_field_is_cut():
    body = error_json(UserError("http.field_unknown", field="x" * 100_000, known=["a"]), "en")
    assert len(body["param"]) == MAX_PARAM
    assert len(body["message"]) < 2 * MAX_PARAM


@pytest.mark.parametrize("locale", ["en", "ko"])
def test_nobody_is_sent_to_a_button(locale):
    error = UserError("extend.gone", job="X")
    assert "Reroll" in error_text(error, "en")
    assert error_json(error, locale)["message"] == text("api.extend_gone", locale, job="X")


@pytest.mark.parametrize(
    ("state", "code", "retry"),
    [
        (JobState.RUNNING, "http.not_finished", 5),
        (JobState.FAILED, "http.not_made", None),
        (JobState.CANCELLED, "http.not_made", None),
    ],
)
async def test_only_what_may_still_be_made_is_asked_for_again(state, code, retry):
    job = a_job(state=state)

    async def found(_):
        return job

    with pytest.raises(UserError) as caught:
        await actions.find_finished(SimpleNamespace(job=found), "7Q2FK9XDAB")
    assert (caught.value.code, retry_seconds(caught.value, None)) == (code, retry)


@pytest.mark.parametrize("code", ["queue.stopping", "queue.draining"])
def test_who_is_told_to_wait_a_minute_waits_one(code):
    assert retry_seconds(UserError(code), None) == 60
