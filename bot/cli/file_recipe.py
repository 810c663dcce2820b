"""The recipe inside a file, for `rushes show FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.cli.offline_render import options_of, spec_of, write_flags
from commands.parsing.flags import render
from commands.schema import Kind
from commands.text.messages import text
from commands.text.option_texts import effect_name, option_name
from inference.domain.errors import UserError
from inference.domain.spec import Spec
from inference.domain.untrusted_text import clean, isolate, isolate_foreign
from inference.media.provenance import AI_MADE, is_whole, read_recipe, read_source_type


def lines(path: Path, locale: str) -> Iterator[str]:
    """Yield the lines about a file: its mark as AI-made, and its recipe.

    The file may be a stranger's: nothing in it may steer the terminal.

    Args:
        path: A clip, an image, or a still of a clip, which has the mark only. Its name is free.
        locale: Language of the reader.

    Raises:
        UserError: `file.no_recipe`.
    """
    source = read_source_type(path)
    if source == AI_MADE:
        yield text("cli.recipe.ai_made", locale, source=source)
    yield from _damage(path, locale)
    try:
        recipe, spec = _read(path)
    except UserError as error:
        if source == AI_MADE and error.code == "file.no_recipe":
            return
        raise
    yield isolate(spec.prompt)
    for name, key in (("software", "cli.recipe.software"), ("job", "cli.recipe.job")):
        if name in recipe:
            yield f"  {text(key, locale)}: {clean(str(recipe[name]))}"
    if made_with := recipe.get("made_with"):
        yield f"  {text('cli.recipe.made_with', locale)}: {clean(json.dumps(made_with))}"
    known = options_of(spec)
    for name, value in write_flags(spec).options.items():
        if (option := known.by_name[name]).kind is not Kind.IMAGE:
            yield f"  {option_name(option, locale)}: {isolate_foreign(str(value))}"
    for use in spec.effects:
        made_by = text(
            "info.line",
            locale,
            name=clean(effect_name(use, locale)),
            value=isolate_foreign(use.release),
            origin=text("origin.plugin", locale),
        )
        yield f"  {made_by}"
    yield text("cli.recipe.again", locale, line=clean(render(write_flags(spec), known)))


def _damage(path: Path, locale: str) -> Iterator[str]:
    if not is_whole(path):
        yield text("cli.recipe.damaged", locale)


def _read(path: Path) -> tuple[dict[str, Any], Spec]:
    """Return the recipe of a file, and the spec that it describes.

    Raises:
        UserError: `file.*`; `file.no_recipe` also for one of another program.
    """
    recipe = read_recipe(path)
    try:
        return recipe, spec_of(recipe)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("file.no_recipe", path=str(path)) from error
