"""Model entry: what a model can do, and how its engine is made. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.domain.reference import IMAGE_NAME, Prepared
from inference.domain.spec import Mode, Spec

if TYPE_CHECKING:
    from pathlib import Path

    from inference.domain.device import Device
    from inference.domain.spec import Resolution
    from inference.engines.base import Engine
    from inference.engines.weights import Checkpoint


TOO_LONG = "memory.too_long"
"""Code of `check_memory` where a shorter clip fits: `longest` says how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What an engine is made from."""

    capabilities: Capabilities
    """Of the entry, under the name that it has here."""
    directory: Path | None = None
    """Where downloaded weights live."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The members of `[models.<name>]`, checked by `ModelEntry.options`."""


def _none_needed() -> None:
    """Check the files of a model that needs none."""


def _none_named() -> Path | None:
    """Verify the files of a model whose config names none."""
    return None


def _fits_everywhere(_spec: Spec, _device: Device) -> None:
    """Accept every render."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model in the registry: capabilities as data, and an engine factory."""

    capabilities: Capabilities
    factory: Callable[[ModelOptions], Engine]
    """Called in the worker process only; imports what the engine needs."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """What has to be downloaded before; nothing for models that ship."""
    options: type[BaseModel] | None = None
    """Checks the members of `[models.<name>]`; None: the engine does, when it is made."""
    configure: Callable[[ModelEntry, BaseModel], ModelEntry] | None = None
    """Returns the entry for members of `[models.<name>]` that change its capabilities."""
    check_memory: Callable[[Spec, Device], object] = _fits_everywhere
    """Raises `UserError` with the nearest that fits where a render does not fit a device."""
    check_files: Callable[[], None] = _none_needed
    """Raises `UserError` where files have gone that the config names: asked before each job."""
    verify_files: Callable[[], Path | None] = _none_named
    """Compares what is in such files with what it should be, and returns their folder, if one is
    named. Imports torch and takes seconds; raises `UserError`."""
    random_prompt: Callable[[Spec], str] | None = None
    """Draws a prompt by the spec's seed, for models that know few words; None: any will do."""
    needs_card: bool = True
    """Whether a machine that has a GPU must not render it on the CPU."""
    uses_torch: bool = True
    """Whether the worker has to look for a GPU at all."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The members of `[models.<name>]` that were given."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What of them the recipe of a file names, because it changes what comes out."""

    def fits(self, resolution: Resolution, device: Device) -> bool:
        """Return whether the largest and longest clip of a resolution fits, from an image."""
        return self.longest(resolution, device) == max(self.capabilities.lengths)

    def longest(self, resolution: Resolution, device: Device) -> int | None:
        """Return the most frames that fit at the largest size of a resolution, or None."""
        spec = self.largest_spec(resolution)
        try:
            self.check_memory(spec, device)
        except UserError as error:
            longest = error.params.get("longest")
            return longest if error.code == TOO_LONG and isinstance(longest, int) else None
        return spec.frames

    def largest_spec(self, resolution: Resolution) -> Spec:
        """Return the largest and longest clip of a resolution, from an image where it can be."""
        model = self.capabilities
        sized = {key: size for key, size in model.sizes.items() if key[0] is resolution}
        aspect = max(sized, key=lambda key: sized[key].width * sized[key].height)[1]
        return Spec(
            prompt="",
            model=model.name,
            resolution=resolution,
            aspect=aspect,
            frames=max(model.lengths),
            refine=False,
            seed=0,
            steps=int(model.steps.default),
            cfg=model.cfg.default,
            loops=1,
            image=Prepared(IMAGE_NAME) if Mode.IMAGE_TO_VIDEO in model.modes else None,
        )

    def named(self, name: str) -> Self:
        """Return the entry under another name."""
        if name == self.capabilities.name:
            return self
        return replace(self, capabilities=replace(self.capabilities, name=name))


def imported(path: str) -> Callable[..., Any]:
    """Return a function that imports `module:attribute` when it is called, and calls that."""

    def call(*arguments: Any) -> Any:
        module, attribute = path.split(":")
        return getattr(import_module(module), attribute)(*arguments)

    return call
