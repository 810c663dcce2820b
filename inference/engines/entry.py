"""Model entry: a model's capabilities as data, and the factory of its engine. No torch."""

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
"""Error code of `check_memory` if a shorter clip fits; the parameter `longest` is its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Arguments of an engine factory."""

    capabilities: Capabilities
    """Capabilities of the entry, with its configured name."""
    directory: Path | None = None
    """Directory of downloaded weights."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Keys of `[models.<name>]`, validated by `ModelEntry.options`."""


def _none_needed() -> None:
    """Default of `ModelEntry.check_files`: accept."""


def _none_named() -> Path | None:
    """Default of `ModelEntry.verify_files`: no configured files."""
    return None


def _fits_everywhere(_spec: Spec, _device: Device) -> None:
    """Default of `ModelEntry.check_memory`: accept every render."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """Entry of a model in the registry: capabilities as data, and an engine factory."""

    capabilities: Capabilities
    factory: Callable[[ModelOptions], Engine]
    """Creates the engine. Called in the worker process only, where it imports what is needed."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Checkpoints to download before use; none for bundled models."""
    options: type[BaseModel] | None = None
    """Model that validates `[models.<name>]`; None: the engine's factory validates."""
    configure: Callable[[ModelEntry, BaseModel], ModelEntry] | None = None
    """Returns the entry changed by its table `[models.<name>]`, for keys that change capabilities.
    """
    check_memory: Callable[[Spec, Device], object] = _fits_everywhere
    """Raises `UserError` if a render does not fit a device, with the nearest that does."""
    check_files: Callable[[], None] = _none_needed
    """Raises `UserError` if configured files are missing; called before each job."""
    check_parts: Callable[[], None] = _none_needed
    """Raises `UserError` if the parts of configured files do not fit each other. No torch; it may
    take a second."""
    verify_files: Callable[[], Path | None] = _none_named
    """Verifies the contents of configured files and returns their folder, or None without one.
    Imports torch and takes seconds; raises `UserError`."""
    random_prompt: Callable[[Spec], str] | None = None
    """Draws a prompt by the spec's seed, for models with a small vocabulary; None for others."""
    needs_card: bool = True
    """Whether a machine with a GPU must not fall back to the CPU. Plugins use the
    name, which is why it does not say `gpu`."""
    uses_torch: bool = True
    """Whether the engine uses torch, and the worker therefore probes for a GPU."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Keys that are set in `[models.<name>]`."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Those keys that change the clip, which recipes in files name."""

    def fits(self, resolution: Resolution, device: Device) -> bool:
        """Return whether the most demanding render of a resolution fits; see `largest_spec`."""
        return self.longest(resolution, device) == max(self.capabilities.lengths)

    def longest(self, resolution: Resolution, device: Device) -> int | None:
        """Return the most frames that fit at the largest size of a resolution; None if none do."""
        spec = self.largest_spec(resolution)
        try:
            self.check_memory(spec, device)
        except UserError as error:
            longest = error.params.get("longest")
            return longest if error.code == TOO_LONG and isinstance(longest, int) else None
        return spec.frames

    def largest_spec(self, resolution: Resolution) -> Spec:
        """Return the largest and longest clip of a resolution, from an image if supported."""
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

    def with_name(self, name: str) -> Self:
        """Return a copy of the entry with another name."""
        if name == self.capabilities.name:
            return self
        return replace(self, capabilities=replace(self.capabilities, name=name))


def import_when_called(path: str) -> Callable[..., Any]:
    """Return a function that imports `module:attribute` when called, and calls it."""

    def call(*arguments: Any) -> Any:
        module, attribute = path.split(":")
        return getattr(import_module(module), attribute)(*arguments)

    return call
