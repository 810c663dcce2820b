"""Every text that people see, from gettext catalogs beside this module.

Message ids are stable keys (`error.flag.unknown`), texts have `{placeholders}`, and a placeholder
may say how its value is written: `{legal:or}`, `{ids:list}`, `{seconds:duration}`,
`{seconds:about}`, `{position:ordinal}`, `{reason:reason}`, `{problem:error}`. A message with plural
forms is chosen by its parameter `count`.
Where a language bends the text behind a value to it, as Korean does, that is done here.
A language is one `.po` file, read as it is: there is nothing to compile.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import PurePath
from string import Formatter
from typing import TYPE_CHECKING, Any

from commands.text import particles
from inference.domain.errors import RushesError, UserErrors
from inference.domain.job import Failure
from inference.domain.untrusted_text import isolate_foreign

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

FALLBACK = "en"
"""The language that has every message."""

_LOCALES = 256
"""Spellings that are remembered; anybody may send any."""


def text(key: str, locale: str, /, **params: Any) -> str:
    """Return the message for `key` in the nearest language there is.

    A missing message is a bug: it is logged, and a neutral sentence with the key is returned.
    """
    return "".join(str(part) for part in parts(key, locale, **params))


def parts(key: str, locale: str, /, **params: Any) -> tuple[Any, ...]:
    """Return the message in pieces, with values that are neither text nor numbers left as they are.

    That is how a time or a person gets into a line that every platform writes differently.
    """
    template = _template(key, language(locale), params.get("count"))
    if template is None:
        _log_error("message.missing", key=key, locale=locale)
        template = _template("message.missing", language(locale), None) or "{key}"
        params = {"key": key}
    return tuple(_fill(template, language(locale), params))


def error_text(error: RushesError | Failure, locale: str) -> str:
    """Return the sentence for an error code and its values; several errors take a line each."""
    if isinstance(error, UserErrors):
        return "\n".join(error_text(one, locale) for one in error.errors)
    try:
        return text(f"error.{error.code}", locale, **error.params)
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as problem:
        # Of a stored failure with values of another kind than its sentence wants.
        _log_error("message.unfillable", code=error.code, error=type(problem).__name__)
        return text("message.missing", locale, key=error.code)


def member_text(error: RushesError | Failure, locale: str) -> str:
    """Return an error's sentence without paths of this machine, for members."""
    if isinstance(error, UserErrors):
        return "\n".join(member_text(one, locale) for one in error.errors)
    params = without_paths(error.code, error.params)
    return error_text(Failure(code=error.code, params=params), locale)


def duration(seconds: float, locale: str) -> str:
    """Write a length of time in the units people use: 47 s, 3 min, 1 h 20 min."""
    whole = max(1, round(seconds))
    if whole < 60:  # noqa: PLR2004 - a minute
        return text("duration.seconds", locale, count=whole)
    minutes = round(whole / 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return text("duration.minutes", locale, count=minutes)
    hours, minutes = divmod(minutes, 60)
    key = "duration.hours_minutes" if minutes else "duration.hours"
    return text(key, locale, count=hours, minutes=minutes)


_DAY = 86400.0
_YEAR = 365 * _DAY


def format_estimate(seconds: float, locale: str) -> str:
    """Write a rounded estimate of a length of time: about 40 s, 3 min, 4 years."""
    if seconds >= _YEAR:
        shown = text("duration.years", locale, count=round(seconds / _YEAR))
        return text("duration.about", locale, duration=shown)
    if seconds >= 2 * _DAY:
        shown = text("duration.days", locale, count=round(seconds / _DAY))
        return text("duration.about", locale, duration=shown)
    step = 1 if seconds < 20 else 5 if seconds < 60 else 60 if seconds < 3600 else 600  # noqa: PLR2004
    rounded = round(seconds / step) * step
    return text("duration.about", locale, duration=duration(rounded, locale))


def ordinal(number: int, locale: str) -> str:
    """Write an ordinal: 2nd."""
    from babel import Locale  # noqa: PLC0415 - see `_log_error`

    form = Locale.parse(language(locale)).ordinal_form(number)
    return text(f"ordinal.{form}", locale, number=number)


_plugin_catalogs: list[Mapping[str, Catalog]] = []
"""At most one mapping: the texts of this process's plugins by language."""


def use_plugin_catalogs(catalogs: Mapping[str, Catalog]) -> None:
    """Set the texts of plugins, in place of the former ones.

    Args:
        catalogs: By language; no key is one of ours.
    """
    _plugin_catalogs[:] = [catalogs]


def any_of(items: Iterable[object], locale: str) -> str:
    """Write alternatives: a, b or c."""
    *others, last = [str(item) for item in items] or [""]
    if not others:
        return last
    separator = text("list.separator", locale)
    return text("list.or", locale, others=separator.join(others), last=last)


def all_of(items: Iterable[object], locale: str) -> str:
    """Write a list: a, b, c."""
    return text("list.separator", locale).join(str(item) for item in items)


def reason(code: str, locale: str) -> str:
    """Return the text of a moderation reason."""
    return text(f"reason.{code}", locale)


def message_ids(locale: str = FALLBACK) -> frozenset[str]:
    """Return all message ids of a language, for the checks that none is missing or unused."""
    return frozenset(_id(message.id) for message in _catalog(language(locale)) if message.id)


def template(key: str, locale: str = FALLBACK) -> str | None:
    """Return the unfilled text of a message (its last plural form), or None."""
    return _template(key, language(locale), 2)


@lru_cache(maxsize=_LOCALES)
def language(locale: str) -> str:
    """Return the language in which `locale` is answered: `en-GB` and `xx` in English."""
    return re.split("[-_.@]", locale)[0].lower() if is_known(locale) else FALLBACK


def is_known(locale: str) -> bool:
    """Return whether there is a language for `locale`, such as `ko` or `ko_KR.UTF-8`."""
    return re.split("[-_.@]", locale)[0].lower() in languages()


@cache
def languages() -> frozenset[str]:
    """Return the languages that there are, all with every message that is in `FALLBACK`."""
    places = (resources.files("commands") / "locales").iterdir()
    return frozenset(place.name for place in places if _source(place.name).is_file())


WRITERS: dict[str, Callable[[Any, str], str]] = {
    "or": any_of,
    "list": all_of,
    "duration": duration,
    "about": format_estimate,
    "ordinal": ordinal,
    "reason": reason,
    "error": error_text,
}

_AGREEMENT: dict[str, Callable[[str, str], str]] = {"ko": particles.agree}
"""By language, what fits the text behind a value to the value."""


def _fill(template: str, locale: str, params: dict[str, Any]) -> Iterator[Any]:
    agree = _AGREEMENT.get(locale)
    before = ""
    for literal, name, style, _ in Formatter().parse(template):
        if literal:
            yield agree(literal, before) if agree and before else literal
        if name is None:
            continue
        value = params.get(name, "?")
        if style:
            value = WRITERS[style](value, locale)
        elif isinstance(value, int | float):
            value = str(value)
        before = value if isinstance(value, str) else ""
        if before:
            value = isolate_foreign(before)
        yield value


def _template(key: str, locale: str, count: object) -> str | None:
    candidates = dict.fromkeys((locale, FALLBACK))
    found = [(candidate, _catalog(candidate).get(key)) for candidate in candidates]
    for catalogs in _plugin_catalogs:
        found += [(name, catalogs[name].get(key)) for name in candidates if name in catalogs]
    for candidate, message in found:
        if message is not None and message.string:
            forms = message.string
            if isinstance(forms, str):
                return forms
            number = count if isinstance(count, int) else 1
            return str(forms[_plural_rule(candidate)(number)])
    return None


def _id(message_id: str | list[str] | tuple[str, ...]) -> str:
    return message_id if isinstance(message_id, str) else message_id[0]


def _source(locale: str) -> Any:
    return resources.files("commands") / "locales" / locale / "LC_MESSAGES" / "rushes.po"


def _log_error(event: str, **fields: Any) -> None:
    """Log a bug. The logger is imported here: with it the command line would start late."""
    import structlog  # noqa: PLC0415

    structlog.get_logger(__name__).error(event, **fields)


@cache
def _catalog(locale: str) -> Catalog:
    from babel.messages.pofile import read_po  # noqa: PLC0415 - see `_log_error`

    with _source(locale).open("rb") as file:
        return read_po(file, locale=locale, abort_invalid=True)


@cache
def _plural_rule(locale: str) -> Callable[[int], int]:
    return gettext.c2py(_catalog(locale).plural_expr)


_TYPED = frozenset({"image.not_found"})
"""Errors about a path that the person typed, on their own machine."""

_PLACES = frozenset({"path", "source", "file", "files", "folder", "directory", "place"})
"""Values that name a file."""

_WORDS = frozenset({"reason", "problem", "detail", "error"})
"""Values that a system or a library wrote, and that may quote a path."""

_PATH = re.compile(r"(?<![\w/:.~-])~?(?:/[^\s/'\"“”:;,()\[\]<>]+)+/?")


def without_paths(code: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an error without folders of this machine: files by name only."""
    if code in _TYPED:
        return dict(params)
    return {name: _hidden(name, value) for name, value in params.items()}


def _hidden(name: str, value: Any) -> Any:
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, (list, tuple)):
        return [_hidden(name, item) for item in value]
    if not isinstance(value, str):
        return value
    if name in _PLACES and value.startswith(("/", "~")):
        return PurePath(value).name
    if name in _WORDS:
        return _PATH.sub(lambda found: PurePath(found[0]).name, value)
    return value
