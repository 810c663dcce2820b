from __future__ import annotations

from types import SimpleNamespace

from bot.discord.inbound import modals
from commands.forms import Field, Form

FORM = Form(
    id="v1:edit:7Q2FK9XDAB",
    title="t" * 60,
    fields=(
        Field(name="prompt", label="l" * 60, value="a fox", required=True, multiline=True),
        Field(name="flags", label="Flags", hint="h" * 120, max_length=20),
    ),
    submit="Make it",
)


async def test_a_form_fits_into_a_modal():
    drawn = modals.modal(FORM).to_dict()
    assert drawn["custom_id"] == FORM.id
    assert len(drawn["title"]) == 45
    prompt, flags = (row["components"][0] for row in drawn["components"])
    assert (prompt["custom_id"], prompt["value"], prompt["required"]) == ("prompt", "a fox", True)
    assert len(prompt["label"]) == 45
    assert (len(flags["placeholder"]), flags["max_length"]) == (100, 20)


async def test_a_modal_is_not_kept_in_memory():
    assert modals.modal(FORM).is_finished()


def test_a_submission_is_read_however_its_fields_are_laid_out():
    rows = [
        {"type": 1, "components": [{"type": 4, "custom_id": "prompt", "value": "a fox"}]},
        {"type": 18, "component": {"type": 4, "custom_id": "flags", "value": None}},
    ]
    submission = SimpleNamespace(data={"custom_id": FORM.id, "components": rows})
    assert modals.form_id(submission) == FORM.id
    assert modals.values(submission) == {"prompt": "a fox", "flags": ""}
