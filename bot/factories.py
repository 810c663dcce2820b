"""Factories: models, workers, watermark and rules, made from a config."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bot.config.sections import Config
from bot.plugins.loader import gather
from commands.installation import Installation
from commands.option_set import can_be_typed, find_misnamed_option
from commands.policy.operator_rules import OperatorRules
from inference.domain.device import Device
from inference.domain.errors import EngineError, RushesError, UserError, UserErrors
from inference.domain.spec import Spec
from inference.domain.watermark import WatermarkSettings
from inference.effects.base import EffectEntry
from inference.effects.registry import Effects
from inference.engines.built_in import ENTRIES
from inference.engines.entry import ModelEntry
from inference.engines.registry import Models
from inference.engines.weights import folder, is_installed
from inference.opensora.files import CheckpointError
from inference.plugins.problem import PluginError
from inference.plugins.registry import Plugins
from inference.store.backups import FOLDER as BACKUPS
from inference.workers.devices import AUTO, GPU, device_environment, missing, slot_names
from inference.workers.local_slot import LocalSlot, Report
from inference.workers.pool import Pool

GPU_NAME = "gpu"
"""File in the data directory that names the GPU that was there; `gpu-<slot>` for each of several.
"""


def models(config: Config, plugins: Plugins | None = None) -> Models:
    """Return the models that can be made with a config.

    Args:
        config: With tables of models.
        plugins: Notes which plugins cannot be used; None loads them.

    Raises:
        UserError: `config.not_table`.
    """
    section = config.models
    return Models(
        section.tables(), directory=section.directory, plugins=plugins or load_plugins(config)
    )


def load_plugins(config: Config) -> Plugins:
    """Return the plugins that can be used with a config; their texts are found from now on."""
    return gather(config.plugins.disabled, config.plugins.tables())


def describe_installation(config: Config, known: Models | None = None) -> Installation:
    """Return the installed models for texts and parsing, without any check of their weights.

    Args:
        config: Names them.
        known: What can be made; None makes it from the config.

    Raises:
        UserError: `model.unknown`, or `plugin.broken` where no model is left.
    """
    known = known or models(config)
    return _describe_installation(config, _find_installed(config, known), known)


def make_installation(
    config: Config,
    known: Models | None = None,
    device: Callable[[], Device | None] = lambda: None,
    check_gpu: Callable[[str], None] = lambda _model: None,
) -> Installation:
    """Return the installed models with the checks that each job must pass.

    Args:
        config: Names them.
        known: What can be made; None makes it from the config.
        device: Says what they run on, once that is known.
        check_gpu: Raises `EngineError` for a model whose GPU got lost.

    Raises:
        UserError: `model.*`: one of them is unknown or not downloaded, or the default is not
            installed.
    """
    known = known or models(config)
    entries = _find_installed(config, known)
    folders = {name: _folders(entry, config.models.directory) for name, entry in entries.items()}

    def check(spec: Spec) -> None:
        if problem := known.problem(spec.model):
            raise problem
        if not all(map(is_installed, folders[spec.model])):
            raise UserError("model.no_weights", model=spec.model)
        entries[spec.model].check_files()
        try:
            check_gpu(spec.model)
        except EngineError as error:
            raise UserError(error.code, **error.params) from error
        if there := device():
            entries[spec.model].check_memory(spec, there)

    made = _describe_installation(config, entries, known)
    made.model(made.default_model)
    return replace(made, check=check, problem=known.problem)


def _describe_installation(
    config: Config, entries: Mapping[str, ModelEntry], known: Models
) -> Installation:
    return Installation(
        models=tuple(entry.capabilities for entry in entries.values()),
        default_model=config.models.default or next(iter(entries)),
        others=tuple(one.capabilities for name, one in ENTRIES.items() if name not in entries),
        broken=frozenset(known.problems),
        effects=tuple(_usable_effects(entries, known.plugins)),
        assistant=config.assistant.on,
        random_prompts={
            name: entry.random_prompt
            for name, entry in entries.items()
            if entry.random_prompt is not None
        },
    )


def _usable_effects(entries: Mapping[str, ModelEntry], plugins: Plugins) -> Iterator[EffectEntry]:
    """Yield the effects of plugins; one whose options have taken names is left out."""
    effects = Effects(plugins)
    taken = {
        option.name: entry.capabilities.title
        for entry in entries.values()
        for option in entry.capabilities.options
    }
    for effect in effects:
        names = [option.name for option in effect.options]
        wrong = [name for name in names if not can_be_typed(name) or names.count(name) > 1]
        if wrong:
            problem = f"{wrong[0]!r} is taken, or cannot be the name of an option"
            effects.reject(effect.name, PluginError(problem))
            continue
        if already := [name for name in names if name in taken]:
            problem = f"{taken[already[0]]} has an option {already[0]!r} too, and counts"
            effects.reject(effect.name, PluginError(problem))
            continue
        taken |= dict.fromkeys(names, f"the effect {effect.name}")
        yield effect


def _find_installed(config: Config, known: Models) -> dict[str, ModelEntry]:
    """Return the installed models by name; those of broken plugins are left out.

    One whose folder is broken stays, so that it can be the default; `make_installation` refuses it.

    Raises:
        UserError: `model.unknown`, or `plugin.broken` where no model is left.
    """
    names = config.models.installed
    found, problems = {}, []
    usable = {entry.capabilities.name: entry for entry in known.usable(names)}
    for name in names:
        entry = known.stand_in(name) if name in known.problems else usable.get(name)
        if entry is None:
            continue
        if option := find_misnamed_option(entry.capabilities):
            wrong = PluginError(f"{option!r} is taken, or cannot be the name of an option")
            problems.append(known.reject(name, wrong))
        else:
            found[name] = entry
    if not found:
        known.entry(names[0])  # says why
        raise UserErrors.of(problems)
    return found


def _folders(entry: ModelEntry, directory: Path | None) -> list[Path]:
    """Return where a model's weights are.

    Raises:
        UserError: `model.no_weights`, or what is wrong with them.
    """
    try:
        return [folder(one, directory) for one in entry.checkpoints]
    except CheckpointError as error:
        if error.code != "checkpoint.missing":
            found = error.for_model(entry.capabilities.name)
            raise UserError(found.code, **found.params) from error
        raise UserError("model.no_weights", model=entry.capabilities.name) from error


def locate_problem(config: Config, model: str, problem: UserError) -> UserError:
    """Return the problem of a model's folder with the place in the config that names it."""
    blamed: tuple[str, ...] = ("path",) if problem.code.startswith("folder.") else ()
    if problem.code.startswith(("gguf.", "lora.")) and "key" in problem.params:
        blamed = (str(problem.params["key"]),)
    at = ("models", model, *blamed)
    return UserError("config.model", where=config.where(*at), key=".".join(at), problem=problem)


def backup_folder(config: Config) -> Path:
    """Return where backups of the database lie."""
    return config.backup.directory or config.bot.data_dir / BACKUPS


def operator_rules(config: Config) -> OperatorRules:
    """Return the operator's rules, which hold for every tenant."""
    section = config.bot
    return OperatorRules(
        direct_messages=section.direct_messages,
        direct_message_seconds=section.direct_message_seconds,
        allowed_tenants=section.allowed_tenants,
    )


def watermark(config: Config) -> WatermarkSettings:
    """Return the watermark settings."""
    return WatermarkSettings(**dict(config.watermark))


def pool(
    config: Config, known: Models, *, names: Iterable[str], report: Report | None = None
) -> Pool:
    """Return the pool of slots of this machine, not yet started.

    Args:
        config: For devices and data directory.
        known: The models that can be made.
        names: Those that the workers know.
        report: Hears of problems that last; without, nothing is remembered of the GPU either.
    """
    devices = config.workers.devices
    entries = {entry.capabilities.name: entry for entry in known.usable(names)}
    tables = {
        name: {**known.tables.get(name, {}), **entry.values} for name, entry in entries.items()
    }
    gpu = next((device for device in devices if device.startswith(GPU)), "")

    def slot(name: str, device: str) -> LocalSlot:
        def tell(key: str, problem: RushesError | None) -> None:
            if report is not None:
                report(key if len(devices) == 1 else f"{key} {name}", problem)

        return LocalSlot(
            name,
            device=device,
            gpu=gpu,
            environment=device_environment(device, devices, os.environ),
            models=tables,
            plugins=known.plugins,
            models_directory=config.models.directory,
            gpu_file=None if report is None else gpu_file(config, device),
            report=tell,
        )

    def fits(spec: Spec, there: Device) -> bool:
        try:
            entries[spec.model].check_memory(spec, there)
        except (KeyError, UserError):
            return False
        return True

    slots = [slot(*named) for named in zip(slot_names(devices), devices, strict=True)]
    on_cpu = frozenset(name for name, entry in entries.items() if not entry.needs_card)
    return Pool(slots, fits, on_cpu)


def gpu_file(config: Config, device: str) -> Path:
    """Return the file with the name of the last GPU of a device."""
    suffix = "" if device == AUTO else f"-{device.replace(':', '-')}"
    return config.bot.data_dir / f"{GPU_NAME}{suffix}"


def find_missing_devices(config: Config) -> Iterator[UserError]:
    """Yield an error for each card that is not there and never was."""
    where = config.where("workers", "devices")
    # pathlib's `exists` raises behind a closed folder, which is told with the data.
    new = [one for one in config.workers.devices if not os.path.exists(gpu_file(config, one))]  # noqa: PTH110
    absent, count = missing(new)
    for device in absent:
        yield UserError("config.no_device", where=where, name=device, count=count)


def check_devices(config: Config) -> None:
    """Check that every card is there.

    Raises:
        UserError: `config.no_device`; several together are `UserErrors`.
    """
    if found := list(find_missing_devices(config)):
        raise UserErrors.of(found)
