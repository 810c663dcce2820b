"""Requests held against Discord's own machine-readable description, where that is at hand."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT = Path(__file__).parents[3] / "../shared/contracts/discord-openapi.json"

_METHODS = frozenset({"get", "post", "put", "patch", "delete"})


class Contract:
    """Discord's OpenAPI document, or nothing to check against.

    Args:
        document: The parsed document; None refuses nothing.
    """

    def __init__(self, document: dict[str, Any] | None) -> None:
        self._paths = document["paths"] if document else None
        self._registry: Registry[Any] = Registry()
        if document:
            resource = DRAFT202012.create_resource(document)
            self._registry = self._registry.with_resource("urn:discord", resource)
            self._quick = jsonschema_rs.Registry(
                [("urn:discord", document)], draft=jsonschema_rs.Draft202012
            )
        self._validators = functools.cache(self._make_validators)

    @classmethod
    @functools.cache
    def shared(cls) -> Contract:
        """Return the contract beside the project, read once."""
        return cls(json.loads(DOCUMENT.read_text()) if DOCUMENT.exists() else None)

    def __bool__(self) -> bool:
        return self._paths is not None

    def problems(
        self, method: str, template: str, *, query: Mapping[str, str], body: Any
    ) -> list[str]:
        """Return what the document forbids in a request.

        Args:
            method: In upper case.
            template: The path as the document writes it.
            query: As sent.
            body: The JSON document, or `payload_json`; None without one.
        """
        if self._paths is None:
            return []
        operation = self._paths.get(template, {}).get(method.lower())
        if operation is None:
            return [f"{method} {template} is not in the contract"]
        problems = _query_problems(operation, query)
        if "requestBody" not in operation:
            return problems
        if body is None:
            missing = operation["requestBody"].get("required")
            return [*problems, "body missing"] if missing else problems
        error = self._error(method, template, "requestBody", _normalised(body))
        if error is not None:
            where = ".".join(map(str, error.absolute_path)) or "body"
            problems.append(f"{where}: {error.message[:300]}")
        return problems

    def answer_problems(self, method: str, template: str, status: int, body: Any) -> list[str]:
        """Return what the document does not foresee in an answer: faults of ours."""
        if self._paths is None:
            return []
        answers = self._paths.get(template, {}).get(method.lower(), {}).get("responses", {})
        about = answers.get(str(status))
        if about is None:
            return [] if f"{status // 100}XX" in answers else [f"status {status}"]
        if "application/json" not in about.get("content", {}):
            return [] if body is None else ["a body"]
        error = self._error(method, template, f"responses/{status}", body)
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}"] if error else []

    def _error(self, method: str, template: str, part: str, body: Any) -> ValidationError | None:
        quick, thorough = self._validators(method, template, part)
        return None if quick.is_valid(body) else best_match(thorough.iter_errors(body))

    def _make_validators(
        self, method: str, template: str, part: str
    ) -> tuple[jsonschema_rs.Draft202012Validator, Draft202012Validator]:
        """Return one that says in no time that a body is right, and one that says what is wrong."""
        path = quote(template.replace("~", "~0").replace("/", "~1"), safe="~@")
        pointer = f"/paths/{path}/{method.lower()}/{part}/content/application~1json/schema"
        schema = {"$ref": f"urn:discord#{pointer}"}
        return (
            jsonschema_rs.Draft202012Validator(schema, registry=self._quick),
            Draft202012Validator(schema, registry=self._registry),
        )


def _query_problems(operation: dict[str, Any], query: Mapping[str, str]) -> list[str]:
    known = {
        parameter["name"]: parameter["schema"]
        for parameter in operation.get("parameters", [])
        if parameter.get("in") == "query"
    }
    problems = [f"query {name!r} is not in the contract" for name in query if name not in known]
    for name in query.keys() & known.keys():
        least, most = known[name].get("minimum"), known[name].get("maximum")
        if least is not None and most is not None and not least <= float(query[name]) <= most:
            problems.append(f"query {name!r}: {least} to {most}")
    return problems


def _normalised(value: Any) -> Any:
    """Write down equivalent forms that Discord takes the way its document has them."""
    if isinstance(value, list):
        return [_normalised(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _normalised(item) for name, item in value.items() if item is not None}
    for name, item in plain.items():
        if name.endswith("_id") and isinstance(item, int):
            plain[name] = str(item)
    mentions = plain.get("allowed_mentions")
    if isinstance(mentions, dict):
        for name in ("users", "roles"):
            if name in mentions:
                mentions[name] = [str(item) for item in mentions[name]]
    for attachment in plain.get("attachments") or []:
        if isinstance(attachment, dict) and "id" in attachment:
            attachment["id"] = str(attachment["id"])
    return plain
