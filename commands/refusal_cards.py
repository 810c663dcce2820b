"""Refusals as cards with a button for each change that works."""

from __future__ import annotations

from collections.abc import Mapping

from commands.actions import Action, ButtonId
from commands.context import Call
from commands.options import ASPECT, FRAME_COUNT, KEY, MODEL, RESOLUTION, TEXTS
from commands.parsing.values import label
from commands.policy.refused_requests import RefusedRequest
from commands.refusal import Changes, Refusal
from commands.results import AdvisedError
from commands.schema import Value
from commands.text import replies
from commands.text.card import Button, Card
from commands.text.messages import text
from commands.text.summary import join_facts
from inference.domain.errors import UserError


async def make_refusal_card(
    call: Call, asked: str, refusal: Refusal, options: Mapping[str, Value] | None = None
) -> Card:
    """Return the card of a refusal, with a button for each change that makes the request work.

    Args:
        call: Who asked; what they changed already stays changed.
        asked: The command as typed, or the id of the form or button.
        refusal: Why not, and what would work.
        options: What was set in the form, if not `call.options`.
    """
    offers = tuple({**call.changes, **changes} for changes in refusal.offers)
    if not offers:
        return make_error_card(refusal, call)
    request = RefusedRequest(
        asked=asked,
        text=call.text,
        options=call.options if options is None else options,
        offers=offers,
    )
    request_id = await call.policy.refused_requests.save(
        call.channel.tenant, call.caller.id, request
    )
    buttons = tuple(
        Button(
            key=ButtonId(action=Action.CHANGE, job=request_id, choice=number),
            label=_label(changes, refusal, call),
        )
        for number, changes in enumerate(refusal.offers)
    )
    return make_error_card(refusal, call, buttons=buttons)


def make_error_card(error: UserError, call: Call, *, buttons: tuple[Button, ...] = ()) -> Card:
    """Return the card of a refused request, with advice on what would work."""
    advice = None
    if isinstance(error, AdvisedError):
        advice = text(error.advice.key, call.locale, **error.advice.params)
    options = call.installation.options
    return replies.error(error, call.locale, options=options, advice=advice, buttons=buttons)


def _label(changes: Changes, refusal: Refusal, call: Call) -> str:
    by_name = call.installation.options.by_name
    if not changes.keys().isdisjoint(TEXTS):
        return _correction_label(refusal, call)
    left_out = [label(by_name[name]) for name, value in changes.items() if value is None]
    said = [
        _change_label(name, value, call) for name, value in changes.items() if value is not None
    ]
    if left_out:
        said.append(text("offer.without", call.locale, options=" ".join(left_out)))
    return join_facts(said, call.locale)


def _correction_label(refusal: Refusal, call: Call) -> str:
    """Return the one word that a corrected text has instead of a mistyped one."""
    suggestion, flag = str(refusal.params["suggestion"]), refusal.params.get("option")
    if flag is None:
        return suggestion
    option = call.installation.options.typed[str(flag).removeprefix("--")]
    return _change_label(option.name, suggestion, call)


def _change_label(name: str, value: Value, call: Call) -> str:
    locale = call.locale
    match name:
        case MODEL.name:
            return text("offer.model", locale, model=call.installation.model(str(value)).title)
        case FRAME_COUNT.name if value == 1:
            return text("facts.image", locale)
        case FRAME_COUNT.name:
            return text("unit.frames", locale, count=value)
        case RESOLUTION.name | ASPECT.name | KEY.name:
            return str(value)
        case _:
            option = call.installation.options.by_name[name]
            return text("facts.option", locale, name=label(option), value=value)
