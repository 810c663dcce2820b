"""Tab completion in the chat: commands, flags, values, settings, presets, job ids and pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from bot.control.client import Words
from commands.context import Command, CommandSet
from commands.handlers.help import usage
from commands.handlers.presets import NONE
from commands.installation import Installation
from commands.options import JOB, KEY, MODEL, NAME, PRESET, TOPIC
from commands.policy.settings import Scope, SettingSet
from commands.schema import Kind, Option, Permission
from inference.domain.errors import UserError

_MODEL = re.compile(rf"--{MODEL.flag}[\s=]+(?P<name>\S+)")
_VALUE = re.compile(r"--(?P<flag>[^\s=]+)(?:\s+|=)(?P<value>\"[^\"]*|'[^']*|\S*)$")
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".heic", ".heif", ".avif"})


class CommandCompleter(Completer):
    """Completes the line up to the cursor.

    Args:
        commands: All that can be typed.
        installation: Knows the models.
        words: Returns the names that people gave, as they are now.
    """

    def __init__(
        self, commands: CommandSet, installation: Installation, words: Callable[[], Words] = Words
    ) -> None:
        self._installation = installation
        self._known = commands
        self._commands = (*(command.typed for command in commands), "/as", "/press", "/quit")
        self._settings = SettingSet(installation.options).by_key
        self._words = words
        self._paths = PathCompleter(file_filter=_is_shown, expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield completions; options are those of the model that the line names."""
        line = document.text_before_cursor
        if line.startswith("/") and (found := list(_starting(line, self._commands))):
            return found
        word = line.rpartition(" ")[2]
        named = _MODEL.search(document.text)
        shown = self._installation.find_options(named and named["name"]).shown
        if word.startswith("--") and "=" not in word:
            return _starting(word, _flags(shown.values()))
        flagged = _VALUE.search(line)
        option = flagged and self._installation.options.typed.get(flagged["flag"])
        if flagged is None or option is None:
            return _starting(word, self._positional(line))
        if option.kind is Kind.IMAGE:
            return self._pictures(flagged["value"], complete_event)
        return _starting(flagged["value"], self._values(shown.get(option.name)))

    def _values(self, option: Option | None) -> list[str]:
        if option is None:
            return []
        if option.kind is Kind.MODEL:
            return [model.name for model in self._installation.offered]
        if option.name == PRESET.name:
            return [*self._words().presets, NONE]
        return [str(choice) for choice in option.choices]

    def _positional(self, line: str) -> Iterator[str]:
        """Yield completions for arguments without a flag; a prompt has none."""
        try:
            command, rest = self._known.find(line)
        except UserError:
            return
        if command.renders or " " not in line:
            return
        first = not rest or rest == line.rpartition(" ")[2]
        for option in command.options:
            if option.name == JOB.name:
                yield from self._words().jobs
            elif option.name == KEY.name:
                yield from self._keys(command)
            elif option.name == NAME.name:
                yield from (*self._words().presets, NONE)
            elif option.name == TOPIC.name:
                yield from (each.typed.removeprefix("/") for each in self._known)
            elif option.flag is None and first:
                yield from map(str, option.choices)

    def _keys(self, command: Command) -> Iterator[str]:
        own = command.permission is not Permission.ADMIN
        for key, setting in self._settings.items():
            if not own or Scope.USER in setting.scopes:
                yield key

    def _pictures(self, typed: str, event: CompleteEvent) -> Iterator[Completion]:
        """Yield folders and pictures; a path with spaces gets the quotes that it needs."""
        quote = typed[:1] if typed[:1] in {'"', "'"} else ""
        path = typed.removeprefix(quote)
        for found in self._paths.get_completions(Document(path), event):
            whole = path + found.text
            mark = quote or ('"' if " " in whole else "")
            yield Completion(mark + whole, start_position=-len(typed), display=found.display)


def _is_shown(path: str) -> bool:
    return Path(path).suffix.casefold() in _PICTURES or Path(path).is_dir()


def _flags(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        if option.flag is not None:
            yield from usage(option).split("/")


def _starting(typed: str, words: Iterable[str]) -> Iterator[Completion]:
    folded = typed.casefold()
    for word in words:
        if word.casefold().startswith(folded) and word != typed:
            yield Completion(word, start_position=-len(typed))
