"""Replies to the caller alone: an error with what would work, or one sentence."""

from __future__ import annotations

from typing import Any

from commands.option_set import OptionSet
from commands.options import IMAGE, PROMPT
from commands.text.card import Button, Card, CardKind
from commands.text.messages import member_text, text
from inference.domain.errors import RushesError


def error(
    problem: RushesError,
    locale: str,
    *,
    options: OptionSet | None = None,
    advice: str | None = None,
    buttons: tuple[Button, ...] = (),
) -> Card:
    """Return an error as a private card.

    Args:
        problem: What is wrong.
        locale: Language of the reader.
        options: Which there are here, where it may be about one of them.
        advice: What would work.
        buttons: The same, to be pressed.
    """
    lines = [member_text(problem, locale), *([] if advice is None else [advice])]
    return Card(
        kind=CardKind.ERROR,
        lines=tuple((line,) for line in lines),
        buttons=buttons,
        private=True,
        option=option_of(problem, options),
    )


def option_of(problem: RushesError, options: OptionSet | None) -> str:
    """Return the name of the option that an error is about, or nothing."""
    family = problem.code.partition(".")[0]
    if family in {PROMPT.name, IMAGE.name}:
        return family
    named = problem.params.get("option") or problem.params.get("flag") or ""
    word = str(named).removeprefix("--")
    option = None if options is None else options.by_flag.get(word) or options.by_name.get(word)
    return option.name if option else ""


def note(key: str, locale: str, /, *, buttons: tuple[Button, ...] = (), **params: Any) -> Card:
    """Return one sentence as a private card."""
    line = (text(key, locale, **params),)
    return Card(kind=CardKind.INFO, lines=(line,), buttons=buttons, private=True)
