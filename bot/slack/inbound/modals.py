"""The form of a command: drawn from the schema, read back, and answered where it was filled in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.api.calls import Calls, slack_code
from bot.slack.background import BackgroundTasks
from bot.slack.inbound import idempotency, modal_fields
from bot.slack.inbound.answers import Answers, is_outbox_card
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.installations import Installation
from bot.slack.origin import Origin, of_interaction
from commands.catalog import COMMANDS
from commands.command import Command
from commands.installation import Studio
from commands.options import PROMPT, RESOLUTION
from commands.schema import Value
from commands.text import cards
from commands.text.card import Card, CardKind, plain
from commands.text.messages import text
from inference.domain.errors import DeliveryError

CALLBACK = "rushes:form"
"""Of the form of a command; forms of buttons have ids of their own."""

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
"""How long a form may be tried to open: what opens it is good for three seconds."""

RETRY_SECONDS = 0.3

PATIENCE_SECONDS = 2.0
"""For the turn of a form that is redrawn."""

_FORMS = {
    f"/{command.name}": command
    for command in COMMANDS
    if command.parent is None and {PROMPT, RESOLUTION} <= set(command.options)
}


def command_with_form(typed_name: str) -> Command | None:
    """Return the command that has a form, if it is one."""
    return _FORMS.get(typed_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a form knows besides its fields; Slack keeps it and sends it back."""

    command: str
    channel: str = ""
    """Where the answer goes; empty if the form asks."""
    thread_ts: str | None = None
    image: str | None = None
    """File id of the picture that the form was opened on."""
    everything: bool = False
    """Whether it shows all options."""

    def as_json(self) -> str:
        """Return what `Draft(**json.loads(…))` takes back."""
        return json.dumps(asdict(self))


_DRAFT = TypeAdapter(Draft)


def draw(draft: Draft, studio: Studio, locale: str) -> dict[str, Any]:
    """Draw the form of a command as a view."""
    command = _FORMS[f"/{draft.command}"]
    drawn = [] if draft.channel else [_where(locale)]
    if draft.image:
        drawn.append(_note(text("slack.with_image", locale)))
    drawn += modal_fields.draw(
        command, studio, locale, everything=draft.everything, with_image=draft.image is None
    )
    if not draft.everything:
        drawn.append(_more(locale))
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": draft.as_json(),
        "title": _plain(command.typed),
        "submit": _plain(text("slack.form.submit", locale)),
        "close": _plain(text("slack.form.close", locale)),
        "blocks": drawn,
    }


class Modals:
    """Opens forms and answers them."""

    def __init__(
        self,
        gateway: CommandGateway,
        answers: Answers,
        calls: Calls,
        background: BackgroundTasks,
        studio: Studio,
    ) -> None:
        self._gateway = gateway
        self._answers = answers
        self._calls = calls
        self._background = background
        self._studio = studio

    def register(self, app: AsyncApp) -> None:
        """Listen to forms, of commands and of buttons."""
        app.view(CALLBACK)(self._submitted)
        app.view(FORM)(self._edited)
        app.action(MORE)(self._widened)

    async def open(
        self, origin: Origin, draft: Draft, *, trigger_id: str, response_url: str | None = None
    ) -> None:
        """Open the form of a command, or say that it did not work."""
        locale = await self._gateway.locale(origin)
        try:
            await self.show(origin, draw(draft, self._studio, locale), trigger_id=trigger_id)
        except DeliveryError:
            if response_url is None:
                raise
            await self._answers.respond(response_url, cards.note("slack.no_form", locale))

    async def show(self, origin: Origin, view: dict[str, Any], *, trigger_id: str) -> None:
        """Open a view, for as long as its trigger is good.

        Raises:
            DeliveryError: It did not work in that time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TRIGGER_SECONDS
        while True:
            try:
                await self._calls.call(
                    origin.address,
                    "views.open",
                    patience=max(0.0, deadline - loop.time()),
                    trigger_id=trigger_id,
                    view=view,
                )
            except DeliveryError as error:
                if slack_code(error) == "exchanged_trigger_id":  # it worked, unheard of
                    return
                wait = max(RETRY_SECONDS, error.retry_after or 0.0)
                if not error.transient or loop.time() + wait > deadline:
                    raise
                await asyncio.sleep(wait)
            else:
                return

    async def _widened(
        self,
        ack: AsyncAck,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
    ) -> None:
        await ack()
        view = body["view"]
        origin = of_interaction(body, context, installation)
        draft = _draft(view)
        if draft is None:
            return
        drawn = draw(
            replace(draft, everything=True), self._studio, await self._gateway.locale(origin)
        )
        updating = self._calls.call(
            origin.address,
            "views.update",
            patience=PATIENCE_SECONDS,
            view_id=view["id"],
            hash=view["hash"],
            view=drawn,
        )
        self._background.start(updating, name="update")

    async def _submitted(
        self,
        ack: AsyncAck,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
    ) -> None:
        view = body["view"]
        draft, written = _draft(view), modal_fields.values(view)
        if draft is None:
            await ack()
            return
        channel = draft.channel or str(written.pop(CHANNEL, ""))
        origin = of_interaction(body, context, installation).at(channel, draft.thread_ts)
        command = _FORMS[f"/{draft.command}"]
        options: dict[str, Value] = dict(written)
        if draft.image:
            options["image"] = draft.image
        locale = await self._gateway.locale(origin)
        if wrong := modal_fields.check(command, options, locale):
            await ack(response_action="errors", errors=wrong)
            return
        answering = self._background.start(
            self._gateway.command(
                origin, command, options, key=idempotency.of_view(body, installation.workspace)
            ),
            name="form",
        )
        await self._answer(ack, body, origin, answering)

    async def _edited(
        self,
        ack: AsyncAck,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
    ) -> None:
        view = body["view"]
        place = _metadata(view)
        origin = of_interaction(body, context, installation).at(
            str(place.get("channel") or ""), place.get("thread_ts")
        )
        values = {name: str(value) for name, value in modal_fields.values(view).items()}
        answering = self._background.start(
            self._gateway.submit(
                origin,
                view["callback_id"],
                values,
                key=idempotency.of_view(body, installation.workspace),
            ),
            name="form",
        )
        await self._answer(ack, body, origin, answering)

    async def _answer(
        self,
        ack: AsyncAck,
        body: Mapping[str, Any],
        origin: Origin,
        answering: asyncio.Task[Card | None],
    ) -> None:
        """Say what is wrong where it was written; all else once the form has closed."""
        await asyncio.wait({answering}, timeout=ACK_SECONDS)
        card = answering.result() if answering.done() else None
        if card is not None and card.kind is CardKind.ERROR:
            at = modal_fields.field_of(body["view"], card.option)
            if at is not None:
                await ack(response_action="errors", errors={at: plain(card)})
                return
        await ack()
        urls = body.get("response_urls") or [{}]
        later = self._give(answering, origin, urls[0].get("response_url"))
        self._background.start(later, name="answer")

    async def _give(
        self, answering: asyncio.Task[Card | None], origin: Origin, response_url: str | None
    ) -> None:
        card = await answering
        if card is not None and not is_outbox_card(card):
            await self._answers.give(origin, card, response_url=response_url)


def _metadata(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return what we gave a view to keep; nothing if it is not ours."""
    try:
        kept = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


def _draft(view: Mapping[str, Any]) -> Draft | None:
    """Return what a form of a command knows; None if it is none that there is now."""
    try:
        draft = _DRAFT.validate_json(view.get("private_metadata") or "{}", strict=True)
    except ValidationError:
        return None
    return draft if f"/{draft.command}" in _FORMS else None


def _where(locale: str) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": CHANNEL,
        "label": _plain(text("slack.form.channel", locale)),
        "element": {
            "type": "conversations_select",
            "action_id": CHANNEL,
            "default_to_current_conversation": True,
            "response_url_enabled": True,
            "filter": {"include": ["public", "private", "im"], "exclude_bot_users": False},
        },
    }


def _note(sentence: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_plain(sentence)]}


def _more(locale: str) -> dict[str, Any]:
    button = {
        "type": "button",
        "action_id": MORE,
        "text": _plain(text("slack.form.more", locale)),
    }
    return {"type": "actions", "block_id": MORE, "elements": [button]}


def _plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words, "emoji": True}
