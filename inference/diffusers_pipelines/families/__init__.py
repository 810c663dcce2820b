"""Registries of model families by pipeline class, and of presets by name."""

from __future__ import annotations

from inference.diffusers_pipelines.families import cogvideox, hunyuan, kandinsky, ltx, mochi, wan
from inference.diffusers_pipelines.traits import Family, Preset

FAMILIES: tuple[Family, ...] = (
    wan.FAMILY,
    wan.VACE,
    ltx.VIDEO,
    ltx.LTX2,
    kandinsky.FAMILY,
    hunyuan.FAMILY,
    cogvideox.FAMILY,
    mochi.FAMILY,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        wan.WAN,
        wan.WAN_14B,
        wan.WAN_SMALL,
        wan.WAN_VACE,
        ltx.PRESET,
        kandinsky.PRESET,
    )
}

_BY_CLASS = {name: family for family in FAMILIES for name in family.classes}


def family_of(pipeline_class: str) -> Family | None:
    """Return the family of a pipeline class, or None if it is not supported."""
    return _BY_CLASS.get(pipeline_class)
