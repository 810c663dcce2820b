"""The clock of `bot.testing`, where the tests of this repository look for it."""

from __future__ import annotations

from bot.testing import NOON, ManualClock

__all__ = ["NOON", "ManualClock"]
