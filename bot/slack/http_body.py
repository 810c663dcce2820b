"""Bodies of Slack's HTTP requests: read strictly, and checked before anything acts on them.

Slack sends JSON for events, and forms for all else. What is neither, or lacks what the ways in
need, comes from somebody else and is turned away without a trace of it in the log. The payloads in
the envelopes of Socket Mode are the same (see `envelopes`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_FIELDS = 100
"""Of a form."""

MAX_DEPTH = 64
"""Objects and lists inside each other."""

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

Object = dict[str, Any]
_Text = Annotated[str, Field(min_length=1)]


class MalformedBody(ValueError):
    """A body that Slack cannot have sent; the argument is a short reason for the log."""


def check(raw: bytes, content_type: str, charset: str | None) -> str:
    """Return a body as text if it is one that Slack may have sent.

    Raises:
        MalformedBody: It is not.
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
        check_event(_object(text))
    elif content_type == FORM:
        _check_form(text)
    else:
        raise MalformedBody("content_type")
    return text


# -- reading ---------------------------------------------------------------------------------


def _object(text: str) -> Object:
    found = parse(text)
    check_text(found)
    return found


def parse(text: str) -> Object:
    """Return a JSON object.

    Raises:
        MalformedBody: It is none.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MalformedBody("json") from None
    if not isinstance(found, dict):
        raise MalformedBody("json")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _form(text: str) -> dict[str, str]:
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
    check_text(form)
    return form


def check_text(found: Object | dict[str, str]) -> None:
    """See that there is no text in it which cannot be stored, and no bottomless nesting.

    Raises:
        MalformedBody: There is.
    """
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


# -- shape ---------------------------------------------------------------------------------


class _Shape(BaseModel):
    """Types of what slack-bolt and the ways in read."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Named(_Shape):
    id: _Text
    team_id: str | None = None
    name: str | None = None
    username: str | None = None


class _Container(_Shape):
    channel_id: str | None = None
    thread_ts: str | None = None


class _Edited(_Shape):
    user: str | None = None
    ts: str | None = None


class _Profile(_Shape):
    team_id: str | None = None


class _File(_Shape):
    id: _Text
    mode: str | None = None
    mimetype: str | None = None
    file_access: str | None = None


class _Attachment(_Shape):
    """A message that is shared in another, among other things."""

    files: list[_File] | None = None


class _Post(_Shape):
    """A message inside an event or an interaction."""

    user: str | None = None
    text: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    team: str | None = None
    user_team: str | None = None
    bot_id: str | None = None
    subtype: str | None = None
    bot_profile: _Profile | None = None
    files: list[_File] | None = None
    attachments: list[_Attachment] | None = None
    edited: _Edited | None = None


class _Action(_Shape):
    action_id: _Text
    type: str | None = None


class _Choice(_Shape):
    value: str


class _Value(_Shape):
    """What a field of a form holds."""

    type: str | None = None
    value: str | None = None
    selected_option: _Choice | None = None
    selected_conversation: str | None = None
    files: list[_File] | None = None


class _State(_Shape):
    values: dict[str, dict[str, _Value]]


class _Block(_Shape):
    type: str | None = None
    block_id: str | None = None


class _View(_Shape):
    id: _Text
    type: _Text
    callback_id: str | None = None
    private_metadata: str | None = None
    hash: str | None = None
    app_installed_team_id: str | None = None
    state: _State | None = None
    blocks: list[_Block] | None = None


class _ResponseUrl(_Shape):
    response_url: str | None = None


class _Interaction(_Shape):
    type: _Text
    user: _Named
    team: _Named | None = None
    enterprise: _Named | str | None = None
    channel: _Named | None = None
    message: _Post | None = None
    container: _Container | None = None
    callback_id: str | None = None
    trigger_id: str | None = None
    response_url: str | None = None
    response_urls: list[_ResponseUrl] | None = None


class _Press(_Interaction):
    view: _View | None = None
    actions: Annotated[list[_Action], Field(min_length=1)]
    trigger_id: _Text


class _Filled(_View):
    callback_id: _Text
    state: _State


class _Submission(_Interaction):
    view: _Filled


class _Closing(_Interaction):
    view: _View


class _Shortcut(_Interaction):
    callback_id: _Text
    trigger_id: _Text


_INTERACTIONS: Mapping[str, type[_Interaction]] = {
    "block_actions": _Press,
    "message_action": _Shortcut,
    "shortcut": _Shortcut,
    "view_closed": _Closing,
    "view_submission": _Submission,
}


class Command(_Shape):
    """A slash command; a form has nothing but text anyway."""

    command: _Text
    user_id: _Text
    channel_id: _Text
    trigger_id: _Text
    response_url: _Text
    text: str | None = None
    team_id: str | None = None
    enterprise_id: str | None = None
    is_enterprise_install: str | bool | None = None
    user_name: str | None = None
    channel_name: str | None = None


class _Authorization(_Shape):
    team_id: str | None = None
    enterprise_id: str | None = None
    user_id: str | None = None


class _Told(_Shape):
    type: _Text


class _Heard(_Told):
    """What an event that somebody here takes tells."""

    user: str | None = None
    channel: str | None = None
    channel_id: str | None = None
    file_id: str | None = None
    user_id: str | None = None
    tokens: Object | None = None


class _Spoken(_Post):
    """A mention or a message."""

    channel: str | None = None
    channel_type: str | None = None
    message: _Post | None = None
    previous_message: _Post | None = None


_EVENTS: Mapping[str, type[_Shape]] = {
    "app_home_opened": _Heard,
    "app_mention": _Spoken,
    "app_uninstalled": _Heard,
    "channel_shared": _Heard,
    "channel_unshared": _Heard,
    "file_shared": _Heard,
    "message": _Spoken,
    "tokens_revoked": _Heard,
}


class _Event(_Shape):
    team_id: str | None = None
    enterprise_id: str | None = None
    event_id: str | None = None
    authorizations: list[_Authorization] | None = None
    event: _Told


class _Challenge(_Shape):
    challenge: str


def check_event(body: Object) -> None:
    """See that an event has the shape that Slack gives it.

    Raises:
        MalformedBody: It does not.
    """
    match body.get("type"):
        case "event_callback":
            validate(_Event, body)
            validate(_EVENTS.get(body["event"]["type"], _Told), body["event"])
        case "url_verification":
            validate(_Challenge, body)
        case str():  # such as app_rate_limited: nobody takes it
            return
        case _:
            raise MalformedBody("shape")


def _check_form(text: str) -> None:
    form = _form(text)
    if len({"payload", "command", "ssl_check"} & set(form)) != 1:
        raise MalformedBody("shape")
    if "payload" in form:
        check_interaction(_object(form["payload"]))


def check_interaction(payload: Object) -> None:
    """See that a press, a shortcut or a form has the shape that Slack gives it.

    Raises:
        MalformedBody: It does not.
    """
    shape = _INTERACTIONS.get(str(payload.get("type")))
    if shape is None:  # a kind that the app's manifest does not ask for
        raise MalformedBody("shape")
    validate(shape, payload)


def validate(shape: type[BaseModel], body: Object) -> None:
    """See that a body has a shape.

    Raises:
        MalformedBody: It does not.
    """
    try:
        shape.model_validate(body)
    except ValidationError:
        raise MalformedBody("shape") from None


def response_urls(body: Mapping[str, Any]) -> list[str]:
    """Return every address that a body asks to be answered at."""
    found = [body, *(body.get("response_urls") or ())]
    return [str(item["response_url"]) for item in found if item.get("response_url")]


def lacks(body: Mapping[str, Any]) -> bool:
    """Whether a body of the right types lacks what the ways in cannot do without."""
    if "command" in body:
        return not all(body.get(name) for name in _OF_COMMAND)
    event = body.get("event") or {}
    return not all(event.get(name) for name in _OF_EVENT.get(str(event.get("type")), ()))


_OF_COMMAND = ("command", "user_id", "channel_id", "trigger_id", "response_url")
_OF_EVENT: Mapping[str, tuple[str, ...]] = {
    "app_home_opened": ("user",),
    "app_mention": ("channel",),
    "message": ("channel",),
}
