"""Answers to interactions over HTTP: callbacks, follow-ups, edits by token."""

from __future__ import annotations

import time
from typing import Any

from tests.fakes.discord import payloads
from tests.fakes.discord.api import Api, Call
from tests.fakes.discord.component_rules import check_modal
from tests.fakes.discord.entities import EPHEMERAL, LOADING, Message
from tests.fakes.discord.interactions import (
    AUTOCOMPLETE,
    COMMAND,
    COMPONENT,
    MODAL_SUBMIT,
    Interaction,
    Interactions,
    Modal,
)
from tests.fakes.discord.posting import Form, compose, revise
from tests.fakes.discord.refusals import Refusal
from tests.fakes.discord.world import World

WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"

MESSAGE, DEFER, DEFER_UPDATE, UPDATE, SUGGEST, MODAL = 4, 5, 6, 7, 8, 9

FITTING = {
    COMMAND: {MESSAGE, DEFER, MODAL},
    COMPONENT: {MESSAGE, DEFER, DEFER_UPDATE, UPDATE, MODAL},
    AUTOCOMPLETE: {SUGGEST},
    MODAL_SUBMIT: {MESSAGE, DEFER, DEFER_UPDATE, UPDATE},
}
"""Interaction type -> callback types that can answer it."""

CHAT_COMMAND_MESSAGE, CONTEXT_MENU_MESSAGE = 20, 23


class InteractionRoutes:
    """What a bot may answer."""

    def __init__(self, world: World, interactions: Interactions) -> None:
        self._world = world
        self._interactions = interactions

    def mount(self, api: Api) -> None:
        """Add the routes; a token in the path authorises them."""
        callback = "/interactions/{interaction_id}/{interaction_token}/callback"
        api.route("POST", callback, self._callback, public=True)
        api.route("POST", WEBHOOK, self._follow_up, public=True)
        original, other = WEBHOOK + "/messages/@original", WEBHOOK + "/messages/{message_id}"
        api.route("GET", original, self._get_original, public=True)
        api.route("PATCH", original, self._edit_original, public=True)
        api.route("DELETE", original, self._delete_original, public=True)
        api.route("GET", other, self._get, public=True)
        api.route("PATCH", other, self._edit, public=True)
        api.route("DELETE", other, self._delete, public=True)

    # -- callbacks ---------------------------------------------------------------------------

    def _callback(self, call: Call) -> tuple[int, Any]:
        arrived = time.monotonic()
        interaction = self._interactions.to_answer(
            call.id("interaction_id"), call.path["interaction_token"]
        )
        kind, data = call.body["type"], call.body.get("data") or {}
        if kind not in FITTING[interaction.kind]:
            raise Refusal(50035, problems=[f"type {kind} cannot answer {interaction.what}"])
        if kind in {DEFER_UPDATE, UPDATE} and interaction.message is None:
            raise Refusal(50035, problems=[f"type {kind}: no message to update"])
        self._perform(interaction, kind, Form(body=data, uploads=call.uploads))
        interaction.answer, interaction.answered_at = kind, arrived
        self._world.bell.ring()
        if call.query.get("with_response", "").lower() in {"1", "true"}:
            return 200, self._told(interaction)
        return 204, None

    def _perform(self, interaction: Interaction, kind: int, form: Form) -> None:
        match kind:
            case 4:
                interaction.original = self._post(interaction, form)
            case 5:
                flags = int(form.body.get("flags") or 0) & EPHEMERAL | LOADING
                interaction.original = self._post(interaction, Form(body={"flags": flags}))
            case 6:
                interaction.original = interaction.message
            case 7:
                interaction.original = interaction.message
                assert interaction.message is not None
                self._revise(interaction, interaction.message, form)
            case 8:
                interaction.choices = _suggestions(form.body.get("choices") or [])
            case 9:
                if problems := check_modal(form.body):
                    raise Refusal(50035, problems=problems)
                interaction.modal = Modal(
                    custom_id=form.body["custom_id"],
                    title=form.body["title"],
                    components=form.body["components"],
                )

    def _told(self, interaction: Interaction) -> dict[str, Any]:
        original = interaction.original
        told: dict[str, Any] = {
            "interaction": {
                "id": str(interaction.id),
                "type": interaction.kind,
                "channel_id": str(interaction.channel.id),
            }
        }
        if interaction.channel.guild is not None:
            told["interaction"]["guild_id"] = str(interaction.channel.guild.id)
        if original is not None:
            told["interaction"] |= {
                "response_message_id": str(original.id),
                "response_message_loading": original.loading,
                "response_message_ephemeral": original.visible_to is not None,
            }
        if original is not None and interaction.answer in {MESSAGE, UPDATE}:
            message = payloads.message(self._world, original)
            told["resource"] = {"type": interaction.answer, "message": message}
        return told

    # -- messages of an interaction ----------------------------------------------------------

    def _follow_up(self, call: Call) -> tuple[int, Any]:
        interaction = self._alive(call)
        original = interaction.original
        if interaction.answer == DEFER and original is not None and original.loading:
            self._revise(interaction, original, call.form)
            return 200, payloads.message(self._world, original)
        message = self._post(interaction, call.form)
        interaction.followups.append(message)
        self._world.bell.ring()
        return 200, payloads.message(self._world, message)

    def _get_original(self, call: Call) -> tuple[int, Any]:
        return 200, payloads.message(self._world, self._original(self._alive(call)))

    def _edit_original(self, call: Call) -> tuple[int, Any]:
        interaction = self._alive(call)
        message = self._original(interaction)
        self._revise(interaction, message, call.form)
        return 200, payloads.message(self._world, message)

    def _delete_original(self, call: Call) -> tuple[int, Any]:
        self._world.delete(self._original(self._alive(call)))
        return 204, None

    def _get(self, call: Call) -> tuple[int, Any]:
        return 200, payloads.message(self._world, self._one(call)[1])

    def _edit(self, call: Call) -> tuple[int, Any]:
        interaction, message = self._one(call)
        self._revise(interaction, message, call.form)
        return 200, payloads.message(self._world, message)

    def _delete(self, call: Call) -> tuple[int, Any]:
        self._world.delete(self._one(call)[1])
        return 204, None

    def _alive(self, call: Call) -> Interaction:
        if call.id("webhook_id") != self._world.application_id:
            raise Refusal(10015)
        return self._interactions.alive(call.path["webhook_token"])

    def _original(self, interaction: Interaction) -> Message:
        if interaction.original is None or interaction.original.deleted:
            raise Refusal(10008)
        return interaction.original

    def _one(self, call: Call) -> tuple[Interaction, Message]:
        interaction, message_id = self._alive(call), call.id("message_id")
        for message in (interaction.original, *interaction.followups):
            if message is not None and message.id == message_id and not message.deleted:
                return interaction, message
        raise Refusal(10008)

    def _post(self, interaction: Interaction, form: Form) -> Message:
        world, channel = self._world, interaction.channel
        if channel.deleted:
            raise Refusal(10003)
        hidden = int(form.body.get("flags") or 0) & EPHEMERAL
        kind = 0
        if interaction.kind == COMMAND and interaction.original is None:
            chat = interaction.data["type"] == 1
            kind = CHAT_COMMAND_MESSAGE if chat else CONTEXT_MENU_MESSAGE
        message = compose(
            world,
            channel,
            form,
            author=world.bot,
            upload_bytes=interaction.upload_bytes,
            visible_to=interaction.user if hidden else None,
            kind=kind,
            asked_by=interaction.metadata(),
            interaction_token=interaction.token,
        )
        world.post(message)
        return message

    def _revise(self, interaction: Interaction, message: Message, form: Form) -> None:
        loading = message.loading
        revise(self._world, message, form, upload_bytes=interaction.upload_bytes)
        if loading:
            _ping_now(message)
        self._world.edited(message)


def _ping_now(message: Message) -> None:
    """Notify those whom the message names that just took the place of "thinking…"."""
    if message.visible_to is None:
        message.pings = frozenset(user.id for user in message.mentions if not user.bot)


def _suggestions(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    problems = ["choices: at most 25"] if len(choices) > 25 else []
    problems += [
        "choices: name 1-100, value at most 100 characters"
        for choice in choices
        if not 1 <= len(choice["name"]) <= 100 or len(str(choice["value"])) > 100
    ]
    if problems:
        raise Refusal(50035, problems=problems)
    return choices
