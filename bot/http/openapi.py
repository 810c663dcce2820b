"""The OpenAPI document: bodies from the models that check them, options from their schema."""

from __future__ import annotations

from typing import Any

from bot.http.images import ImageRequest
from bot.http.moderations import ModerationRequest
from bot.http.videos.idempotency import MAX_KEY
from bot.http.videos.requests import (
    DATA_ADDRESS,
    CreateRequest,
    EditRequest,
    ExtendRequest,
    RemixRequest,
    picture_names,
)
from commands.installation import Installation
from commands.options import COUNT, PROMPT
from commands.schema import Kind, Option
from commands.text.option_texts import option_help

BINARY = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
MAYBE_WHOLE = {"type": ["integer", "null"]}
MAYBE_TEXT = {"type": ["string", "null"]}

_BODIES = (
    CreateRequest,
    RemixRequest,
    EditRequest,
    ExtendRequest,
    ImageRequest,
    ModerationRequest,
)


def document(installation: Installation, locale: str, public_url: str | None) -> dict[str, Any]:
    """Return the description of the API.

    Args:
        installation: Its models and options.
        locale: Of what options say of themselves.
        public_url: Where the API is reached, if that is known.
    """
    schemas: dict[str, Any] = {
        "Options": _with_pictures(installation, locale),
        "Video": _video(),
        "VideoList": _object(
            {
                "object": {"const": "list"},
                "data": {"type": "array", "items": _ref("Video")},
                "first_id": MAYBE_TEXT,
                "last_id": MAYBE_TEXT,
                "has_more": {"type": "boolean"},
            }
        ),
        "Deleted": _object(
            {"id": TEXT, "object": {"const": "video.deleted"}, "deleted": {"type": "boolean"}}
        ),
        "Model": _object(
            {
                "id": TEXT,
                "object": {"const": "model"},
                "created": WHOLE,
                "owned_by": TEXT,
                "rushes": {"type": "object"},
            }
        ),
        "ModelList": _object(
            {"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}}
        ),
        "Images": _object(
            {"created": WHOLE, "data": {"type": "array", "items": {"type": "object"}}}
        ),
        "Moderation": _object(
            {"id": TEXT, "model": TEXT, "results": {"type": "array", "items": {"type": "object"}}}
        ),
        "Error": _error(),
        "Health": {"type": "object", "properties": {"status": TEXT, "reasons": {"type": "object"}}},
    }
    for body in _BODIES:
        schema = body.model_json_schema(
            ref_template="#/components/schemas/{model}", mode="validation"
        )
        schemas |= schema.pop("$defs", {})
        if "rushes" in schema["properties"]:
            # An extension keeps all options of its video.
            fixed = {"type": "object", "additionalProperties": False}
            schema["properties"]["rushes"] = fixed if body is ExtendRequest else _ref("Options")
        schemas[body.__name__] = schema
    for body in (CreateRequest, ImageRequest):
        schemas[body.__name__]["properties"]["model"] = {
            "enum": [model.name for model in installation.offered]
        }
    for name in ("Options", *(body.__name__ for body in _BODIES)):
        _let_be_null(schemas[name])
    create = schemas["CreateRequest"]
    address = {**TEXT, "pattern": DATA_ADDRESS}
    pictures = {"anyOf": [_ref("ImageReference"), address, {"type": "null"}]}
    schemas["CreateForm"] = create | {
        "properties": create["properties"] | {"input_reference": {"anyOf": [BINARY, address]}}
    }
    create["properties"]["input_reference"] = pictures
    schemas.pop("Upload", None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rushes", "version": "1"},
        "servers": [{"url": public_url.rstrip("/") if public_url else "/"}],
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
        "paths": _paths(),
    }


def _let_be_null(body: dict[str, Any]) -> None:
    """Let every field be null that may be absent, which is as good."""
    for name, field in body["properties"].items():
        if name not in body.get("required", []) and {"type": "null"} not in field.get("anyOf", []):
            body["properties"][name] = {"anyOf": [field, {"type": "null"}]}


def options_schema(installation: Installation, locale: str) -> dict[str, Any]:
    """Return the schema of the options that every render takes, for the installed models."""
    properties = {
        option.name: _option(option, installation, locale)
        for option in installation.options.order
        if option not in (PROMPT, COUNT) and option.kind is not Kind.IMAGE
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def picture_schemas(installation: Installation, locale: str) -> dict[str, dict[str, Any]]:
    """Return the schemas of the pictures of effects, by name of the option."""
    known = installation.options
    return {
        name: {**TEXT, "description": option_help(known.by_name[name], locale)}
        for name in sorted(picture_names(known))
    }


def _with_pictures(installation: Installation, locale: str) -> dict[str, Any]:
    """Return the schema of the options that renders take, with the pictures of effects."""
    schema = options_schema(installation, locale)
    for name, picture in picture_schemas(installation, locale).items():
        schema["properties"][name] = {**picture, "pattern": DATA_ADDRESS}
    return schema


def _option(option: Option, installation: Installation, locale: str) -> dict[str, Any]:
    kinds = {Kind.INTEGER: "integer", Kind.NUMBER: "number", Kind.FLAG: "boolean"}
    schema: dict[str, Any] = {"type": kinds.get(option.kind, "string")}
    if option.kind is Kind.MODEL:
        schema["enum"] = [model.name for model in installation.offered]
    elif option.choices:
        schema["enum"] = list(option.choices)
    if option.range is not None:
        schema |= {"minimum": option.range.lowest, "maximum": option.range.highest}
    if option.kind is Kind.TEXT:  # a blank text counts as no text
        schema |= {"minLength": 1, "pattern": r"\S"}
    if option.max_length is not None:
        schema["maxLength"] = option.max_length
    return schema | {"description": option_help(option, locale)}


def _video() -> dict[str, Any]:
    return _object(
        {
            "id": TEXT,
            "object": {"const": "video"},
            "created_at": WHOLE,
            "completed_at": MAYBE_WHOLE,
            "expires_at": MAYBE_WHOLE,
            "model": TEXT,
            "prompt": TEXT,
            "seconds": TEXT,
            "size": TEXT,
            "status": {"enum": ["queued", "in_progress", "completed", "failed"]},
            "progress": WHOLE,
            "error": {"type": ["object", "null"]},
            "remixed_from_video_id": MAYBE_TEXT,
            "rushes": {"type": "object"},
        }
    )


def _error() -> dict[str, Any]:
    inner = _object({"message": TEXT, "type": TEXT, "param": MAYBE_TEXT, "code": TEXT})
    return _object({"error": inner})


def _paths() -> dict[str, Any]:
    video = [{"name": "video", "in": "path", "required": True, "schema": TEXT}]
    key = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_KEY,
                "pattern": "^[!-~]([ -~]*[!-~])?$",
            },
        }
    ]
    page = [
        {"name": "after", "in": "query", "schema": TEXT},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100},
        },
        {"name": "order", "in": "query", "schema": {"enum": ["desc", "asc"]}},
    ]
    variant = {
        "name": "variant",
        "in": "query",
        "schema": {"enum": ["video", "thumbnail", "spritesheet"]},
    }
    files = {kind: {"schema": BINARY} for kind in ("video/mp4", "image/png", "image/jpeg")}
    return {
        "/v1/videos": {
            "post": _operation("Video", parameters=key, body="CreateRequest"),
            "get": _operation("VideoList", parameters=page),
        },
        "/v1/videos/edits": {"post": _operation("Video", parameters=key, body="EditRequest")},
        "/v1/videos/extensions": {
            "post": _operation("Video", parameters=key, body="ExtendRequest")
        },
        "/v1/videos/{video}": {
            "get": _operation("Video", parameters=video),
            "delete": _operation("Deleted", parameters=video),
        },
        "/v1/videos/{video}/remix": {
            "post": _operation("Video", parameters=[*video, *key], body="RemixRequest")
        },
        "/v1/videos/{video}/content": {"get": _operation(files, parameters=[*video, variant])},
        "/v1/videos/{video}/events": {
            "get": _operation({"text/event-stream": {"schema": TEXT}}, parameters=video)
        },
        "/v1/images/generations": {
            "post": _operation("Images", parameters=key, body="ImageRequest")
        },
        "/v1/moderations": {"post": _operation("Moderation", body="ModerationRequest")},
        "/v1/models": {"get": _operation("ModelList")},
        "/v1/models/{model}": {
            "get": _operation(
                "Model",
                parameters=[{"name": "model", "in": "path", "required": True, "schema": TEXT}],
            )
        },
        "/livez": {"get": _operation("Health", opened=True)},
        "/readyz": {"get": _operation("Health", opened=True)},
        "/metrics": {"get": _operation({"text/plain": {"schema": TEXT}}, opened=True)},
    }


def _operation(
    answer: str | dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: str | None = None,
    opened: bool = False,
) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(answer)}} if isinstance(answer, str) else answer
    failed = {"application/json": {"schema": _ref("Error")}}
    operation: dict[str, Any] = {
        "responses": {
            "200": {"description": "Done", "content": content},
            "default": {"description": "Refused", "content": failed},
        }
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        form = _ref("CreateForm" if body == "CreateRequest" else body)
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": _ref(body)},
                "multipart/form-data": {"schema": form},
            },
        }
    return operation | ({"security": []} if opened else {})


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
