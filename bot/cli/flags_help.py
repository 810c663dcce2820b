"""Help about the flags of a prompt on the command line, for the models of the config."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from commands.options import MODEL
from commands.text.messages import text
from inference.domain.errors import RushesError

INDENT = 24
"""Columns before an explanation, as argparse has it."""


def flags_help(words: Sequence[str], locale: str) -> str:
    """Return the explanation of every flag.

    Args:
        words: The command line: it may name a config, and a model that alone is explained.
        locale: Of the reader.
    """
    from bot import factories  # noqa: PLC0415 - most help needs no config
    from bot.cli.handlers import log_to_stderr  # noqa: PLC0415
    from bot.config.sources import load_config  # noqa: PLC0415
    from commands.handlers.help import manual  # noqa: PLC0415

    log_to_stderr()
    named, config = flag_value(words, f"--{MODEL.flag}"), flag_value(words, "--config")
    try:
        installation = factories.describe_installation(
            load_config(Path(config) if config else None)
        )
        model = None if named is None else installation.model(named)
    except (RushesError, OSError):
        return text("cli.flags", locale)  # help must work where nothing else does
    options = [option for option in installation.options.order if option.flag is not None]
    lines = [text("cli.flags", locale)]
    for name, explanation in manual(options, installation, locale, model=model):
        lines += _lines(name, explanation)
    return "\n".join(lines)


def flag_value(words: Sequence[str], flag: str) -> str | None:
    """Return the value of a flag on a command line that is not parsed yet."""
    for word, following in pairwise([*words, ""]):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


def _lines(name: str, explanation: str) -> list[str]:
    """Lay an explanation out as argparse does."""
    width = max(40, shutil.get_terminal_size().columns - 2)
    head = f"  {name}"
    wrapped = textwrap.wrap(
        explanation, width, initial_indent=" " * INDENT, subsequent_indent=" " * INDENT
    )
    if len(head) + 2 > INDENT:
        return [head, *wrapped]
    first, *rest = wrapped
    return [f"{head:<{INDENT}}{first.strip()}", *rest]
