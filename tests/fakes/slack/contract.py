"""Slack's own description of its methods, where a copy lies beside the project."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tests.fakes.slack.model import Json

METHODS = Path(__file__).parents[3] / "../shared/contracts/slack-methods.json"

ALWAYS_ALLOWED = frozenset({"token", "team_id"})
"""slack-bolt names the team in every call of an app with many workspaces."""


class Contract:
    """Checks names of arguments; without a description it finds nothing wrong."""

    def __init__(self, methods: dict[str, Json]) -> None:
        self.methods = methods

    @classmethod
    @cache
    def read(cls, path: Path = METHODS) -> Contract:
        """Read the description once, if it is there."""
        return cls(json.loads(path.read_text()) if path.exists() else {})

    def problems(self, method: str, args: Json, *, as_json: bool) -> list[str]:
        """Return what is wrong with a call, one sentence each."""
        described = self.methods.get(method)
        if described is None:
            return []
        known = described["args"].get("properties", {})
        required = set(described["args"].get("required", ())) - {"token"}
        found = [f"{name} is missing" for name in sorted(required) if args.get(name) in (None, "")]
        found += [
            f"no argument {name}" for name in sorted(args.keys() - known.keys() - ALWAYS_ALLOWED)
        ]
        if as_json and not described.get("json_input_supported"):
            found.append("JSON is not taken")
        return found
