"""Catalogs of plugins, checked as ours are: no key is missing, foreign or filled otherwise."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from string import Formatter

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po

from commands.text.messages import FALLBACK, WRITERS, languages, message_ids
from inference.plugins.problem import PluginError


def read_catalogs(package: str, taken: Collection[str] = ()) -> dict[str, Catalog]:
    """Return the catalogs of a plugin by language.

    Args:
        package: The import package with `locales/<language>/LC_MESSAGES/rushes.po`.
        taken: Keys that other plugins have.

    Raises:
        PluginError: Something is wrong with them; it says what.
    """
    folder = resources.files(package) / "locales"
    found = {}
    for locale in sorted(languages()):
        source = folder / locale / "LC_MESSAGES" / "rushes.po"
        if not source.is_file():
            continue
        try:
            with source.open("rb") as file:
                found[locale] = read_po(file, locale=locale, abort_invalid=True)
        except (PoFileError, UnicodeDecodeError, ValueError) as error:
            raise PluginError(f"its texts in {locale} cannot be read: {error}") from error
    if FALLBACK not in found:
        raise PluginError(f"its texts have no language {FALLBACK}")
    _check(found, taken)
    return found


def _check(catalogs: dict[str, Catalog], taken: Collection[str]) -> None:
    known = _texts(catalogs[FALLBACK])
    ours = message_ids()
    for key in sorted(known):
        if key in ours or key in taken:
            raise PluginError(f"its text {key} is there already")
    for locale, catalog in catalogs.items():
        texts = _texts(catalog)
        if different := sorted(set(texts) ^ set(known)):
            raise PluginError(
                f"its text {different[0]} is in one language only, not in {locale} too"
            )
        for key, forms in texts.items():
            if not all(forms):
                raise PluginError(f"its text {key} is empty in {locale}")
            if any(_fields(form) != _fields(known[key][-1]) for form in forms[-1:]):
                raise PluginError(f"its text {key} has other placeholders in {locale}")
            for form in forms:
                if unknown := {style for _, style in _fields(form)} - {"", *WRITERS}:
                    raise PluginError(f"its text {key} writes a value as {min(unknown)!r}")


def _texts(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {_key(message): _forms(message) for message in catalog if message.id}


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _forms(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


def _fields(text: str) -> frozenset[tuple[str, str]]:
    """Return the placeholders of a text, each with the style in which it is written."""
    try:
        return frozenset(
            (name, style or "") for _, name, style, _ in Formatter().parse(text) if name is not None
        )
    except ValueError as error:
        raise PluginError(f"a text has broken placeholders: {text!r}") from error
