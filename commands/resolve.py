"""Layers of settings to one complete spec, with the origin of every value.

Built-in < model < config < guild < channel < user < typed. What somebody asked for in this very
call must be possible, or they are told what is; a preference that the chosen model cannot follow
is passed over for the next weaker one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from commands.installation import Installation
from commands.options import (
    ASPECT,
    BY_NAME,
    FRAME_COUNT,
    IMAGE,
    LAST,
    MODEL,
    NEGATIVE,
    PROMPT,
    REFINE,
    RENDER_OPTIONS,
    RESOLUTION,
    SEED,
)
from commands.parsing.values import accept, label
from commands.schema import Option, Value
from inference.domain.errors import UserError
from inference.domain.job import ASSISTANT, LANGUAGE, MEMORY, RANDOM, TYPED
from inference.domain.spec import Aesthetic, Aspect, Camera, Mode, Motion, Resolution, Spec
from inference.engines.base import Capabilities

BUILT_IN = "built-in"
FROM_MODEL = "model"
CONFIG = "config"
GUILD = "guild"
CHANNEL = "channel"
USER = "user"
COMMAND = "command"
CAPPED = "cap"
ORIGINS = (
    BUILT_IN,
    FROM_MODEL,
    CONFIG,
    GUILD,
    CHANNEL,
    USER,
    COMMAND,
    TYPED,
    RANDOM,
    CAPPED,
    ASSISTANT,
    LANGUAGE,
    MEMORY,
)
"""Names of layers and other origins, as stored with jobs."""

SEEDS = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Explicitly set values from one place."""

    name: str
    values: Mapping[str, Value]
    asked: bool = False
    """Set in this very call: an impossible value is an error instead of being passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A spec without open questions."""

    spec: Spec
    origins: dict[str, str]
    """Option name -> name of the layer its value came from."""
    capabilities: Capabilities
    """Of the chosen model."""


def draw_seed() -> int:
    """Return a seed nobody can guess."""
    return secrets.randbelow(SEEDS)


def resolve(
    prompt: str,
    layers: Sequence[Layer],
    installation: Installation,
    *,
    seed: Callable[[], int] = draw_seed,
) -> Resolved:
    """Decide everything that was left open.

    Args:
        prompt: What to show, checked.
        layers: Settings with checked values, the weakest first; built-in values and those of the
            config and the model are added here.
        installation: The installed models.
        seed: Called when nobody chose a seed.

    Raises:
        UserError: `model.*`, `image.*`, `option.*`: an asked value is impossible with this model.
    """
    layers = (Layer(name=CONFIG, values={"model": installation.default_model}), *layers)
    capabilities = _choose_model(layers, installation)
    choice = _Choice(layers, capabilities)
    image = choice.pick(IMAGE, lambda _: True)
    last = _pick_last(choice, has_image=image is not None)
    frames = _pick_frames(choice, installation, has_image=image is not None)
    mode = _mode(frames, has_image=image is not None)
    resolution = Resolution(choice.pick_listed(RESOLUTION, capabilities.resolutions))
    sized = [item for item in capabilities.aspects if (resolution, item) in capabilities.sizes]
    aspect = Aspect(choice.pick_listed(ASPECT, sized))
    rest = {
        option.name: _pick_free(choice, option, mode, installation)
        for option in RENDER_OPTIONS
        if option.name not in choice.origins and option not in (PROMPT, IMAGE, LAST, SEED)
    }
    drawn = choice.pick(SEED, lambda _: True)
    if drawn is None:
        drawn, choice.origins[SEED.name] = seed(), RANDOM
    spec = Spec(
        prompt=prompt,
        model=capabilities.name,
        resolution=resolution,
        aspect=aspect,
        frames=frames,
        motion=Motion(rest.pop("motion")),
        aesthetic=Aesthetic(rest.pop("aesthetic")),
        camera=Camera(rest.pop("camera")),
        seed=int(drawn),
        image=None if image is None else str(image),
        last=None if last is None else str(last),
        **rest,
    )
    return Resolved(spec=spec, origins=choice.origins, capabilities=capabilities)


def enlarged(spec: Spec, capabilities: Capabilities) -> Spec | None:
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


class _Choice:
    """Picks one option after the other from the layers and notes where each came from."""

    def __init__(self, layers: Sequence[Layer], capabilities: Capabilities) -> None:
        own = {
            name: accept(BY_NAME[name], value)  # type: ignore[arg-type]  # checked by accept
            for name, value in capabilities.defaults.items()
        }
        self._layers = (Layer(name=FROM_MODEL, values=own), *layers)
        self.capabilities = capabilities
        self.origins: dict[str, str] = {
            MODEL.name: next(
                layer.name
                for layer in reversed(layers)
                if str(layer.values.get(MODEL.name, "")).casefold() == capabilities.name.casefold()
            )
        }

    def pick(
        self,
        option: Option,
        possible: Callable[[Value], bool],
        refuse: Callable[[Value], UserError] | None = None,
    ) -> Value | None:
        """Return the strongest possible value, or the built-in one.

        Raises:
            UserError: What `refuse` made of an asked value that is not possible.
        """
        for layer in reversed(self._layers):
            value = layer.values.get(option.name)
            if value is None:
                continue
            if possible(value):
                self.origins[option.name] = layer.name
                return value
            if layer.asked and refuse is not None:
                raise refuse(value)
        if option.default is not None:
            self.origins[option.name] = BUILT_IN
        return option.default

    def pick_listed(self, option: Option, legal: Sequence[Any]) -> Any:
        """Return the strongest value among `legal`, or the one nearest to the built-in value."""

        def refuse(value: Value) -> UserError:
            return UserError(
                "model.cannot",
                model=self.capabilities.title,
                option=label(option),
                value=value,
                legal=list(legal),
                nearest=nearest(option, value, legal),
            )

        value = self.pick(option, lambda value: value in legal, refuse)
        if value in legal:
            return value
        self.origins[option.name] = FROM_MODEL
        return nearest(option, value, legal)


def nearest(option: Option, value: Value | None, legal: Sequence[Any]) -> Any:
    """Return the legal value closest to `value`: by number, else by the order of the choices."""
    if isinstance(value, int):
        return min(legal, key=lambda item: (abs(item - value), item))
    order = [str(choice) for choice in option.choices]
    return min(legal, key=lambda item: abs(order.index(str(item)) - order.index(str(value))))


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


def _pick_frames(choice: _Choice, installation: Installation, *, has_image: bool) -> int:
    model = choice.capabilities
    if has_image and Mode.IMAGE_TO_VIDEO not in model.modes:
        able = installation.able_to(Mode.IMAGE_TO_VIDEO)
        if not able:
            raise UserError("model.no_animation_at_all", model=model.title)
        raise UserError("model.no_animation", model=model.title, able=able)
    legal = [count for count in model.frames if _mode(count, has_image=has_image) in model.modes]
    if has_image:
        legal = [count for count in legal if count > 1]
    if not legal:
        raise UserError("model.needs_image", model=model.title)

    def refuse(value: Value) -> UserError:
        if has_image and value == 1:
            return UserError("image.one_frame", shortest=legal[0])
        return UserError(
            "model.cannot",
            model=model.title,
            option=label(FRAME_COUNT),
            value=value,
            legal=legal,
            nearest=nearest(FRAME_COUNT, value, legal),
        )

    value = choice.pick(FRAME_COUNT, lambda value: value in legal, refuse)
    if value in legal:
        return int(value)
    choice.origins[FRAME_COUNT.name] = FROM_MODEL
    return int(nearest(FRAME_COUNT, value, legal))


def _pick_last(choice: _Choice, *, has_image: bool) -> Value | None:
    def refuse(_: Value) -> UserError:
        if not has_image:
            return UserError("image.last_alone")
        return UserError("model.no_last_image", model=choice.capabilities.title)

    return choice.pick(LAST, lambda _: has_image and choice.capabilities.last_image, refuse)


def _mode(frames: int, *, has_image: bool) -> Mode:
    if has_image:
        return Mode.IMAGE_TO_VIDEO
    return Mode.TEXT_TO_IMAGE if frames == 1 else Mode.TEXT_TO_VIDEO


def _pick_free(choice: _Choice, option: Option, mode: Mode, installation: Installation) -> Any:
    """Return the value of an option that depends on no list of the model."""
    if option is NEGATIVE and not choice.capabilities.negative:
        title = choice.capabilities.title
        return choice.pick(
            option, lambda _: False, lambda _: UserError("model.no_negative", model=title)
        )
    if option is REFINE and not installation.assistant:
        choice.pick(option, lambda on: on is False, lambda _: UserError("option.no_assistant"))
        choice.origins[option.name] = CONFIG
        return False
    return choice.pick(
        option,
        lambda _: mode in option.modes,
        lambda _: UserError("option.video_only", option=label(option)),
    )
