"""`rushes models`: what is installed, what is there of it, and getting the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bot.config.sections import Config
from commands.text.messages import error_text, text
from inference.domain.errors import UserError
from inference.engines import registry, weights
from inference.engines.weights import Checkpoint
from inference.opensora.files import CheckpointError

_GIGABYTE = 1e9
_LOADED_BYTES = 2
"""Of each number, in the precision that a GPU works in."""


def listed(config: Config, locale: str) -> Iterator[str]:
    """Yield a line for each model, the installed ones first, and for each of its checkpoints."""
    installed = config.models.installed
    default = config.models.default or next(iter(installed), "")
    others = (name for name in registry.names() if name not in {*installed, registry.TESTCARD})
    for name in (*installed, *others):
        model = registry.capabilities(name)
        facts = [model.title, *model.resolutions, *sorted(model.modes)]
        if name == default:
            facts.append(text("cli.models.default", locale))
        if name not in installed:
            facts.append(text("cli.models.not_installed", locale))
        yield f"{name}  {text('facts.separator', locale).join(facts)}"
        for checkpoint in registry.checkpoints(name):
            yield f"  {_described(checkpoint, config.models.directory, locale)}"


def pulled(config: Config, model: str, locale: str) -> Iterator[str]:
    """Download a model's checkpoints one after the other, yielding where each is.

    Raises:
        UserError: `model.unknown`, `model.nothing_to_pull`.
        CheckpointError: `checkpoint.offline`; what is there by then is kept.
    """
    for checkpoint in _checkpoints(model):
        place = weights.pull(checkpoint, config.models.directory)
        yield _there(checkpoint, place, locale)


def checked(config: Config, model: str, locale: str) -> Iterator[tuple[bool, str]]:
    """Verify a model's checkpoints, yielding whether each is sound, and a line about it.

    Raises:
        UserError: `model.unknown`, `model.nothing_to_pull`.
    """
    for checkpoint in _checkpoints(model):
        try:
            place = weights.folder(checkpoint, config.models.directory)
            weights.verify(checkpoint, place)
        except CheckpointError as error:
            yield False, f"{checkpoint.source}: {error_text(error, locale)}"
        else:
            yield True, _there(checkpoint, place, locale)


def _checkpoints(model: str) -> tuple[Checkpoint, ...]:
    found = registry.checkpoints(model)
    if not found:
        raise UserError("model.nothing_to_pull", model=model)
    return found


def _described(checkpoint: Checkpoint, directory: Path | None, locale: str) -> str:
    try:
        return _there(checkpoint, weights.folder(checkpoint, directory), locale)
    except CheckpointError:
        size = _gigabytes(checkpoint.parameters * _LOADED_BYTES)
        return text("cli.models.absent", locale, source=checkpoint.source, size=size)


def _there(checkpoint: Checkpoint, place: Path, locale: str) -> str:
    licence = weights.licence(place) or text("cli.models.no_licence", locale)
    facts = (
        checkpoint.source,
        text("cli.models.size", locale, size=_gigabytes(weights.size_bytes(place))),
        licence,
        str(place),
    )
    return text("facts.separator", locale).join(facts)


def _gigabytes(size: int) -> str:
    return f"{size / _GIGABYTE:.1f}"
