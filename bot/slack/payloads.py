"""Payloads from Slack, over HTTP and Socket Mode: parsed strictly, validated before any use.

Slack sends JSON for events, and forms for everything else. A body that is neither, or lacks what
the listeners read, does not come from Slack: it is refused, and nothing of it is logged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import GenericAlias
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

MAX_FIELDS = 100
"""Of a form."""

MAX_DEPTH = 64
"""Objects and lists inside each other."""

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

Object = dict[str, Any]


class MalformedBody(ValueError):
    """A body that Slack cannot have sent; the argument is a short reason for the log."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message over the socket of Socket Mode."""

    id: str
    """What it is acknowledged by; empty where it has none."""
    type: str
    content: Object
    """All of it."""

    @classmethod
    def read(cls, text: str) -> Envelope:
        """Parse an envelope; `check` validates its payload.

        Raises:
            MalformedBody: It is not one.
        """
        found = _parse(text)
        kind, identity = found.get("type"), found.get("envelope_id")
        if not isinstance(kind, str):
            raise MalformedBody("envelope")
        return cls(id=identity if isinstance(identity, str) else "", type=kind, content=found)

    def check(self) -> None:
        """Validate the payload.

        Raises:
            MalformedBody: Slack cannot have sent it.
        """
        payload = self.content.get("payload")
        if not self.id or not isinstance(payload, dict):
            raise MalformedBody("envelope")
        _check_text(payload)
        match self.type:
            case "events_api":
                _check_event(payload)
            case "interactive":
                _check_interaction(payload)
            case "slash_commands":
                _validate(_COMMAND, payload)
            case _:  # a kind that the app's manifest does not ask for
                raise MalformedBody("envelope")


def check_body(raw: bytes, content_type: str, charset: str | None) -> str:
    """Return the body of an HTTP request as text, once it is validated.

    Raises:
        MalformedBody: Slack cannot have sent it.
    """
    if charset is not None and charset.casefold() not in {"utf-8", "utf8"}:
        raise MalformedBody("charset")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBody("encoding") from None
    if not text:
        raise MalformedBody("empty")
    if content_type == JSON:
        _check_event(_parse(text, stored=True))
    elif content_type == FORM:
        _check_form(text)
    else:
        raise MalformedBody("content_type")
    return text


def response_urls(body: Mapping[str, Any]) -> list[str]:
    """Return every URL that a body asks to be answered at."""
    found = [body, *(body.get("response_urls") or ())]
    return [str(item["response_url"]) for item in found if item.get("response_url")]


# -- parsing ---------------------------------------------------------------------------------


def _parse(text: str, *, stored: bool = False) -> Object:
    """Return a JSON object; where it is `stored`, its text is checked as well."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MalformedBody("json") from None
    if not isinstance(found, dict):
        raise MalformedBody("json")
    if stored:
        _check_text(found)
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _check_form(text: str) -> None:
    try:
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise MalformedBody("form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise MalformedBody("form_repeats")
    _check_text(form)
    match sorted({"payload", "command", "ssl_check"} & set(form)):
        case ["payload"]:
            _check_interaction(_parse(form["payload"], stored=True))
        case ["command"]:
            _validate(_COMMAND, form)
        case ["ssl_check"]:
            return
        case _:
            raise MalformedBody("shape")


def _check_text(found: Mapping[str, Any]) -> None:
    """Refuse text that cannot be stored, and too deep nesting."""
    level: list[Any] = [found]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and ("\0" in item or not _encodes(item)):
                raise MalformedBody("characters")
        if not below:
            return
        level = below
    raise MalformedBody("depth")


def _encodes(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


# -- shapes: the types of what slack-bolt and the listeners read ---------------------------------

_NEEDED = Field(min_length=1)


def _shape(texts: str, /, **others: Any) -> Any:
    """Return a model of a JSON object.

    Args:
        texts: Names of its texts; those with `!` must be there and not be empty.
        others: Types of its other fields, which may be missing; `(type, ...)` may not.
    """
    fields: dict[str, Any] = {
        name.rstrip("!"): (str, _NEEDED) if name.endswith("!") else (str | None, None)
        for name in texts.split()
    }
    for name, kind in others.items():
        fields[name] = kind if isinstance(kind, tuple) else (kind | None, None)
    return create_model("Shape", __config__=ConfigDict(strict=True, extra="ignore"), **fields)


def _list(shape: Any) -> Any:
    return GenericAlias(list, (shape,))


def _dict(shape: Any) -> Any:
    return GenericAlias(dict, (str, shape))


_NAMED = _shape("id! team_id name username")
_FILES = _list(_shape("id! mode mimetype file_access"))
_POST_TEXTS = "user text ts thread_ts team user_team bot_id subtype"
_POST_PARTS = {
    "bot_profile": _shape("team_id"),
    "files": _FILES,
    "attachments": _list(_shape("", files=_FILES)),  # among others, messages that it shares
    "edited": _shape("user ts"),
}
_POST = _shape(_POST_TEXTS, **_POST_PARTS)
"""A message inside an event or an interaction."""

_FIELD = _shape("type value selected_conversation", selected_option=_shape("value!"), files=_FILES)
_STATE = _shape("", values=(_dict(_dict(_FIELD)), ...))
_VIEW_TEXTS = "id! type! private_metadata hash app_installed_team_id"
_BLOCKS = _list(_shape("type block_id"))
_VIEW = _shape(f"{_VIEW_TEXTS} callback_id", state=_STATE, blocks=_BLOCKS)
_FILLED = _shape(f"{_VIEW_TEXTS} callback_id!", state=(_STATE, ...), blocks=_BLOCKS)


def _interaction(texts: str = "", /, **others: Any) -> Any:
    return _shape(
        f"type! callback_id trigger_id response_url {texts}",
        user=(_NAMED, ...),
        team=_NAMED,
        enterprise=_NAMED | str,
        channel=_NAMED,
        message=_POST,
        container=_shape("channel_id thread_ts"),
        response_urls=_list(_shape("response_url")),
        **others,
    )


_INTERACTIONS = {
    "block_actions": _interaction(
        "trigger_id!", view=_VIEW, actions=(_list(_shape("action_id! type")), _NEEDED)
    ),
    "message_action": _interaction("callback_id! trigger_id!"),
    "shortcut": _interaction("callback_id! trigger_id!"),
    "view_closed": _interaction(view=(_VIEW, ...)),
    "view_submission": _interaction(view=(_FILLED, ...)),
}

_COMMAND = _shape(
    "command! user_id! channel_id! trigger_id! response_url! text team_id enterprise_id user_name"
    " channel_name",
    is_enterprise_install=bool | str,
)


def _message_event(texts: str) -> Any:
    return _shape(
        f"type! {_POST_TEXTS} {texts}", **_POST_PARTS, message=_POST, previous_message=_POST
    )


_OTHER_EVENT = _shape("type! user channel channel_id file_id user_id", tokens=Object)
_EVENTS = {
    "app_home_opened": _shape("type! user! channel"),
    "app_mention": _message_event("channel!"),
    "app_uninstalled": _OTHER_EVENT,
    "channel_shared": _OTHER_EVENT,
    "channel_unshared": _OTHER_EVENT,
    "file_shared": _OTHER_EVENT,
    "message": _message_event("channel! channel_type"),
    "tokens_revoked": _OTHER_EVENT,
}
_ANY_EVENT = _shape("type!")
_EVENT = _shape(
    "team_id enterprise_id event_id",
    authorizations=_list(_shape("team_id enterprise_id user_id")),
    event=(_ANY_EVENT, ...),
)


def _check_event(body: Object) -> None:
    match body.get("type"):
        case "event_callback":
            _validate(_EVENT, body)
            _validate(_EVENTS.get(body["event"]["type"], _ANY_EVENT), body["event"])
        case "url_verification":
            _validate(_shape("challenge!"), body)
        case str():  # such as app_rate_limited: no listener takes it
            return
        case _:
            raise MalformedBody("shape")


def _check_interaction(payload: Object) -> None:
    shape = _INTERACTIONS.get(str(payload.get("type")))
    if shape is None:  # a kind that the app's manifest does not ask for
        raise MalformedBody("shape")
    _validate(shape, payload)


def _validate(shape: type[BaseModel], body: Object) -> None:
    try:
        shape.model_validate(body)
    except ValidationError:
        raise MalformedBody("shape") from None
