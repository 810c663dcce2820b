"""Forms (modals) of chats: their fields, and the options read from a submitted one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from commands.actions import Action, ButtonId
from commands.installation import Installation
from commands.option_set import OptionSet
from commands.options import ASPECT, NEGATIVE, PROMPT, RESOLUTION
from commands.parsing.flags import (
    ParsedRequest,
    check_no_pictures,
    parse_options,
    render,
    render_options,
)
from commands.parsing.values import accept_offering, label
from commands.refusal import offer_correction
from commands.schema import Kind, Option, Value
from commands.specs.layers import COMMAND, FROM_PRESET
from commands.text.messages import any_of, text
from commands.text.option_texts import field_label
from inference.domain.errors import UserError
from inference.domain.job import RANDOM, TYPED, Job
from inference.domain.untrusted_text import beginning

FLAGS = "flags"
"""Name of the field in which options without a separate field are typed."""

MAX_LENGTH = 3000
"""Characters of a field: Slack takes no more, Discord 4000."""

_WITH_FIELD = (NEGATIVE, RESOLUTION, ASPECT)
_KEPT = {TYPED, COMMAND, RANDOM, FROM_PRESET}
"""Origins of values that an edit keeps; all others are resolved again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A text field."""

    name: str
    label: str
    value: str = ""
    """The initial value."""
    hint: str = ""
    """Shown while it is empty."""
    required: bool = False
    multiline: bool = False
    max_length: int = MAX_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form; five fields at most, the limit of Discord's modals."""

    id: str
    """The id that the platform keeps and sends back; 100 characters at most."""
    title: str
    fields: tuple[Field, ...]
    submit: str
    """On the button that hands it in."""


def edit(
    job: Job, installation: Installation, locale: str, *, action: Action = Action.EDIT
) -> Form:
    """Return the form that shows what a job was made from, to be changed.

    It begins with what the requester wrote; for `Action.REWORD`, with the refined prompt.
    """
    known, shown = installation.options, installation.find_options(job.spec.model).shown
    refined_again = job.spec.refine and action is Action.EDIT
    prompt = job.spec.own_words if refined_again else job.spec.prompt
    flags = {
        option.name: job.spec.value(option.name)
        for option in known.by_name.values()
        if option.flag
        and option.kind is not Kind.IMAGE
        and option not in _WITH_FIELD
        and job.origins.get(option.name) in _KEPT
    }
    negative = job.spec.negative if job.origins.get(NEGATIVE.name) == TYPED else None
    return Form(
        id=ButtonId(action=action, job=job.id).encode(),
        title=text("form.edit", locale),
        fields=(
            Field(
                name=PROMPT.name,
                label=field_label(PROMPT, locale),
                value=_fitting(render(ParsedRequest(prompt=prompt), known)),
                required=True,
                multiline=True,
            ),
            Field(
                name=NEGATIVE.name,
                label=field_label(NEGATIVE, locale),
                value=_fitting(negative or ""),
                multiline=True,
            ),
            _choice(shown[RESOLUTION.name], job.spec.resolution, locale),
            _choice(shown[ASPECT.name], job.spec.aspect, locale),
            Field(
                name=FLAGS,
                label=text("form.flags", locale),
                value=_fitting(render_options(flags, known)),
                hint=text("form.flags_hint", locale),
            ),
        ),
        submit=text("form.submit", locale),
    )


def read_options(values: Mapping[str, str], known: OptionSet) -> dict[str, Value]:
    """Return the options of a submitted form by name; the prompt may still contain flags.

    Raises:
        Refusal: `value.mistyped` or `flag.mistyped`; its changes are of fields.
        UserError: `value.*`, `flag.*`: what is wrong, and with which field.
    """
    with offer_correction(FLAGS):
        asked = parse_options(values.get(FLAGS, ""), known)
    # The images of the job stay; others need the command.
    check_no_pictures(asked, known)
    for option in _WITH_FIELD:
        written = values.get(option.name, "").strip()
        if not written:
            continue
        if option.name in asked:
            raise UserError("flag.repeated", flag=label(option))
        asked[option.name] = accept_offering(known.by_name[option.name], written)
    return {**asked, PROMPT.name: values.get(PROMPT.name, "")}


def _choice(option: Option, value: str, locale: str) -> Field:
    return Field(
        name=option.name,
        label=field_label(option, locale),
        value=str(value),
        hint=any_of(option.choices, locale),
        max_length=20,
    )


def _fitting(value: str) -> str:
    return beginning(value, MAX_LENGTH)
