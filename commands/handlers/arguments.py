"""Parses the arguments of commands that take no prompt: `set channels film --channel`.

A form has taken the options apart already. In a typed line, those without a flag stand in order,
and the last of them takes the rest; those with one may stand anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from commands.context import Call
from commands.parsing.values import accept, label, shorten
from commands.schema import Kind, Option, Value
from inference.domain.errors import UserError

_WORD = re.compile(r"\S+")

OWN_HELP = "…"
"""Stands for the help of the command that is run, which `run` names."""


def read_arguments(call: Call, options: Iterable[Option]) -> dict[str, Value]:
    """Return the checked values that were given, by option name.

    Raises:
        UserError: `value.*`, `command.incomplete` or `flag.unknown`.
    """
    known = tuple(options)
    given = dict(call.options) if call.options else _read_typed(call.text, known)
    values: dict[str, Value] = {}
    for option in known:
        if option.name in given and given[option.name] != "":
            values[option.name] = accept(option, given[option.name])
        elif option.required:
            raise incomplete_error(option)
    return values


def incomplete_error(*missing: Option, after: str = "") -> UserError:
    """Return the error for a command whose last words are missing; `run` adds the command.

    Args:
        missing: What should follow.
        after: The words that it follows, if there are any.
    """
    words = [after, *(f"<{option.name}>" for option in missing)]
    return UserError("command.incomplete", command="…", words=" ".join(filter(None, words)))


def _read_typed(text: str, options: tuple[Option, ...]) -> dict[str, Value]:
    flags = {f"--{option.flag}": option for option in options if option.flag is not None}
    in_order = [option for option in options if option.flag is None]
    given: dict[str, Value] = {}
    words = iter(text.split())
    plain: list[str] = []
    for word in words:
        option = flags.get(word.casefold())
        if option is None and word.startswith("--"):
            raise UserError("flag.unknown", flag=shorten(word), help=OWN_HELP)
        if option is None:
            plain.append(word)
        elif option.kind is Kind.FLAG:
            given[option.name] = True
        else:
            given[option.name] = next(words, "")
            if not given[option.name]:
                raise UserError("value.missing", option=label(option))
    for index, option in enumerate(in_order):
        last = index == len(in_order) - 1
        taken, plain = (plain, []) if last else (plain[:1], plain[1:])
        given[option.name] = " ".join(taken)
    if plain:
        raise UserError("command.too_many_words", words=" ".join(plain))
    return given
