"""Arguments of the command line as a typed line, for the one parser there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from commands.options import BY_FLAG
from commands.parsing import quotes
from commands.schema import Kind


def command_text(arguments: Iterable[str]) -> str:
    """Return what the arguments would be in a chat.

    The shell has taken one layer of quotes away: the value of a flag gets it back. All other
    arguments are prompt, in which flags count as they do in a chat.
    """
    return " ".join(_words(iter(arguments)))


def _words(arguments: Iterator[str]) -> Iterator[str]:
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        option = BY_FLAG.get(flag.removeprefix("--")) if flag.startswith("--") else None
        if option is None or option.kind is Kind.FLAG:
            yield argument
        elif equals:
            yield f"{flag}={quotes.quote(value)}"
        else:
            yield flag
            yield from _value(arguments)


def _value(arguments: Iterator[str]) -> Iterator[str]:
    """Yield the next argument in quotes, unless it is a flag: then the value is missing."""
    value = next(arguments, None)
    if value is None:
        return
    if value.startswith("--"):
        yield from _words(iter([value, *arguments]))
    else:
        yield quotes.quote(value)
