"""Use of an effect in a render, as stored with the job and written into its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from inference.domain.reference import Reference, read_reference

OptionValue = str | int | float | bool
"""Value of a model's or an effect's own option, as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectUse:
    """An effect with its values; readable also when its plugin is gone."""

    name: str
    package: str
    """The distribution that it came from."""
    version: str
    """Of that distribution."""
    seconds_per_megapixel_frame: float
    """Its cost, so that a stored job can be estimated without the plugin."""
    values: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)
    """Its options that are choices, numbers and switches, by name."""
    pictures: Mapping[str, Reference] = field(default_factory=dict, hash=False)
    """Its options that are pictures, by name."""
    reference_weight: float | None = None
    """How strongly, 0 to 1, the model follows its pictures; None: the effect changes the frames."""

    @property
    def release(self) -> str:
        """The package and its version, as people read it."""
        return f"{self.package} {self.version}"

    @property
    def changes_frames(self) -> bool:
        """Whether the effect is applied to the frames; if not, the model gets its pictures."""
        return self.reference_weight is None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild it from its JSON form, ignoring members that later versions may add.

        Raises:
            ValueError: A picture is no reference.
            KeyError: A member is missing.
        """
        given = data.get("pictures", {})
        pictures = {
            name: picture
            for name, each in (given.items() if isinstance(given, Mapping) else ())  # of a recipe
            if (picture := read_reference(each)) is not None
        }
        return cls(
            name=data["name"],
            package=data["package"],
            version=data["version"],
            seconds_per_megapixel_frame=data["seconds_per_megapixel_frame"],
            values=data.get("values", {}),
            pictures=pictures,
            reference_weight=data.get("reference_weight"),
        )
