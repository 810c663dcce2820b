"""The loopback Slack and a bot on it, for attacks over HTTP."""

from __future__ import annotations

from tests.scenario.conftest import (
    acme,
    alice,
    free_port,
    general,
    house,
    make_house,
    patient,
    slack,
)

__all__ = ["acme", "alice", "free_port", "general", "house", "make_house", "patient", "slack"]
