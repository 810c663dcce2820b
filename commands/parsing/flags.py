"""Parser and writer of typed requests: `a red fox --aspect 16:9 --camera pan left`.

Flags may stand anywhere. A value follows after a space or `=`; choices of two words need no quotes,
because the legal values are known. The text of `--negative` runs to the next flag unless quoted.
What stands in double quotes is prompt, whatever it looks like, and so is what follows a backslash.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from commands.option_set import NO, OptionSet
from commands.options import MAX_PROMPT
from commands.parsing import quotes, synonyms
from commands.parsing.suggestions import ALMOST_SURE, closest
from commands.parsing.values import OFF, ON, accept_for, fold, label, not_a_choice, shorten
from commands.refusal import MistypedError
from commands.schema import Kind, Option, Value
from inference.domain.errors import UserError
from inference.domain.untrusted_text import clean_words, is_blank

HELP = "/rushes help generate"
"""Lists all flags; the commands that render have a help each."""

MAX_TYPED = 8 * MAX_PROMPT
"""Characters that are looked at: prompt and texts with every character escaped, and to spare."""

_FLAG = re.compile(rf"(--|[{quotes.DASHES[1:]}]{{1,2}})(?P<name>[^\W\d_][^\s={quotes.DOUBLE}]*)")
_SEPARATOR = re.compile(r"\s*=?\s*")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A parsed line: the prompt, and the options set in it by name."""

    prompt: str
    options: dict[str, Value] = field(default_factory=dict)


def parse(text: str, known: OptionSet, advised: OptionSet | None = None) -> ParsedRequest:
    """Parse a typed line into a prompt and options.

    The text is cleaned (`inference.domain.untrusted_text`), and runs of spaces in the prompt count
    as one.

    Args:
        text: What was typed.
        known: Everything that could be set.
        advised: Of these, what works: values that are refused are told with those that are taken.

    Raises:
        MistypedError: `flag.mistyped` or `value.mistyped`, with the text corrected.
        UserError: `flag.*`, `value.*` or `prompt.*`.
    """
    pieces, options = _read(text, known, advised)
    return ParsedRequest(prompt=_check_prompt(pieces), options=options)


def parse_options(
    text: str, known: OptionSet, advised: OptionSet | None = None
) -> dict[str, Value]:
    """Parse a line of flags without a prompt, such as `--aspect 16:9 --camera pan left`.

    Raises:
        UserError: `flag.*` or `value.*`; `command.too_many_words` for anything that is no flag.
    """
    pieces, options = _read(text, known, advised)
    if pieces:
        raise UserError("command.too_many_words", words=shorten(" ".join(pieces)))
    return options


def _read(
    text: str, known: OptionSet, advised: OptionSet | None
) -> tuple[list[str], dict[str, Value]]:
    """Return the words of the prompt, and the options by name."""
    text = clean_words(text)
    if len(text) > MAX_TYPED:
        raise UserError("prompt.too_long", limit=MAX_PROMPT, length=len(text))
    reader = _Reader(text, known, advised)
    pieces: list[str] = []
    options: dict[str, Value] = {}
    while reader.skip_space():
        flag = reader.read_flag()
        if flag is None:
            pieces.append(reader.read_piece())
            continue
        option = reader.known_option(flag)
        if option.name in options:
            raise UserError("flag.repeated", flag=label(option))
        options[option.name] = reader.read_value(option, flag)
    return pieces, options


def render_options(options: Mapping[str, Value], known: OptionSet) -> str:
    """Write options as flags; `parse_options` is the inverse. Unknown ones are left out."""
    return " ".join(_write_flags(options, known))


def render(typed: ParsedRequest, known: OptionSet) -> str:
    """Write a request as a line, the prompt first; `parse` is the inverse."""
    flags = _write_flags(typed.options, known)
    line = " ".join([typed.prompt, *flags])
    try:
        if parse(line, known) == typed:
            return line
    except UserError:
        pass
    return " ".join([quotes.escape(typed.prompt), *flags])


class _Reader:
    """Moves through a line from left to right."""

    def __init__(self, text: str, known: OptionSet, advised: OptionSet | None) -> None:
        self._text = text
        self._known = known
        self._works = advised
        self._advised: Mapping[str, Option] = {} if advised is None else advised.shown
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
        flag = self._flag_at(self._position)
        if flag is None:
            return None
        self._position = flag.end()
        return flag["name"]

    def known_option(self, flag: str) -> Option:
        """Return the option of the flag that was just read."""
        option = self._known.typed.get(flag.casefold())
        if option is not None:
            return option
        if flag.casefold() in self._known.elsewhere:
            title = self._known.title if self._works is None else self._works.title
            if title is not None:
                raise UserError(
                    "model.no_option_at_all", model=title, option=f"--{flag.casefold()}"
                )
            raise UserError("flag.unknown", flag=f"--{flag.casefold()}", help=HELP)
        guess = closest(flag, self._known.typed)
        self._check_synonyms(flag, guess)
        if guess is None:
            raise UserError("flag.unknown", flag=f"--{shorten(flag)}", help=HELP)
        if guess not in self._known.switched_off:
            guess = str(self._known.by_flag[guess].flag)  # the long one is the one we show
        error = UserError("flag.mistyped", flag=f"--{shorten(flag)}", suggestion=f"--{guess}")
        value = flag.partition(":")[2]  # --seed:7
        corrected = f"{guess} {value}" if value else guess
        raise self._correct(error, self._position - len(flag), self._position, corrected)

    def _check_synonyms(self, flag: str, guess: str | None) -> None:
        """Refuse a flag of a plugin that is not installed, or of another tool.

        Raises:
            UserError: `flag.of_plugin` or `flag.other_word`.
        """
        name = flag.partition(":")[0].casefold()
        if folder := synonyms.BUNDLED_OPTIONS.get(name):
            raise UserError("flag.of_plugin", flag=f"--{shorten(flag)}", folder=folder)
        meant = synonyms.OPTION_NAMES.get(name)
        if meant is not None and meant != guess and meant in self._known.by_flag:
            known = f"--{self._known.by_flag[meant].flag}"
            raise UserError("flag.other_word", flag=f"--{shorten(flag)}", meant=known, help=HELP)

    def read_piece(self) -> str:
        """Read the word that begins here, together with the quotation it opens."""
        start = self._position
        mark = self._text[start]
        if mark in quotes.DOUBLE and mark not in self._unclosed:
            closed = quotes.find_closing_quote(self._text, start)
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
            return flag.casefold() not in self._known.switched_off
        if start == len(self._text) or self._flag_at(start):
            raise UserError("value.missing", option=label(option))
        self._position = start
        if self._text[start] in quotes.DOUBLE + quotes.SINGLE:
            closed = quotes.find_closing_quote(self._text, start)
            if closed is not None:
                self._position = closed + 1
                with self._offer_correction(start, closed + 1):
                    return self._accept_text(option, self._text[start + 1 : closed])
            if self._text[start] in quotes.DOUBLE:
                raise UserError("value.unclosed_quote", option=label(option))
        match option.kind:
            case Kind.CHOICE:
                return self._read_choice(option)
            case Kind.TEXT:
                return self._accept_text(option, self._text[start : self._end_before_flag()])
            case _:
                with self._offer_correction(start, self._end_word()):
                    return self._accept(option, self._text[start : self._position])

    def _accept(self, option: Option, text: str) -> Value:
        return accept_for(option, text, self._works)

    def _accept_text(self, option: Option, written: str) -> Value:
        text = quotes.unescape(written)
        return self._accept(option, " ".join(text.split()) if option.kind is Kind.TEXT else text)

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
        advised = self._advised.get(option.name, option)
        named = [str(choice) for choice in advised.choices]
        for run in reversed(runs):
            guess = closest(run, named, at_least=ALMOST_SURE)
            if guess is not None:
                break
        else:
            run, guess = runs[0], closest(runs[0], named)
        with self._offer_correction(start, start + len(run)):
            raise not_a_choice(advised, run, guess)

    @contextlib.contextmanager
    def _offer_correction(self, start: int, end: int) -> Iterator[None]:
        """Offer the text with the suggested value in place of a mistyped one."""
        try:
            yield
        except UserError as error:
            if error.code != "value.mistyped":
                raise
            raise self._correct(error, start, end, error.params["suggestion"]) from error

    def _correct(self, error: UserError, start: int, end: int, corrected: str) -> MistypedError:
        return MistypedError(error, f"{self._text[:start]}{corrected}{self._text[end:]}")

    def _end_word(self) -> int:
        """Move behind the current word, or the rest of it."""
        word = _WORD.match(self._text, self._position)
        if word is not None:
            self._position = word.end()
        return self._position

    def _end_before_flag(self) -> int:
        """Move to the next flag, or to the end."""
        words = _WORD.finditer(self._text, self._position)
        starts = (word.start() for word in words if self._flag_at(word.start()))
        self._position = next(starts, len(self._text))
        return self._position

    def _flag_at(self, position: int) -> re.Match[str] | None:
        """Match a flag. A typographic dash makes one only if a flag's name, or nearly, follows."""
        match = _FLAG.match(self._text, position)
        if match is None or match[1] == "--":
            return match
        return match if closest(match["name"], self._known.typed, at_least=ALMOST_SURE) else None


def check_no_pictures(typed: Iterable[str], known: OptionSet) -> None:
    """Refuse pictures named in a text: chats must not read files of this machine.

    Raises:
        UserError: `image.not_by_flag`.
    """
    for name in typed:
        if name in known.pictures:
            raise UserError("image.not_by_flag", option=label(known.by_name[name]))


def _check_prompt(pieces: list[str]) -> str:
    prompt = " ".join(" ".join(pieces).split())
    if is_blank(prompt):
        raise UserError("prompt.empty")
    if len(prompt) > MAX_PROMPT:
        raise UserError("prompt.too_long", limit=MAX_PROMPT, length=len(prompt))
    return prompt


def _write_flags(options: Mapping[str, Value], known: OptionSet) -> list[str]:
    return [
        _write_flag(known.by_name[name], value)
        for name, value in options.items()
        if name in known.by_name and value != ""
    ]


def _write_flag(option: Option, value: Value) -> str:
    match option.kind:
        case Kind.FLAG:
            return f"--{option.flag}" if value else f"--{NO}{option.flag}"
        case Kind.TEXT if isinstance(value, bool):  # a switch of one model, a text of another
            return f"--{option.flag} {ON if value else OFF}"
        case Kind.TEXT | Kind.IMAGE | Kind.MODEL:
            return f"--{option.flag} {quotes.quote(str(value))}"
        case Kind.NUMBER:
            return f"--{option.flag} {_write_number(float(value))}"
        case _:
            return f"--{option.flag} {value}"


def _write_number(value: float) -> str:
    """Return the shortest digits that read back as the same number, without an exponent."""
    return format(Decimal(repr(value)), "f")
