"""`rushes models`: lists, downloads and verifies models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bot import factories
from bot.config.sections import Config
from commands.text.messages import error_text, format_estimate, text
from inference.domain.device import Device
from inference.domain.errors import StoreError, UserError
from inference.domain.spec import Resolution
from inference.engines import weights
from inference.engines.entry import ModelEntry
from inference.engines.registry import WEIGHTS_CODES, Models
from inference.engines.weights import Checkpoint
from inference.jobs.estimates.cost_model import CostModel
from inference.jobs.estimates.device_costs import LEARN_FROM, DeviceCosts
from inference.opensora.files import CheckpointError
from inference.store.maintenance import read_delivered_jobs
from inference.workers.device_report import DeviceReport

TESTCARD_NAME = "testcard"
"""Not offered to be installed: it is for trying."""

_GIGABYTE = 1e9
_LOADED_BYTES = 2
"""Of each number, in the precision that a GPU works in."""


def list_models(config: Config, report: DeviceReport, locale: str) -> Iterator[str]:
    """Yield a line for each model, the installed ones first, and lines about it.

    They say whether it fits the machine and how long a clip takes, and for each checkpoint whether
    it is there. The last line is about the machine.
    """
    models = factories.models(config)
    machine = _Machine.of(config, report, models, locale)
    installed = config.models.installed
    default = config.models.default or next(iter(installed), "")
    others = (name for name in models.names() if name not in {*installed, TESTCARD_NAME})
    for name in (*installed, *others):
        entry = next(iter(models.usable([name])), None)
        if entry is None:
            if problem := models.problems.get(name):
                placed = factories.locate_problem(config, name, problem)
                yield f"{name}  {error_text(placed, locale)}"
            continue
        model = entry.capabilities
        facts = [model.title, *model.resolutions, *sorted(model.modes)]
        if name == default:
            facts.append(text("cli.models.default", locale))
        if name not in installed:
            facts.append(text("cli.models.not_installed", locale))
        yield f"{name}  {_join(facts, locale)}"
        yield f"  {machine.fit(entry)}"
        for checkpoint in entry.checkpoints:
            yield f"  {_describe_checkpoint(checkpoint, name, config.models.directory, locale)}"
    yield machine.line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """The device that models would run on, and the measured times of renders there."""

    device: Device
    has_torch: bool
    costs: CostModel
    locale: str

    @classmethod
    def of(cls, config: Config, report: DeviceReport, models: Models, locale: str) -> Self:
        device = Device(name=report.name, memory_bytes=report.memory_bytes, problem=report.problem)
        costs = DeviceCosts()
        with suppress(StoreError):  # `rushes doctor` says what is wrong with it
            costs.learn_from(
                read_delivered_jobs(config.bot.data_dir, LEARN_FROM), models.capabilities
            )
        return cls(
            device=device,
            has_torch=report.torch is not None,
            costs=costs.on(device.name),
            locale=locale,
        )

    @property
    def line(self) -> str:
        """The device, and what its memory is."""
        size = _gigabytes(self.device.memory_bytes)
        key = "cli.models.machine" if self.has_torch else "cli.models.no_torch"
        return text(key, self.locale, name=self.device.name, size=size)

    def fit(self, entry: ModelEntry) -> str:
        """Return which clips of a model fit the memory, and about how long one takes."""
        model = entry.capabilities
        longest = {one: entry.longest(one, self.device) for one in model.resolutions}
        fitting = {one: frames for one, frames in longest.items() if frames is not None}
        if not fitting:
            return self._misfit(entry)
        facts = [
            text(
                "cli.models.up_to",
                self.locale,
                resolution=resolution.value,
                frames=text("unit.frames", self.locale, count=frames),
            )
            for resolution, frames in fitting.items()
        ]
        return _join(
            (text("cli.models.fits", self.locale), *facts, self._time(entry, fitting)), self.locale
        )

    def _misfit(self, entry: ModelEntry) -> str:
        try:
            entry.check_memory(entry.largest_spec(entry.capabilities.resolutions[0]), self.device)
        except UserError as error:
            return error_text(error, self.locale)
        raise AssertionError(entry.capabilities.name)

    def _time(self, entry: ModelEntry, fitting: Mapping[Resolution, int]) -> str:
        """Return about how long a clip takes at the largest resolution that fits."""
        model = entry.capabilities
        resolution = list(fitting)[-1]
        usual = min(
            int(str(model.defaults.get("frames", fitting[resolution]))), fitting[resolution]
        )
        spec = replace(
            entry.largest_spec(resolution), frames=model.lengths.nearest(usual), image=None
        )
        measured = self.costs.is_measured(spec)
        if not measured and entry.needs_card and self.device.is_cpu:
            return text("cli.models.no_time", self.locale)
        key = "cli.models.estimate_gpu" if entry.needs_card else "cli.models.estimate"
        return text(
            "cli.models.measured" if measured else key,
            self.locale,
            resolution=resolution.value,
            frames=text("unit.frames", self.locale, count=spec.frames),
            time=format_estimate(self.costs.seconds(spec, model), self.locale),
        )


def pull_weights(config: Config, model: str, locale: str) -> Iterator[str]:
    """Download a model's checkpoints one after the other, yielding where each is.

    Raises:
        UserError: `model.not_known`.
        CheckpointError: `checkpoint.offline`; what is there by then is kept.
    """
    checkpoints = _entry(config, model).checkpoints
    if not checkpoints:
        yield text("cli.models.nothing_to_pull", locale, model=model)
    for checkpoint in checkpoints:
        if checkpoint.kind in {weights.CheckpointKind.PIPELINE, weights.CheckpointKind.LORAS}:
            size, licence = weights.offer(checkpoint, config.models.directory)
            licence = licence or text("cli.models.no_licence", locale)
            size_text = text("cli.models.size", locale, size=_gigabytes(size))
            facts = (checkpoint.source, size_text, licence)
            yield text("cli.models.download", locale, facts=_join(facts, locale))
        try:
            folder = weights.pull(checkpoint, config.models.directory)
        except CheckpointError as error:
            raise error.for_model(model) from error
        yield _there(checkpoint, folder, locale)
    if model not in config.models.installed:
        installed = ", ".join(f'"{name}"' for name in (model, *config.models.installed))
        yield text("cli.models.next", locale, installed=installed)


def verify_weights(config: Config, model: str, locale: str) -> Iterator[tuple[bool, str]]:
    """Verify a model's weights, yielding whether each folder is sound, and a line about it.

    Raises:
        UserError: `model.not_known`, or what is wrong with a folder that the config names.
    """
    entry = _entry(config, model)
    with _name_folder(config, model):
        path = entry.verify_files()
    if path is not None:
        facts = (text("cli.models.size", locale, size=_gigabytes(weights.size_bytes(path))), path)
        yield True, _join((model, *(str(fact) for fact in facts)), locale)
    checkpoints = entry.checkpoints
    if path is None and not checkpoints:
        yield True, text("cli.models.nothing_to_pull", locale, model=model)
    for checkpoint in checkpoints:
        try:
            folder = weights.folder(checkpoint, config.models.directory)
            weights.verify(checkpoint, folder)
        except CheckpointError as error:
            absent = error.code == "checkpoint.missing"
            said = text("cli.models.pull", locale, model=model) if absent else None
            said = said or error_text(error.for_model(model), locale)
            yield False, f"{checkpoint.source}: {said}"
        else:
            yield True, _there(checkpoint, folder, locale)


def _entry(config: Config, model: str) -> ModelEntry:
    with _name_folder(config, model):
        return factories.models(config).entry(model)


@contextmanager
def _name_folder(config: Config, model: str) -> Iterator[None]:
    """Add to what is wrong with a folder the place in the config that names it."""
    try:
        yield
    except UserError as error:
        if error.code.startswith(WEIGHTS_CODES):
            raise factories.locate_problem(config, model, error) from error
        raise


def _describe_checkpoint(
    checkpoint: Checkpoint, model: str, directory: Path | None, locale: str
) -> str:
    try:
        return _there(checkpoint, weights.folder(checkpoint, directory), locale)
    except CheckpointError as error:
        if error.code != "checkpoint.missing":
            return f"{checkpoint.source}: {error_text(error.for_model(model), locale)}"
        bytes_, key = checkpoint.parameters * _LOADED_BYTES, "cli.models.absent"
        if checkpoint.download_bytes is not None:
            bytes_, key = checkpoint.download_bytes, "cli.models.absent_download"
        absent = text(key, locale, source=checkpoint.source, size=_gigabytes(bytes_))
        return absent if checkpoint.licence is None else _join((absent, checkpoint.licence), locale)


def _there(checkpoint: Checkpoint, folder: Path, locale: str) -> str:
    licence = checkpoint.licence or weights.licence(folder)
    licence = licence or text("cli.models.no_licence", locale)
    facts = (
        checkpoint.source,
        text("cli.models.size", locale, size=_gigabytes(weights.size_bytes(folder))),
        licence,
        str(folder),
    )
    return _join(facts, locale)


def _join(facts: Iterable[str], locale: str) -> str:
    return text("facts.separator", locale).join(facts)


def _gigabytes(size: int) -> str:
    return f"{size / _GIGABYTE:.1f}"
