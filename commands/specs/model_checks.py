"""Checks of requested options against a model's capabilities; each names what works instead.

They return a value as it is taken, or raise a `Refusal` with the changes that make it possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from commands.installation import Installation
from commands.options import (
    DRAFT,
    FRAME_COUNT,
    LAST,
    LOOPS,
    MODEL,
    NEGATIVE,
    NEUTRAL_OPTIONS,
    REFINE,
)
from commands.parsing.suggestions import closest
from commands.parsing.values import accept, label
from commands.refusal import Changes, Refusal
from commands.schema import Kind, Option, Value
from inference.domain.capabilities import Capabilities, Lengths, Numbers
from inference.domain.errors import UserError
from inference.domain.spec import Mode, mode_of


def check_options(asked: Iterable[str], model: Capabilities, installation: Installation) -> None:
    """Check that a model has every requested option.

    Raises:
        Refusal: `model.no_option` or `model.no_option_at_all`.
    """
    by_name = installation.options.by_name
    known = {option.name for option in NEUTRAL_OPTIONS} | {own.name for own in model.options}
    known |= {option.name for entry in installation.effects for option in entry.options}
    lacking = [name for name in asked if name not in known and name in by_name]
    if not lacking:
        return
    able = [
        other.name
        for other in installation.offered
        if all(other.option(name) is not None for name in lacking)
    ]
    named = label(by_name[lacking[0]])
    without: Changes = dict.fromkeys(lacking)
    if not able:
        raise Refusal("model.no_option_at_all", without, model=model.title, option=named)
    others = [{MODEL.name: name} for name in able]
    raise Refusal("model.no_option", without, *others, model=model.title, option=named, able=able)


def check_modes(model: Capabilities, installation: Installation, *, has_image: bool) -> Lengths:
    """Return a model's lengths for a render from an image or from text alone.

    Raises:
        Refusal: `model.no_animation` or `model.needs_image`.
        UserError: `model.no_animation_at_all`.
    """
    legal = _legal_lengths(model, has_image=has_image)
    if legal:
        return Lengths(legal)
    able = [
        other.name for other in installation.offered if _legal_lengths(other, has_image=has_image)
    ]
    others = [{MODEL.name: name} for name in able]
    if not has_image:
        raise Refusal("model.needs_image", *others, model=model.title)
    if not able:
        raise UserError("model.no_animation_at_all", model=model.title)
    raise Refusal("model.no_animation", *others, model=model.title, able=able)


def check_length(
    model: Capabilities,
    installation: Installation,
    lengths: Lengths,
    value: Value,
    *,
    has_image: bool,
) -> Value:
    """Check a number of frames.

    Raises:
        Refusal: `model.length`, `model.no_images` or `image.one_frame`.
    """
    if value in lengths:
        return value
    if has_image and value == 1:
        shortest = lengths.values[0]
        raise Refusal("image.one_frame", {FRAME_COUNT.name: shortest}, shortest=shortest)
    near = lengths.neighbours(int(value))
    if value == 1:
        makers = installation.able_to(Mode.TEXT_TO_IMAGE)
        offers: list[Changes] = [{MODEL.name: name} for name in makers]
        offers.append({FRAME_COUNT.name: near[0]})
        if not makers:
            raise Refusal("model.no_images_at_all", *offers, model=model.title)
        raise Refusal("model.no_images", *offers, model=model.title, able=makers)
    raise Refusal(
        "model.length",
        *({FRAME_COUNT.name: length} for length in near),
        model=model.title,
        option=label(FRAME_COUNT),
        value=value,
        nearest=list(near),
    )


def check_listed(option: Option, legal: Sequence[Any], model: Capabilities, value: Value) -> Value:
    """Check a value of an option of which the model has a list.

    Raises:
        Refusal: `model.cannot`, or `model.cannot_other` where there is one value only.
    """
    if value in legal:
        return value
    near = find_nearest(option, value, legal)
    offer = {option.name: str(near)}
    about = {"model": model.title, "option": label(option), "value": value, "nearest": near}
    if len(legal) == 1:
        raise Refusal("model.cannot_other", offer, **about)
    raise Refusal("model.cannot", offer, **about, legal=list(legal))


def check_number(option: Option, numbers: Numbers, model: Capabilities, value: Value) -> Value:
    """Check a number.

    Raises:
        Refusal: `model.fixed` or `model.out_of_range`.
    """
    if float(value) in numbers:
        return value
    near = accept(option, numbers.nearest(float(value)))
    about = {"model": model.title, "option": label(option), "value": value}
    if numbers.is_fixed:
        raise Refusal("model.fixed", {option.name: None}, **about, fixed=near)
    lowest, highest = (accept(option, end) for end in (numbers.lowest, numbers.highest))
    offer = {option.name: near}
    raise Refusal("model.out_of_range", offer, **about, lowest=lowest, highest=highest)


def check_own(option: Option, mode: Mode, value: Value) -> Value:
    """Check a value of a model's own option; `option` has the limits of this model.

    Raises:
        Refusal: `value.*` or `option.video_only`.
    """
    try:
        accepted = accept(option, value)
    except UserError as error:
        raise Refusal(error.code, *_near_values(option, value), **error.params) from error
    check_mode(option, mode)
    return accepted


def check_mode(option: Option, mode: Mode) -> None:
    """Check that an option has a meaning in a render.

    Raises:
        Refusal: `option.video_only`.
    """
    if mode not in option.modes:
        raise Refusal("option.video_only", {option.name: None}, option=label(option))


def check_last(model: Capabilities, *, has_image: bool) -> None:
    """Check that a clip may end with an image.

    Raises:
        Refusal: `image.last_alone` or `model.no_last_image`.
    """
    if not has_image:
        raise Refusal("image.last_alone", {LAST.name: None})
    if not model.last_image:
        raise Refusal("model.no_last_image", {LAST.name: None}, model=model.title)


def check_needs_last(model: Capabilities, last: object) -> None:
    """Check that a clip between two images has both.

    Raises:
        Refusal: `folder.needs_last`.
    """
    if model.needs_last and last is None:
        raise Refusal("folder.needs_last", {LAST.name: None})


def check_negative(model: Capabilities, value: Value) -> Value:
    """Check a negative prompt.

    Raises:
        Refusal: `model.no_negative`.
    """
    if not model.negative:
        raise Refusal("model.no_negative", {NEGATIVE.name: None}, model=model.title)
    return value


def check_refine(installation: Installation, value: Value) -> Value:
    """Check that there is an assistant.

    Raises:
        Refusal: `option.no_assistant`.
    """
    if value and not installation.assistant:
        raise Refusal("option.no_assistant", {REFINE.name: None})
    return value


def check_draft(model: Capabilities, value: Value) -> Value:
    """Check that a model has a cheaper version.

    Raises:
        Refusal: `model.no_draft`.
    """
    if value and not model.draft:
        raise Refusal("model.no_draft", {DRAFT.name: None}, model=model.title)
    return value


def check_loops(model: Capabilities, mode: Mode, value: Value) -> Value:
    """Check a number of passes.

    Raises:
        Refusal: `option.video_only` or `model.no_loops`.
    """
    check_mode(LOOPS, mode)
    if int(value) > 1 and not model.extends:
        raise Refusal("model.no_loops", {LOOPS.name: None}, model=model.title)
    return value


def find_nearest(option: Option, value: Value | None, legal: Sequence[Any]) -> Any:
    """Return the legal value closest to `value` in the order of the option's choices."""
    order = [str(choice) for choice in option.choices]
    return min(legal, key=lambda item: abs(order.index(str(item)) - order.index(str(value))))


def _legal_lengths(model: Capabilities, *, has_image: bool) -> tuple[int, ...]:
    return tuple(
        count
        for count in model.lengths
        if mode_of(count, has_image=has_image) in model.modes and not (has_image and count == 1)
    )


def _near_values(option: Option, value: Value) -> tuple[Changes, ...]:
    """Return the changes that make a value legal for a model's own option."""
    limits = option.range
    if limits is not None and isinstance(value, int | float):
        bound = min(max(value, limits.lowest), limits.highest)
        return ({option.name: int(bound) if option.kind is Kind.INTEGER else bound},)
    guess = closest(str(value), map(str, option.choices)) if option.choices else None
    return ({option.name: None},) if guess is None else ({option.name: guess}, {option.name: None})
