"""Validation of options for presets and defaults, by the rules that hold for a render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from commands.installation import Installation
from commands.options import IMAGE, MODEL
from commands.refusal import Refusal
from commands.schema import Value
from commands.specs.layers import COMMAND, Layer
from commands.specs.resolve import resolve
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.domain.job import TYPED


def check_options(
    options: Mapping[str, Value], installation: Installation, *, model: str | None = None
) -> None:
    """Check that a render can have these options together.

    Args:
        options: Checked values by name; a model among them is the one that is judged by.
        installation: The installed models.
        model: Judged by if given; otherwise one of the installed models must be able to do it.

    Raises:
        UserError: What the model in question, or else the default one, refuses.
    """
    named = options.get(MODEL.name, model)
    default = installation.model(installation.default_model)
    others = [each for each in installation.models if each is not default]
    candidates = [default, *others] if named is None else [installation.model(str(named))]
    refusals: list[UserError] = []
    for candidate in candidates:
        if installation.problem(candidate.name) is not None:
            return  # its capabilities are unknown; a render with it gets the reason
        refusal = _refusal(options, candidate, installation)
        if refusal is None:
            return
        refusals.append(refusal)
    raise refusals[0]


def _refusal(
    options: Mapping[str, Value], model: Capabilities, installation: Installation
) -> UserError | None:
    """Return the refusal of options by a model, with or without a first image, or None."""
    refusals = []
    for image in ({}, {IMAGE.name: "-"}):
        values = {MODEL.name: model.name, **image}
        layers = [
            Layer(name=COMMAND, values=values, asked=True),
            Layer(name=TYPED, values={**options, MODEL.name: model.name}, asked=True),
        ]
        refusal = _resolve_error(layers, installation)
        if refusal is None:
            return None
        refusals.append(refusal)
    needs_image = refusals[0].code == "model.needs_image"
    return refusals[1] if needs_image else refusals[0]


def _resolve_error(layers: Sequence[Layer], installation: Installation) -> UserError | None:
    """Return the refusal of a request, or None.

    What an effect takes beside its switch is fine by itself: it waits for a render with the effect.
    """
    while True:
        try:
            resolve("-", layers, installation)
        except Refusal as refusal:
            if refusal.code != "effect.off":
                return refusal
            [idle] = refusal.offers
            layers = [
                replace(
                    layer,
                    values={name: each for name, each in layer.values.items() if name not in idle},
                )
                for layer in layers
            ]
        except UserError as error:
            return error
        else:
            return None
