"""Typed text to prompt and options, and back: `a red fox --ar 16:9 --camera pan left`.

Flags may stand anywhere. A value follows after a space or `=`; choices of two words need no quotes,
because the legal values are known. The text of `--no` runs to the next flag unless it is quoted.
What stands in double quotes is prompt, whatever it looks like, and so is what follows a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from commands.options import BY_FLAG, BY_NAME, MAX_PROMPT
from commands.parsing import quotes
from commands.parsing.suggestions import ALMOST_SURE, closest
from commands.parsing.values import accept, fold, label, not_a_choice, shown
from commands.schema import Kind, Option, Value
from inference.domain.errors import UserError
from inference.text import clean_words, is_blank

MAX_TYPED = 8 * MAX_PROMPT
"""Characters that are looked at: prompt and texts with every character escaped, and to spare."""

_NO = "no-"
_SWITCHED_OFF = {_NO + flag: option for flag, option in BY_FLAG.items() if option.kind is Kind.FLAG}
_NAMED = {name: option for name, option in BY_NAME.items() if option.flag is not None}
_FLAGS = {**_NAMED, **BY_FLAG, **_SWITCHED_OFF}
"""An option has the name that forms and settings show (`--aspect`), and a short one (`--ar`)."""

_FLAG = re.compile(rf"(--|[{quotes.DASHES[1:]}]{{1,2}})(?P<name>[^\W\d_][^\s={quotes.DOUBLE}]*)")
_SEPARATOR = re.compile(r"\s*=?\s*")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What a line says: the prompt, and the options set in it by name."""

    prompt: str
    options: dict[str, Value] = field(default_factory=dict)


def parse(text: str) -> Typed:
    """Read a typed line.

    The text is cleaned (`inference.text`), and runs of spaces in the prompt count as one.

    Raises:
        UserError: `flag.*`, `value.*` or `prompt.*`.
    """
    pieces, options = _read(text)
    return Typed(prompt=_checked_prompt(pieces), options=options)


def parse_options(text: str) -> dict[str, Value]:
    """Read a typed line of flags alone, such as `--ar 16:9 --camera pan left`.

    Raises:
        UserError: `flag.*` or `value.*`; `command.too_many_words` for anything that is no flag.
    """
    pieces, options = _read(text)
    if pieces:
        raise UserError("command.too_many_words", words=shown(" ".join(pieces)))
    return options


def _read(text: str) -> tuple[list[str], dict[str, Value]]:
    """Return the words of the prompt, and the options by name."""
    text = clean_words(text)
    if len(text) > MAX_TYPED:
        raise UserError("prompt.too_long", limit=MAX_PROMPT, length=len(text))
    reader = _Reader(text)
    pieces: list[str] = []
    options: dict[str, Value] = {}
    while reader.skip_space():
        flag = reader.read_flag()
        if flag is None:
            pieces.append(reader.read_piece())
            continue
        option = _option(flag)
        if option.name in options:
            raise UserError("flag.repeated", flag=label(option))
        options[option.name] = reader.read_value(option, flag)
    return pieces, options


def render_options(options: Mapping[str, Value]) -> str:
    """Write flags that `parse_options` reads as `options`."""
    return " ".join(_written_flag(BY_NAME[name], value) for name, value in options.items())


def render(typed: Typed) -> str:
    """Write a line that `parse` reads as `typed`: the prompt first, then the flags."""
    flags = [_written_flag(BY_NAME[name], value) for name, value in typed.options.items()]
    line = " ".join([typed.prompt, *flags])
    try:
        if parse(line) == typed:
            return line
    except UserError:
        pass
    return " ".join([quotes.escape(typed.prompt), *flags])


class _Reader:
    """Moves through a line from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._unclosed: set[str] = set()
        """Marks that nothing closes from here on; looking again would make long lines slow."""

    def skip_space(self) -> bool:
        """Move to the next word and return whether there is one."""
        word = _WORD.search(self._text, self._position)
        self._position = word.start() if word else len(self._text)
        return word is not None

    def read_flag(self) -> str | None:
        """Read the name of the flag that begins here, if one does."""
        flag = _flag_at(self._text, self._position)
        if flag is None:
            return None
        self._position = flag.end()
        return flag["name"]

    def read_piece(self) -> str:
        """Read the word that begins here, together with the quotation it opens."""
        start = self._position
        mark = self._text[start]
        if mark in quotes.DOUBLE and mark not in self._unclosed:
            closed = quotes.closing(self._text, start)
            if closed is None:
                self._unclosed.add(mark)
            else:
                self._position = closed
        return quotes.unescape(self._text[start : self._end_word()])

    def read_value(self, option: Option, flag: str) -> Value:
        """Read and check what follows a flag."""
        named = self._position
        separator = _SEPARATOR.match(self._text, named)
        start = separator.end() if separator else named
        if option.kind is Kind.FLAG:
            if "=" in self._text[named:start]:
                raise UserError("flag.takes_no_value", flag=f"--{flag}")
            return flag.casefold() not in _SWITCHED_OFF
        if start == len(self._text) or _flag_at(self._text, start):
            raise UserError("value.missing", option=label(option))
        self._position = start
        if self._text[start] in quotes.DOUBLE + quotes.SINGLE:
            closed = quotes.closing(self._text, start)
            if closed is not None:
                self._position = closed + 1
                return _accept_text(option, self._text[start + 1 : closed])
            if self._text[start] in quotes.DOUBLE:
                raise UserError("value.unclosed_quote", option=label(option))
        match option.kind:
            case Kind.CHOICE:
                return self._read_choice(option)
            case Kind.TEXT:
                return _accept_text(option, self._text[start : self._end_before_flag()])
            case _:
                return accept(option, self._text[start : self._end_word()])

    def _read_choice(self, option: Option) -> str:
        """Read the longest run of words that is a legal value."""
        start = self._position
        legal = {fold(str(choice)): str(choice) for choice in option.choices}
        longest = max(len(choice.split()) for choice in legal.values())
        words = zip(_WORD.finditer(self._text, start), range(longest), strict=False)
        runs = [self._text[start : word.end()] for word, _ in words]
        for run in reversed(runs):
            choice = legal.get(fold(run))
            if choice is not None:
                self._position = start + len(run)
                return choice
        for run in reversed(runs):
            guess = closest(run, legal.values(), at_least=ALMOST_SURE)
            if guess is not None:
                raise not_a_choice(option, run, guess)
        raise not_a_choice(option, runs[0], closest(runs[0], legal.values()))

    def _end_word(self) -> int:
        """Move behind the word, or the rest of one, that is here."""
        word = _WORD.match(self._text, self._position)
        if word is not None:
            self._position = word.end()
        return self._position

    def _end_before_flag(self) -> int:
        """Move to the next flag, or to the end."""
        words = _WORD.finditer(self._text, self._position)
        starts = (word.start() for word in words if _flag_at(self._text, word.start()))
        self._position = next(starts, len(self._text))
        return self._position


def _flag_at(text: str, position: int) -> re.Match[str] | None:
    """Match a flag. A typographic dash makes one only if a flag's name, or nearly, follows."""
    match = _FLAG.match(text, position)
    if match is None or match[1] == "--":
        return match
    return match if closest(match["name"], _FLAGS, at_least=ALMOST_SURE) else None


def _option(flag: str) -> Option:
    option = _FLAGS.get(flag.casefold())
    if option is not None:
        return option
    guess = closest(flag, _FLAGS)
    if guess is None:
        raise UserError("flag.unknown", flag=f"--{shown(flag)}")
    raise UserError("flag.mistyped", flag=f"--{shown(flag)}", suggestion=f"--{guess}")


def _accept_text(option: Option, written: str) -> Value:
    text = quotes.unescape(written)
    return accept(option, " ".join(text.split()) if option.kind is Kind.TEXT else text)


def _checked_prompt(pieces: list[str]) -> str:
    prompt = " ".join(" ".join(pieces).split())
    if is_blank(prompt):
        raise UserError("prompt.empty")
    if len(prompt) > MAX_PROMPT:
        raise UserError("prompt.too_long", limit=MAX_PROMPT, length=len(prompt))
    return prompt


def _written_flag(option: Option, value: Value) -> str:
    match option.kind:
        case Kind.FLAG:
            return f"--{option.flag}" if value else f"--{_NO}{option.flag}"
        case Kind.TEXT | Kind.IMAGE | Kind.MODEL:
            return f"--{option.flag} {quotes.quote(str(value))}"
        case Kind.NUMBER:
            return f"--{option.flag} {_written_number(float(value))}"
        case _:
            return f"--{option.flag} {value}"


def _written_number(value: float) -> str:
    """Return the shortest digits that read back as the same number, without an exponent."""
    return format(Decimal(repr(value)), "f")
