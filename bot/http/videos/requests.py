"""Request bodies of the videos resource, validated, and the pictures in them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from bot.http.body import MAX_TEXT, TABLES, Upload, parse_json
from bot.http.error_responses import MAX_PARAM
from bot.http.validation_errors import mistake
from commands.option_set import OptionSet
from commands.options import IMAGE, MAX_PROMPT, PROMPT
from commands.parsing.suggestions import closest
from inference.domain.errors import UserError
from inference.media.results import ImageLimits

BEYOND = 1e18
"""Seconds that no clip has."""

LONGEST = 4 * MAX_PROMPT
"""Characters of a text for the safety checks."""

MAX_INPUTS = 32
"""Texts of one request for the safety checks."""

DATA_ADDRESS = "^data:image/[^,]*;base64,.+"
"""Pattern of an address that has the picture in it."""

_EXAMPLES = {"seconds": "4", "size": "1280x720"}
"""Of fields whose patterns are no help to a reader."""

NEAR = 75.0
"""Similarity in percent from which the one field is named instead of all: programs guess less."""


def _text(value: Any) -> Any:
    """Accept numbers where OpenAI's type is text with a number; refuse those out of all range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{min(max(value, -BEYOND), BEYOND):.9f}"


Prompt = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
Seconds = Annotated[
    str,
    BeforeValidator(_text),
    Field(
        pattern=r"^-?[0-9]{1,99}(\.[0-9]{1,9})?$",
        examples=[_EXAMPLES["seconds"]],
        json_schema_extra={"pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$"},
    ),
]
Size = Annotated[str, Field(pattern=r"^[0-9]{1,5}x[0-9]{1,5}$", examples=[_EXAMPLES["size"]])]
Own = dict[str, str | int | float | bool | InstanceOf[Upload] | None]


class PromptRequest(BaseModel):
    """What every body has that asks for a render."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    prompt: Prompt
    rushes: Own = {}
    """Options of Rushes' own by name, such as `{"camera": "pan left", "seed": 7}`."""


class ImageReference(BaseModel):
    """A reference image inside the request."""

    model_config = ConfigDict(extra="forbid")

    image_url: Annotated[str, Field(json_schema_extra={"pattern": DATA_ADDRESS})]
    """A `data:` address with the bytes; nothing is fetched."""


class CreateRequest(PromptRequest):
    """The body of `POST /v1/videos`."""

    model: str | None = None
    seconds: Seconds | None = None
    size: Size | None = None
    input_reference: Upload | ImageReference | None = None


class RemixRequest(PromptRequest):
    """The body of `POST /v1/videos/{id}/remix`."""


class Reference(BaseModel):
    """The finished video that an edit or an extension starts from; its name is in the OpenAPI."""

    model_config = ConfigDict(extra="forbid")

    id: str


class EditRequest(PromptRequest):
    """The body of `POST /v1/videos/edits`."""

    video: Reference


class ExtendRequest(PromptRequest):
    """The body of `POST /v1/videos/extensions`."""

    video: Reference
    seconds: Seconds


Request = TypeVar("Request", bound=BaseModel)


def parse_request(model: type[Request], fields: Mapping[str, Any]) -> Request:
    """Return the request that fields make.

    Raises:
        UserError: `http.field_unknown`, `prompt.too_long`, `http.video`, `http.reference`,
            `http.object`, `http.scalar`, `http.form`, `http.moderation`, `http.field_large`, or as
            `mistake` returns.
    """
    given = {name: _unwrap(name, value) for name, value in fields.items()}
    _check_lengths(given)
    try:
        # null is as good as absent
        return model.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A name that is written wrong is also missing where it belongs.
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")
        place = [str(part) for part in first["loc"]]
        name = place[0] if place else "body"
        if first["type"] == "extra_forbidden" and len(place) == 1:
            raise unknown_field(name, list(model.model_fields)) from None
        if name == PROMPT.name and first["type"] == "string_too_long":
            length = len(given[name])
            raise UserError("prompt.too_long", limit=MAX_PROMPT, length=length) from None
        if name == "video":
            raise UserError("http.video", field=name) from None
        if name == "input_reference":
            raise UserError("http.reference", field=name) from None
        if name == "rushes":
            code = "http.object" if len(place) == 1 else "http.scalar"
            raise UserError(code, field=".".join(place[:2])) from None
        if (example := _EXAMPLES.get(name)) and first["type"].startswith("string"):
            raise UserError("http.form", field=name, example=example) from None
        if name == "input" and first["type"] != "missing":
            raise UserError("http.moderation", field=name, most=MAX_INPUTS, limit=LONGEST) from None
        raise mistake(first, model) from None


def _check_lengths(fields: Mapping[str, Any]) -> None:
    """Refuse a text that no option has, before time is spent on it; the models limit all others.

    Raises:
        UserError: `http.field_large`.
    """
    rushes = fields.get("rushes")
    texts = {"model": fields.get("model")}
    if isinstance(rushes, dict):
        texts |= {f"rushes.{name}": value for name, value in rushes.items()}
    for name, value in texts.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and value[:5].lower() != "data:":
            raise UserError("http.field_large", field=name, limit=MAX_TEXT)


def unknown_field(name: str, known: Sequence[str], *, within: str = "") -> UserError:
    """Return the error for an unknown field, with the likeliest field or all."""
    field = f"{within}{name}"[:MAX_PARAM]
    if not known:
        return UserError("http.field_none", field=field)
    guess = closest(name[:MAX_PARAM], known, at_least=NEAR)
    return UserError("http.field_unknown", field=field, known=[guess] if guess else list(known))


def _unwrap(name: str, value: Any) -> Any:
    """Read a table that a form holds as JSON."""
    if isinstance(value, str) and name == "rushes":
        try:
            return parse_json(value.encode("utf-8", "surrogatepass"), name)
        except UserError as error:
            if error.code != "http.json":
                raise
            raise UserError("http.object", field=name) from None
    if isinstance(value, str) and name == "input_reference" and value[:5].lower() == "data:":
        return {"image_url": value}
    if isinstance(value, str) and name in TABLES and value[:1] == "{":
        return parse_json(value.encode("utf-8", "surrogatepass"), name)
    return value


def picture_names(known: OptionSet) -> frozenset[str]:
    """Return the names of the options that are pictures, but the first frame's.

    They are the last frame and the pictures of effects.
    """
    return known.pictures - {IMAGE.name}


def pictures_of(rushes: Own, known: OptionSet) -> dict[str, bytes]:
    """Take the pictures out of what is under `rushes`.

    Each is a `data:` address, a file of a form, or null as if it were absent.

    Raises:
        UserError: `http.picture` or `image.too_large`.
    """
    names = picture_names(known) & rushes.keys()
    given = {name: value for name in names if (value := rushes.pop(name)) is not None}
    return {
        name: image_bytes(
            value if isinstance(value, Upload) else ImageReference(image_url=str(value)),
            f"rushes.{name}",
        )
        for name, value in given.items()
    }


def image_bytes(reference: Upload | ImageReference, field: str = "input_reference") -> bytes:
    """Return the bytes of a reference image.

    Raises:
        UserError: `http.reference`, `http.picture` or `image.too_large`.
    """
    limit = ImageLimits().file_bytes
    wrong = UserError("http.picture", field=field)
    if field == "input_reference":
        wrong = UserError("http.reference", field=field)
    if isinstance(reference, Upload):
        data = reference.data
    else:
        head, comma, body = reference.image_url.partition(",")
        head = head.lower()
        if not head.startswith("data:image/") or not head.endswith(";base64") or not comma:
            raise wrong
        try:
            data = base64.b64decode(body, validate=True)
        except ValueError:
            raise wrong from None
    if len(data) > limit:
        raise UserError("image.too_large", field=field, limit_mb=limit // 2**20)
    if not data:
        raise wrong
    return data
