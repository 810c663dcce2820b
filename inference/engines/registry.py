"""Model registry: capabilities as data, and lazy engine factories.

Importing this module imports no model. Built-in models are listed here; a third party adds one
through the entry-point group `rushes.models`, whose value names a `ModelEntry` in a module
that imports without torch:

    [project.entry-points."rushes.models"]
    mymodel = "my_package.rushes:ENTRY"
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from inference.domain.errors import EngineError, UserError
from inference.domain.spec import Aspect, Mode, Resolution
from inference.engines import weights
from inference.engines.base import Capabilities, Cost, Footprint
from inference.engines.geometry import FRAMES, SIZES
from inference.engines.options import NoTable, OpensoraTable, TestcardTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from inference.engines.base import Engine
    from inference.engines.weights import Checkpoint

TESTCARD = "testcard"
NANO = "nano"
OPENSORA = "opensora"

CPU_MODELS = frozenset({NANO, TESTCARD})
"""Models that run on the CPU by design, whatever the machine has."""

_GROUP = "rushes.models"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Configuration of one model."""

    directory: Path | None = None
    """Where downloaded weights live."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The members of `[models.<name>]`, checked by `ModelEntry.options`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """Registry entry: capabilities and engine factory."""

    capabilities: Capabilities
    factory: Callable[[ModelOptions], Engine]
    """Called in the worker process only; imports what the engine needs."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """What has to be downloaded before; nothing for models that ship."""
    options: type[BaseModel] | None = None
    """Checks the members of `[models.<name>]`; None: the engine does, when it is made."""


def names() -> tuple[str, ...]:
    """Return all known models, built-in ones first; third-party ones are not imported."""
    return (*_BUILT_IN, *(name for name in sorted(_third_party()) if name not in _BUILT_IN))


def capabilities(name: str) -> Capabilities:
    """Return the capabilities of a model.

    Raises:
        UserError: `model.unknown`.
    """
    return _entry(name).capabilities


def checkpoints(name: str) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that a model needs.

    Raises:
        UserError: `model.unknown`.
    """
    return _entry(name).checkpoints


def create(name: str, options: ModelOptions) -> Engine:
    """Make a model's engine; its weights are read by `load`, not yet here.

    Raises:
        UserError: `model.unknown`.
        EngineError: `model.bad_option`, or the engine's own reason.
    """
    entry = _entry(name)
    if entry.options is not None:
        try:
            table = entry.options.model_validate(dict(options.values))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            option = ".".join(str(part) for part in first["loc"])
            raise EngineError("model.bad_option", option=option, value=first["input"]) from error
        options = replace(options, values=table.model_dump(exclude_unset=True))
    return entry.factory(options)


def check_options(name: str, values: Mapping[str, Any]) -> None:
    """Check the members of `[models.<name>]` without making the engine.

    Raises:
        UserError: `model.unknown`.
        ValidationError: A member is unknown or has a wrong value.
    """
    if (table := _entry(name).options) is not None:
        table.model_validate(dict(values))


def option_names(name: str) -> list[str]:
    """Return the legal members of `[models.<name>]`, as far as they are known here."""
    table = _entry(name).options
    return [] if table is None else sorted(table.model_fields)


def _entry(name: str) -> ModelEntry:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name in _third_party():
        return _loaded(name)
    raise UserError("model.unknown", name=name, known=list(names()))


@cache
def _third_party() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_GROUP)}


@cache
def _loaded(name: str) -> ModelEntry:
    entry = _third_party()[name].load()
    if not isinstance(entry, ModelEntry):
        raise TypeError(f"entry point {name!r} of {_GROUP} is not a ModelEntry")
    return entry


def _imported(path: str) -> Callable[[ModelOptions], Engine]:
    """Return a factory that imports `module:attribute` when it is called."""

    def factory(options: ModelOptions) -> Engine:
        module, attribute = path.split(":")
        engine: Engine = getattr(import_module(module), attribute)(options)
        return engine

    return factory


_BUILT_IN = {
    NANO: ModelEntry(
        capabilities=Capabilities(
            name=NANO,
            title="Open-Sora nano",
            resolutions=(Resolution.P360,),
            aspects=tuple(Aspect),
            frames=FRAMES,
            modes=frozenset(Mode),
            sizes=SIZES,
            # two CPU cores, 49 frames in 14 steps: 6.4 s; an image: 0.5 s
            cost=Cost(load_seconds=5.0, fixed_seconds=0.3, seconds_per_megapixel_frame_step=0.039),
            defaults={
                "resolution": Resolution.P360,
                "frames": 49,
                "steps": 14,
                "cfg": 4.0,
                "refine": False,  # it knows few words, and most people choose among them
            },
            negative=True,
            last_image=True,
            extends=True,
            prompt_advice=(
                "It knows simple drawings only. Write one short sentence in small letters: a"
                " colour and one thing, how it moves, and where. Things: ball, square, triangle,"
                " star, ring, heart, diamond, moon, cloud, tree, house, fish, boat, sun. Moves:"
                " moving to the left, to the right, up or down, bouncing, circling, growing,"
                " shrinking, standing still. Places: in the snow, in the night sky, at sunset, on a"
                " meadow, in the blue sky, in the city at night, in the desert, on the sea, on a"
                " checkerboard."
            ),
            native_note="upscaled",
        ),
        factory=_imported("inference.engines.opensora_models:nano"),
        options=NoTable,
    ),
    OPENSORA: ModelEntry(
        capabilities=Capabilities(
            name=OPENSORA,
            title="Open-Sora v1.3",
            resolutions=tuple(Resolution),
            aspects=tuple(Aspect),
            frames=FRAMES,
            modes=frozenset(Mode),
            sizes=SIZES,
            # the original on an H200: 360p with 49 and 97 frames takes 16 and 33 s, 720p 130 s
            cost=Cost(load_seconds=60.0, fixed_seconds=1.0, seconds_per_megapixel_frame_step=0.049),
            defaults={"steps": 30, "cfg": 7.0},
            negative=True,
            last_image=True,
            extends=True,
            footprint=Footprint(
                text_bytes=2 * weights.TEXT_ENCODER.parameters,
                transformer_bytes=2 * weights.I2V.parameters,
                transformer_sets=3,
                vae_bytes=2 * weights.VAE.parameters,
                hidden_size=1152,
                layers=56,
                base_channels=128,
            ),
        ),
        factory=_imported("inference.engines.opensora_models:official"),
        checkpoints=weights.OPENSORA,
        options=OpensoraTable,
    ),
    TESTCARD: ModelEntry(
        capabilities=Capabilities(
            name=TESTCARD,
            title="Test card",
            resolutions=tuple(Resolution),
            aspects=tuple(Aspect),
            frames=FRAMES,
            modes=frozenset(Mode),
            sizes=SIZES,
            cost=Cost(load_seconds=0.1, fixed_seconds=0.5, seconds_per_megapixel_frame_step=0.005),
            defaults={"steps": 10},
            last_image=True,
            extends=True,
        ),
        factory=_imported("inference.engines.testcard:TestcardEngine"),
        options=TestcardTable,
    ),
}
