"""What a config makes of the parts below: studio, watermark, executor."""

from __future__ import annotations

from collections.abc import Iterable

from bot.config import Config
from commands.studio import Studio
from inference.engines import registry
from inference.media.watermark import WatermarkSettings
from inference.workers.local import LocalExecutor


def studio(config: Config) -> Studio:
    """Return the installed models.

    Raises:
        UserError: `model.*`: one of them is unknown, or the default is not installed.
    """
    models = tuple(registry.capabilities(name) for name in config.models.installed)
    default = config.models.default or (models[0].name if models else "")
    made = Studio(models=models, default_model=default)
    made.model(default)
    return made


def watermark(config: Config) -> WatermarkSettings:
    """Return the mark on every clip."""
    return WatermarkSettings(**dict(config.watermark))


def executor(config: Config, *, models: Iterable[str]) -> LocalExecutor:
    """Return the worker for this machine's GPU, not yet started, knowing these models."""
    return LocalExecutor(
        models={name: config.models.options(name) for name in models},
        models_directory=config.models.directory,
    )
