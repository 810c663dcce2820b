"""Match of a folder with a preset: whether it holds the preset's model. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.diffusers_pipelines.families import PRESETS

if TYPE_CHECKING:
    from inference.diffusers_pipelines.traits import Preset
    from inference.diffusers_pipelines.weights.folder import Folder


def better_preset(preset: Preset, folder: Folder) -> str | None:
    """Return the name of the preset that a folder is for; None if the given one fits.

    A family has models that differ in sizes, rate and settings. Only what tells them apart for
    certain counts, so that weights of other sizes go with the nearest preset.
    """
    if _fits(preset, folder):
        return None
    family = (one for one in PRESETS.values() if one.family.name == preset.family.name)
    right = [one for one in family if _fits(one, folder)]
    right.sort(key=lambda one: _hidden(one) != folder.hidden)
    return right[0].name if right else None


def _fits(preset: Preset, folder: Folder) -> bool:
    """Return whether a preset serves the inputs of a folder and has its transformers."""
    if preset.family.shared_if and folder.serves_all != ("any" in preset.repositories):
        return False
    if not folder.transformers <= preset.parameters.keys():
        return False
    hidden = {_hidden(one) for one in PRESETS.values() if one.family.name == preset.family.name}
    return folder.hidden not in hidden or folder.hidden >= _hidden(preset)


def _hidden(preset: Preset) -> int:
    return (preset.widths or preset.family.widths).hidden
