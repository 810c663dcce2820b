"""Converts arguments of the command line to the text of a chat command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from commands.option_set import OptionSet
from commands.parsing import quotes
from commands.schema import Kind


def command_text(arguments: Iterable[str], options: OptionSet) -> str:
    """Return the arguments as the text of a chat command.

    The shell has taken one layer of quotes away: the value of a flag gets it back. All other
    arguments are prompt, in which flags count as they do in a chat.
    """
    return " ".join(_words(iter(arguments), options))


def _words(arguments: Iterator[str], options: OptionSet) -> Iterator[str]:
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        option = options.typed.get(flag.removeprefix("--")) if flag.startswith("--") else None
        if option is None or option.kind is Kind.FLAG:
            yield argument
        elif equals:
            yield f"{flag}={quotes.add_quotation_marks(value)}"
        else:
            yield flag
            yield from _value(arguments, options)


def _value(arguments: Iterator[str], options: OptionSet) -> Iterator[str]:
    """Yield the next argument in quotes, unless it is a flag: then the value is missing."""
    value = next(arguments, None)
    if value is None:
        return
    if value.startswith("--"):
        yield from _words(iter([value, *arguments]), options)
    else:
        yield quotes.add_quotation_marks(value)
