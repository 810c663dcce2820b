"""Errors for pydantic's validation errors of request bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from inference.domain.errors import UserError


def _no_switch(value: Any) -> Any:
    """Refuse true and false, which Python takes for numbers."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "no number")
    return value


NO_SWITCH = BeforeValidator(_no_switch)
"""Of a whole number: it is neither true nor false."""


def mistake(found: Mapping[str, Any], model: type[BaseModel]) -> UserError:
    """Return the error for a field that is not as it has to be.

    Args:
        found: What pydantic found.
        model: The body.
    """
    place = [str(part) for part in found["loc"]] or ["body"]
    field, context = ".".join(place[:2]), found.get("ctx", {})
    schema = model.model_json_schema()["properties"].get(place[0], {})
    match found["type"]:
        case "missing":
            return UserError("http.field_missing", field=field)
        case "string_type" | "string_sub_type":
            return UserError("http.not_text", field=field)
        case "string_too_short":
            return UserError("http.text_empty", field=field)
        case "enum" | "literal_error":
            known = schema.get("enum") or [schema.get("const", context.get("expected", ""))]
            return UserError("http.choice", field=field, known=[str(one) for one in known])
        case kind if kind.startswith("int_") or "than_equal" in kind:
            lowest, highest = schema.get("minimum", 0), schema.get("maximum", 0)
            return UserError("http.range", field=field, lowest=lowest, highest=highest)
    return UserError("http.field", field=field)
