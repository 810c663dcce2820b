"""What the Tab key offers in the chat: commands, flags and their values, from the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from commands.catalog import COMMANDS
from commands.handlers.help import usage
from commands.options import BY_FLAG


class CommandCompleter(Completer):
    """Completes the line up to the cursor."""

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002 - the library's signature
    ) -> Iterable[Completion]:
        """Offer what can stand here."""
        line = document.text_before_cursor
        if line.startswith("/") and (found := list(_starting(line, _commands()))):
            return found
        before, _space, word = line.rpartition(" ")
        if word.startswith("--"):
            return _starting(word, _flags())
        flag = before.rpartition(" ")[2]
        option = BY_FLAG.get(flag.removeprefix("--")) if flag.startswith("--") else None
        return [] if option is None else _starting(word, map(str, option.choices))


def _commands() -> Iterator[str]:
    yield from (command.typed for command in COMMANDS)
    yield from ("/as", "/press", "/quit")


def _flags() -> Iterator[str]:
    for option in BY_FLAG.values():
        yield from usage(option).split("/")


def _starting(typed: str, words: Iterable[str]) -> Iterator[Completion]:
    for word in words:
        if word.startswith(typed) and word != typed:
            yield Completion(word, start_position=-len(typed))
