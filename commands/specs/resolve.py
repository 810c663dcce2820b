"""Resolution of a spec from layers of settings, with the origin of every value."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from commands.installation import Installation
from commands.option_set import own_option
from commands.options import (
    ASPECT,
    CFG,
    COUNT,
    DRAFT,
    IMAGE,
    LAST,
    LOOPS,
    MODEL,
    NEGATIVE,
    REFINE,
    RESOLUTION,
    SEED,
    STEPS,
)
from commands.schema import Value
from commands.specs.layers import CONFIG, Choice, Layer
from commands.specs.model_checks import (
    check_draft,
    check_last,
    check_loops,
    check_needs_last,
    check_negative,
    check_options,
    check_refine,
)
from inference.domain.capabilities import Capabilities, OptionKind
from inference.domain.errors import UserError
from inference.domain.job import RANDOM
from inference.domain.spec import SEEDS, Aspect, Resolution, Spec, mode_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A resolved spec, with the origin of each value."""

    spec: Spec
    origins: dict[str, str]
    """Option name -> name of the layer its value came from."""
    capabilities: Capabilities
    """Of the chosen model."""
    count: int = 1
    """The number of jobs, each with the next seed."""
    idle: Mapping[str, Value] = field(default_factory=dict)
    """Options of effects that are off -> the value that they would have."""


def draw_seed() -> int:
    """Return a random seed."""
    return secrets.randbelow(SEEDS)


def resolve(
    prompt: str,
    layers: Sequence[Layer],
    installation: Installation,
    *,
    seed: Callable[[], int] = draw_seed,
) -> Resolved:
    """Return a spec in which every option has a value.

    Args:
        prompt: What to show, checked.
        layers: Settings with checked values, the weakest first; built-in values and those of the
            config and the model are added here.
        installation: The installed models.
        seed: Called when no seed was chosen.

    Raises:
        UserError: `model.*`, `image.*`, `option.*`: an asked value is impossible with this model. A
            `Refusal` says what is possible. Or what is wrong with the model's folder.
    """
    layers = (Layer(name=CONFIG, values={MODEL.name: installation.default_model}), *layers)
    model = _choose_model(layers, installation)
    if problem := installation.problem(model.name):
        raise problem
    choice = Choice(layers, model, installation)
    asked = [name for layer in layers if layer.asked for name in layer.values]
    check_options(asked, model, installation)
    draft = bool(choice.pick(DRAFT, partial(check_draft, model)))
    if draft:
        choice.add_draft()
    else:
        choice.origins.pop(DRAFT.name, None)  # hardly anything is a draft
    image = choice.pick_reference(IMAGE)
    has_image = image is not None
    last = choice.pick_reference(LAST, partial(check_last, model, has_image=has_image))
    frames = choice.pick_frames(has_image=has_image)
    check_needs_last(model, last)
    mode = mode_of(frames, has_image=has_image)
    resolution = Resolution(choice.pick_listed(RESOLUTION, model.resolutions))
    sized = [item for item in model.aspects if (resolution, item) in model.sizes]
    aspect = Aspect(choice.pick_listed(ASPECT, sized))
    own = {
        option.name: choice.pick_own(own_option(option), mode)
        for option in model.options
        if option.name in installation.options.by_name
    }
    refine = choice.pick(REFINE, partial(check_refine, installation))
    if not installation.assistant:
        refine, choice.origins[REFINE.name] = False, CONFIG
    drawn = choice.pick(SEED)
    if drawn is None:
        drawn, choice.origins[SEED.name] = seed(), RANDOM
    texts = {option.name for option in model.options if option.kind is OptionKind.TEXT}
    effects = [use for entry in installation.effects if (use := choice.pick_effect(entry, mode))]
    spec = Spec(
        prompt=prompt,
        model=model.name,
        resolution=resolution,
        aspect=aspect,
        frames=frames,
        refine=bool(refine),
        seed=int(drawn),
        steps=int(choice.pick_number(STEPS, model.steps)),
        cfg=float(choice.pick_number(CFG, model.cfg)),
        loops=int(choice.pick(LOOPS, partial(check_loops, model, mode)) or 1),
        negative=_text(choice.pick(NEGATIVE, partial(check_negative, model))),
        image=image,
        last=last,
        draft=draft,
        options={name: value for name, value in own.items() if name not in texts},
        texts={name: str(value) for name, value in own.items() if name in texts},
        file_fps=model.file_fps,
        overlap_frames=model.overlap_frames,
        effects=tuple(effects),
    )
    count = int(choice.pick(COUNT) or 1)
    choice.origins.pop(COUNT.name, None)  # of the request, not of each job
    return Resolved(
        spec=spec, origins=choice.origins, capabilities=model, count=count, idle=choice.idle
    )


def enlarge_spec(spec: Spec, capabilities: Capabilities) -> Spec | None:
    """Return the spec at the model's highest resolution, or None if it is there already.

    A clip that goes on from another one keeps its size.
    """
    if spec.latents is not None:
        return None
    ranks = {resolution: rank for rank, resolution in enumerate(Resolution)}
    best = max(
        (item for item in capabilities.resolutions if (item, spec.aspect) in capabilities.sizes),
        key=lambda item: ranks[item],
        default=spec.resolution,
    )
    return replace(spec, resolution=best) if ranks[best] > ranks[spec.resolution] else None


def _choose_model(layers: Iterable[Layer], installation: Installation) -> Capabilities:
    """Return the strongest layer's model; a preference for one that is gone is passed over."""
    for layer in reversed(list(layers)):
        name = layer.values.get(MODEL.name)
        if name is None:
            continue
        try:
            return installation.model(str(name))
        except UserError:
            if layer.asked or layer.name == CONFIG:
                raise
    raise AssertionError("the config layer always names a model")


def _text(value: Value | None) -> str | None:
    return None if value is None else str(value)
