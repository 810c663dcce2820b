"""The effect port: what a plugin implements to change frames. Needs numpy, no torch.

An effect runs in the worker, after decoding and before the watermark, on chunks of frames. It is
chosen by the option of the same name: `--style` switches the effect `style` on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from inference.domain.capabilities import ModelOption, OptionKind, is_modes
from inference.domain.effect_use import OptionValue
from inference.domain.spec import Mode
from inference.plugins.problem import PluginError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from pydantic import BaseModel

    from inference.domain.spec import Size

    Frames = npt.NDArray[np.uint8]
    """uint8 [frames, height, width, 3], RGB."""

_SWITCHES = (OptionKind.IMAGE, OptionKind.FLAG, OptionKind.NUMBER, OptionKind.INTEGER)
"""Kinds of the option that switches an effect on; a choice does where its default means off."""


class Effect(Protocol):
    """An effect on one clip; a new object is made for each, so its attributes are the clip's."""

    def apply(self, frames: Frames, context: EffectContext) -> Frames:
        """Return a chunk of frames changed; the same shape and type.

        Args:
            frames: Consecutive frames, the chunks in order; they may be changed in place.
            context: Of the clip.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectContext:
    """The clip that an effect is applied to."""

    values: Mapping[str, OptionValue]
    """The effect's options that are not pictures, by name, each with a legal value."""
    pictures: Mapping[str, Frames]
    """Its pictures that were given, by name of the option: uint8 [height, width, 3], RGB."""
    size: Size
    fps: int
    frames: int
    """Of the whole clip; 1 is an image."""
    seed: int
    """Of the render: the same seed shall give the same clip."""
    config: BaseModel | None = None
    """The plugin's section `[plugins.NAME]`, checked."""
    cancelled: Callable[[], bool] = lambda: False
    """Whether the job was cancelled; worth a look where a chunk takes longer than a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEntry:
    """An effect in the registry; the object that an entry point of `rushes.effects` names."""

    name: str
    """Also the name of the option that switches it on, which is in `options`."""
    options: tuple[ModelOption, ...]
    """Its options; people type them as `--NAME`, so unique names are best: `style-strength`.

    The effect is applied where the option of its name is set: a picture is given, a switch is on,
    a number or choice is another than the default. Free text is no option of an effect: prompts
    are moderated, and it would not be.
    """
    make: Callable[[EffectContext], Effect]
    """Called in the worker, once per clip, before its first frame."""
    order: int = 0
    """Among effects of one clip, the lowest comes first; of equal ones, by name."""
    seconds_per_megapixel_frame: float = 0.0
    """What it costs on one core, for estimates and quotas."""
    modes: frozenset[Mode] = field(default_factory=lambda: frozenset(Mode))
    """Renders that it can be applied to."""
    reference_strength: str | None = None
    """Its option that says in percent how strongly a model follows its pictures.

    With it, models that can be made to look at reference images (`Capabilities.references`) get
    them, and the frames stay as these models make them; with all others the effect is applied.
    """
    package: str = ""
    """The distribution that brought it; filled in by the registry, as are the next two."""
    version: str = ""
    config: Any = None

    def __post_init__(self) -> None:
        self._check_types()
        switch = next((option for option in self.options if option.name == self.name), None)
        if switch is None:
            raise PluginError(f"{self.name}: none of its options is named so")
        if switch.kind not in (*_SWITCHES, OptionKind.CHOICE):
            raise PluginError(f"{self.name}: {switch.kind} is no kind of a switch")
        if any(option.kind is OptionKind.TEXT for option in self.options):
            raise PluginError(f"{self.name}: an effect takes no free text")
        if self.reference_strength is not None:
            self._check_reference()
        if not 0 <= self.seconds_per_megapixel_frame < float("inf"):
            raise PluginError(f"{self.name}: its cost is no number of seconds")

    def _check_types(self) -> None:
        options = self.options
        if not isinstance(options, tuple) or not all(isinstance(o, ModelOption) for o in options):
            raise PluginError(f"{self.name}: its options are not a tuple of ModelOption")
        if not callable(self.make):
            raise PluginError(f"{self.name}: its make is no function")
        if not isinstance(self.order, int):
            raise PluginError(f"{self.name}: its order is no whole number")
        if not isinstance(self.seconds_per_megapixel_frame, int | float):
            raise PluginError(f"{self.name}: its cost is no number of seconds")
        if not is_modes(self.modes):
            raise PluginError(f"{self.name}: its modes are no frozenset of Mode")

    def _check_reference(self) -> None:
        strength = next(
            (each for each in self.options if each.name == self.reference_strength), None
        )
        if strength is None or (strength.lowest, strength.highest) != (0, 100):
            raise PluginError(f"{self.name}: {self.reference_strength} is no option from 0 to 100")
        if self.switch.kind is not OptionKind.IMAGE:
            raise PluginError(f"{self.name}: it has no picture that a model could follow")

    @property
    def switch(self) -> ModelOption:
        """The option that switches it on."""
        return next(option for option in self.options if option.name == self.name)
