"""Handles modals: draws the form of a command from the schema, reads it and answers it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.slack.api.calls import Calls, slack_code
from bot.slack.inbound import modal_fields
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.inbox import InboundRequest
from bot.slack.origin import Origin
from bot.slack.outbound import blocks
from commands.context import Command, CommandSet
from commands.installation import Installation
from commands.text import replies
from commands.text.card import Card, CardKind, plain
from commands.text.messages import text
from inference.domain.errors import DeliveryError

CALLBACK = "rushes:form"
"""Of the form of a command; forms of buttons have other ids."""

GENERATE = "rushes:generate"
"""The shortcut and the button that open the form of /generate from nowhere."""

FORM = re.compile(r"v1:")
"""Of the form of a button."""

MORE = "rushes:more"
"""The button that shows all options."""

CHANNEL = "channel"
"""The field that says where, in a form that was opened from nowhere."""

ACK_SECONDS = 0.25
"""How long Slack is kept waiting for what is wrong with a form; later it is said in the channel."""

TRIGGER_SECONDS = 2.5
"""How long a form may be tried to open: its trigger expires after three seconds."""

RETRY_SECONDS = 0.3

PATIENCE_SECONDS = 2.0
"""For the turn of a form that is redrawn."""


def with_form(commands: CommandSet, typed: str) -> Command | None:
    """Return the command that is typed so, if it has a form."""
    return next((item for item in commands if item.renders and item.typed == typed), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormState:
    """Private metadata of a form, which Slack keeps and sends back."""

    command: str
    channel: str = ""
    """Where the answer goes; empty if the form asks."""
    thread_ts: str | None = None
    image: str | None = None
    """File id of the picture that the form was opened on."""
    everything: bool = False
    """Whether it shows all options."""
    model: str | None = None
    """The model that was chosen in it: it shows what that can do."""


_FORM_STATE = TypeAdapter(FormState)


def draw(
    form_state: FormState, commands: CommandSet, installation: Installation, locale: str
) -> dict[str, Any]:
    """Draw the form of a command as a view."""
    command = commands[f"/{form_state.command}"]
    drawn = [] if form_state.channel else [_where(locale)]
    if form_state.image:
        drawn.append(_note(text("slack.with_image", locale)))
    drawn += modal_fields.draw(
        command,
        installation,
        locale,
        everything=form_state.everything,
        with_image=form_state.image is None,
        model=form_state.model,
    )
    if not form_state.everything:
        drawn.append(_more(locale))
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": _FORM_STATE.dump_json(form_state).decode(),
        "title": blocks.plain_text(command.typed),
        "submit": blocks.plain_text(text("slack.form.submit", locale)),
        "close": blocks.plain_text(text("slack.form.close", locale)),
        "blocks": drawn,
    }


async def open_form(
    origin: Origin,
    deps: Dependencies,
    form_state: FormState,
    *,
    trigger_id: str,
    response_url: str | None = None,
) -> None:
    """Open the form of a command, or answer that it failed."""
    locale = await deps.gateway.locale(origin)
    view = draw(form_state, deps.services.commands, deps.services.installation, locale)
    try:
        await open_view(deps.calls, origin, deps.prefix.view(view), trigger_id=trigger_id)
    except DeliveryError:
        if response_url is None:
            raise
        await deps.answers.respond(response_url, replies.note("slack.no_form", locale))


async def open_view(calls: Calls, origin: Origin, view: dict[str, Any], *, trigger_id: str) -> None:
    """Open a view, if its trigger has not expired.

    Raises:
        DeliveryError: It did not work in that time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TRIGGER_SECONDS
    while True:
        try:
            await calls.call(
                origin.address,
                "views.open",
                patience=max(0.0, deadline - loop.time()),
                trigger_id=trigger_id,
                view=view,
            )
        except DeliveryError as error:
            if slack_code(error) == "exchanged_trigger_id":  # an earlier try worked after all
                return
            wait = max(RETRY_SECONDS, error.retry_after or 0.0)
            if not error.transient or loop.time() + wait > deadline:
                raise
            await asyncio.sleep(wait)
        else:
            return


async def show_all_options(body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Redraw the form of a command with all of its options."""
    await _redraw(body["view"], origin, deps, everything=True)


async def show_model(body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Redraw the form of a command with what the chosen model can do."""
    [action, *_] = body["actions"]
    chosen = modal_fields.value(action)
    await _redraw(body["view"], origin, deps, model=None if chosen is None else str(chosen))


async def _redraw(
    view: Mapping[str, Any], origin: Origin, deps: Dependencies, **changes: Any
) -> None:
    form_state = _form_state(view, deps.services.commands)
    if form_state is not None:
        locale = await deps.gateway.locale(origin)
        await deps.calls.call(
            origin.address,
            "views.update",
            patience=PATIENCE_SECONDS,
            view_id=view["id"],
            hash=view["hash"],
            view=deps.prefix.view(
                draw(
                    replace(form_state, **changes),
                    deps.services.commands,
                    deps.services.installation,
                    locale,
                )
            ),
        )


async def submit_command(
    ack: AsyncAck, body: dict[str, Any], origin: Origin, deps: Dependencies, inbound: InboundRequest
) -> None:
    """Run a command with what was filled into its form."""
    view = body["view"]
    form_state, options = _form_state(view, deps.services.commands), modal_fields.values(view)
    if form_state is None:
        await ack()
        return
    origin = origin.at(form_state.channel or str(options.pop(CHANNEL, "")), form_state.thread_ts)
    command = deps.services.commands[f"/{form_state.command}"]
    if form_state.image:
        options["image"] = form_state.image
    wrong = modal_fields.check(command, options, await deps.gateway.locale(origin))
    if wrong and not inbound.replayed:
        errors = {name: deps.prefix.text(problem) for name, problem in wrong.items()}
        await ack(response_action="errors", errors=errors)
        return
    running = deps.background.start(deps.gateway.run_command(origin, command, options), name="form")
    await _answer(ack, inbound, origin, deps, running)


async def submit_form(
    ack: AsyncAck, body: dict[str, Any], origin: Origin, deps: Dependencies, inbound: InboundRequest
) -> None:
    """Run the submitted form of a button."""
    view = body["view"]
    place = _metadata(view)
    origin = origin.at(str(place.get("channel") or ""), place.get("thread_ts"))
    values = {name: str(value) for name, value in modal_fields.values(view).items()}
    running = deps.background.start(
        deps.gateway.submit(origin, view["callback_id"], values), name="form"
    )
    await _answer(ack, inbound, origin, deps, running)


async def _answer(
    ack: AsyncAck,
    inbound: InboundRequest,
    origin: Origin,
    deps: Dependencies,
    running: asyncio.Task[Card | None],
) -> None:
    """Show an error at its field while the form is open; everything else once it has closed."""
    body = inbound.body
    await asyncio.wait({running}, timeout=ACK_SECONDS)
    card = running.result() if running.done() else None
    if card is not None and card.kind is CardKind.ERROR and not inbound.replayed:
        at = modal_fields.field_of(body["view"], card.option)
        if at is not None:
            await ack(response_action="errors", errors={at: plain(deps.prefix.card(card))})
            return
    [first, *_] = body.get("response_urls") or [{}]
    later = _give(running, origin, deps, first.get("response_url"))
    await inbound.acknowledge(ack, later, name="answer", seconds=0.0)


async def _give(
    running: asyncio.Task[Card | None], origin: Origin, deps: Dependencies, response_url: str | None
) -> None:
    card = await running
    if card is not None:
        await deps.answers.give(origin, card, response_url=response_url)


def _metadata(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that we put into a view; empty if the view is not ours."""
    try:
        kept = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


def _form_state(view: Mapping[str, Any], commands: CommandSet) -> FormState | None:
    """Return the state of a command's form, or None if there is no such form any more."""
    try:
        form_state = _FORM_STATE.validate_json(view.get("private_metadata") or "{}", strict=True)
    except ValidationError:
        return None
    return form_state if with_form(commands, f"/{form_state.command}") else None


def _where(locale: str) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": CHANNEL,
        "label": blocks.plain_text(text("slack.form.channel", locale)),
        "element": {
            "type": "conversations_select",
            "action_id": CHANNEL,
            "default_to_current_conversation": True,
            "response_url_enabled": True,
            "filter": {"include": ["public", "private", "im"], "exclude_bot_users": False},
        },
    }


def _note(sentence: str) -> dict[str, Any]:
    return {"type": "context", "elements": [blocks.plain_text(sentence)]}


def _more(locale: str) -> dict[str, Any]:
    button = {
        "type": "button",
        "action_id": MORE,
        "text": blocks.plain_text(text("slack.form.more", locale)),
    }
    return {"type": "actions", "block_id": MORE, "elements": [button]}
