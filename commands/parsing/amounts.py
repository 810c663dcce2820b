"""Amounts of GPU time as people type them: `600`, `10m`, `1.5 hours`, `1시간 30분`, `ann=2h`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal

NO_LIMIT = frozenset({"unlimited", "무제한"})
"""Typed for no limit."""

_UNITS = {
    unit: seconds
    for seconds, units in (
        (1, "s sec secs second seconds 초"),
        (60, "m min mins minute minutes 분"),
        (3600, "h hr hrs hour hours 시간"),
        (86400, "d day days 일"),
    )
    for unit in units.split()
}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_PARTS = re.compile(rf"(?:{_NUMBER}\s*(?:{_UNIT})\s*)+", re.IGNORECASE)
_EACH = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT})", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_AMOUNT = f"(?:{_PARTS.pattern}|[0-9]+|{'|'.join(sorted(NO_LIMIT))})"
_PAIR = re.compile(rf"[^\s,=]*=\s*{_AMOUNT}(?=[\s,]|$)|[^\s,]+", re.IGNORECASE)
_NAME_THEN_AMOUNT = re.compile(rf"(?P<name>[^\s,=]+)\s+(?P<amount>{_AMOUNT})", re.IGNORECASE)
_QUOTES = str.maketrans("", "", "\"“”„'‘’")  # noqa: RUF001 - people type them


def to_seconds(typed: str) -> str:
    """Return an amount with units in whole seconds, rounded up; any other text as it is."""
    text = typed.strip()
    if _WHOLE.fullmatch(text) or not _PARTS.fullmatch(text):
        return text
    found = _EACH.finditer(text)
    # Exact, because 1.1 h would be a second more in binary fractions.
    return str(math.ceil(sum(Decimal(p["number"]) * _UNITS[p["unit"].casefold()] for p in found)))


def split_pairs(typed: str) -> Iterator[tuple[str, str]]:
    """Yield each name with its amount, both as typed; the amount is empty where it is missing.

    `ann=2h, bob=600`, `ann: 2 h` and, of one alone, `ann 2h` are understood.
    """
    text = re.sub(r"\s*=\s*|:\s+", "=", typed.translate(_QUOTES)).strip()
    if alone := _NAME_THEN_AMOUNT.fullmatch(text):
        yield alone["name"], alone["amount"]
        return
    for pair in _PAIR.findall(text):
        name, equals, amount = pair.rpartition("=")
        if not equals:
            name, _, amount = pair.rpartition(":")
            if not re.fullmatch(_AMOUNT, amount, re.IGNORECASE):
                name, amount = pair, ""
        yield name, amount
