"""What a config makes of the parts below: studio, watermark, executor, assistant."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from bot.config.sections import Config
from commands.installation import Installation
from commands.policy.operator_rules import OperatorRules
from inference.assist.base import PromptAssistant
from inference.domain.errors import EngineError, UserError
from inference.domain.spec import Spec
from inference.domain.watermark import WatermarkSettings
from inference.engines import registry
from inference.engines.memory import Device, saving_for
from inference.engines.weights import folder
from inference.opensora.files import CheckpointError, is_complete
from inference.workers.local import LocalExecutor, Report

GPU_NAME = "gpu"
"""File in the data directory that names the GPU that was there."""


def installation(
    config: Config,
    device: Callable[[], Device | None] = lambda: None,
    check_gpu: Callable[[str], None] = lambda _model: None,
) -> Installation:
    """Return the installed models.

    Args:
        config: Names them.
        device: Says what they run on, once that is known.
        check_gpu: Raises `EngineError` for a model whose GPU got lost.

    Raises:
        UserError: `model.*`: one of them is unknown or not downloaded, or the default is not
            installed.
    """
    models = tuple(registry.capabilities(name) for name in config.models.installed)
    default = config.models.default or (models[0].name if models else "")
    folders = {model.name: _folders(model.name, config.models.directory) for model in models}

    def check(spec: Spec) -> None:
        if not all(map(is_complete, folders[spec.model])):
            raise UserError("model.no_weights", model=spec.model)
        try:
            check_gpu(spec.model)
        except EngineError as error:
            raise UserError(error.code, **error.params) from error
        if there := device():
            saving_for(spec, registry.capabilities(spec.model), there)

    made = Installation(
        models=models,
        default_model=default,
        assistant=config.assistant.model is not None,
        check=check,
    )
    made.model(default)
    return made


def _folders(model: str, directory: Path | None) -> list[Path]:
    """Return where a model's weights are.

    Raises:
        UserError: `model.no_weights`.
    """
    try:
        return [folder(one, directory) for one in registry.checkpoints(model)]
    except CheckpointError as error:
        raise UserError("model.no_weights", model=model) from error


def operator_rules(config: Config) -> OperatorRules:
    """Return the operator's rules for everybody."""
    section = config.bot
    return OperatorRules(
        direct_messages=section.direct_messages,
        direct_message_seconds=section.direct_message_seconds,
        allowed_tenants=section.allowed_tenants,
    )


def watermark(config: Config) -> WatermarkSettings:
    """Return the mark on every clip."""
    return WatermarkSettings(**dict(config.watermark))


def executor(
    config: Config, *, models: Iterable[str], report: Report | None = None
) -> LocalExecutor:
    """Return the worker for this machine's GPU, not yet started.

    Args:
        config: For models and data directory.
        models: That it knows.
        report: Hears of problems that last; without, nothing is remembered of the GPU either.
    """
    return LocalExecutor(
        models={name: config.models.options(name) for name in models},
        models_directory=config.models.directory,
        gpu_file=None if report is None else config.bot.data_dir / GPU_NAME,
        report=report or (lambda _key, _problem: None),
    )


def check_assistant(config: Config) -> None:
    """Check that the prompt assistant has what it needs, if there is one.

    Raises:
        UserError: `config.no_assistant_key`: OpenAI itself does not answer without one.
    """
    section = config.assistant
    if section.model is not None and section.api_key is None and section.base_url is None:
        raise UserError("config.no_assistant_key")


@contextlib.asynccontextmanager
async def assistant(config: Config) -> AsyncIterator[PromptAssistant | None]:
    """Keep the prompt assistant ready for the length of the block, if there is one.

    Raises:
        UserError: `config.no_assistant_key`: OpenAI itself does not answer without one.
    """
    section = config.assistant
    check_assistant(config)
    if section.model is None:
        yield None
        return
    # The client takes most of a second to import.
    from inference.assist.openai import AssistantSettings, open_assistant  # noqa: PLC0415

    settings = AssistantSettings(
        model=section.model,
        base_url=section.base_url,
        api_key=None if section.api_key is None else section.api_key.get_secret_value(),
        timeout_seconds=section.timeout_seconds,
    )
    async with open_assistant(settings) as made:
        yield made
