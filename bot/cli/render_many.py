"""`rushes render --many`: one clip for each line of a file, with one model that stays loaded."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.cli.offline_render import (
    CLIP,
    STILL,
    decide,
    each_of,
    offline,
    open_slot,
    render,
    tell_unknown,
)
from bot.cli.progress_bar import progress_bar
from bot.config.sections import Config
from commands.installation import Installation
from commands.parsing.flags import parse_options
from commands.schema import Value
from commands.specs.resolve import Resolved
from commands.text.messages import error_text, text
from inference.domain.errors import EngineError, RushesError, UserError, WorkerLost
from inference.domain.untrusted_text import beginning, graphemes

STDIN = "-"

SLUG_LENGTH = 40
"""Characters of the prompt in the name of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the file."""

    number: int
    """In the file, from 1."""
    resolved: Resolved
    output: Path


def read_lines(source: str) -> list[str]:
    """Return the lines of a file, or of stdin for `-`.

    Raises:
        UserError: `batch.unreadable`.
    """
    try:
        if source == STDIN:
            return sys.stdin.read().splitlines()
        return Path(source).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise UserError("config.unreadable", path=source, problem=problem) from error
    except UnicodeError as error:
        raise UserError("many.no_text", path=source) from error


async def render_many(
    config: Config, lines: Sequence[str], flags: str, folder: Path, locale: str
) -> int:
    """Render one file for each line, print its path, and report each line that fails.

    Args:
        config: For models and devices.
        lines: Prompt and flags each, as typed in a chat; empty ones and `#` comments are skipped.
        flags: Hold where a line says nothing else.
        folder: Where the files go.
        locale: Of the reader.

    Returns:
        The exit code: 1 when a line failed.

    Raises:
        UserError: `many.empty`, or the flags are not possible.
    """
    installation = offline(config)
    common = parse_options(flags, installation.options)
    planned, made, failed = [], 0, 0
    for number, line in _number_lines(lines):
        try:
            planned.extend(_plan(installation, number, line, common, folder))
        except UserError as error:
            failed += 1
            _tell(number, error, locale)
    if not planned and not failed:
        raise UserError("many.empty")
    models = list(dict.fromkeys(one.resolved.spec.model for one in planned))
    planned.sort(key=lambda one: models.index(one.resolved.spec.model))  # each is loaded once
    tell_unknown((one.resolved for one in planned), locale)
    if planned:
        async with open_slot(config, models) as slot:
            for count, one in enumerate(planned, start=1):
                try:
                    before = f"{count}/{len(planned)} "
                    with progress_bar(locale, one.resolved, before) as on_progress:
                        await render(config, slot, one.resolved, one.output, on_progress)
                except (UserError, EngineError, WorkerLost) as error:
                    failed += 1
                    _tell(one.number, error, locale)
                    continue
                made += 1
                sys.stdout.write(f"{one.output}\n")
                sys.stdout.flush()
    if failed and made:
        sys.stderr.write(f"rushes: {text('cli.many.failed', locale, count=failed)}\n")
    return 1 if failed else 0


def _number_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _plan(
    installation: Installation, number: int, line: str, common: Mapping[str, Value], folder: Path
) -> list[Line]:
    resolved = decide(installation, line, common)
    suffix = STILL if resolved.spec.frames == 1 else CLIP
    name = f"{number:03}-{_slug(resolved.spec.prompt)}".rstrip("-") + suffix
    return [
        Line(number=number, resolved=one, output=output)
        for one, output in each_of(resolved, folder / name)
    ]


def _slug(prompt: str) -> str:
    """Return the words of a prompt as they may stand in the name of a file anywhere."""
    parts = graphemes(unicodedata.normalize("NFC", prompt.casefold()))
    words = "".join(part if part[0].isalnum() else "-" for part in parts)
    return beginning(re.sub("-+", "-", words).strip("-"), SLUG_LENGTH).strip("-")


def _tell(number: int, error: RushesError, locale: str) -> None:
    problem = error_text(error, locale)
    told = text("cli.many.line", locale, number=number, problem=problem)
    sys.stderr.write(f"rushes: {told}\n")
