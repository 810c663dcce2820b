"""The commands that render: /generate, /image, /animate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from commands.context import Call, Command
from commands.handlers import presets
from commands.handlers.order import place_order
from commands.handlers.request import read_request
from commands.option_set import OptionSet
from commands.options import FRAME_COUNT, IMAGE, LAST, MODEL, PROMPT
from commands.parsing.values import label
from commands.policy.permissions import apply_caps
from commands.policy.settings import REVIEW, Rules
from commands.refusal import Changes, Refusal
from commands.results import Accepted
from commands.schema import Value
from commands.specs.layers import COMMAND, Layer
from commands.specs.resolve import Resolved, resolve
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.job import TYPED
from inference.domain.reference import Reference
from inference.domain.spec import Mode

_STILL: Mapping[str, Value] = {"frames": 1}


async def generate(call: Call) -> Accepted:
    """Queue a render."""
    return await _render(call, {})


async def image(call: Call) -> Accepted:
    """Queue a still."""
    return await _render(call, _STILL)


async def animate(call: Call) -> Accepted:
    """Queue a clip that begins with the given image."""
    return await _render(call, {}, needs_image=True)


def requiring(*names: str) -> Callable[[Call], Awaitable[Accepted]]:
    """Return a handler as `generate` that needs some options too, such as the picture of an effect.

    Args:
        names: Of the options, which must be among those of its command.
    """

    async def handler(call: Call) -> Accepted:
        return await _render(call, {}, required=names)

    return handler


def make_button_layer(call: Call) -> Layer:
    """Return the layer of options from a button after a refusal."""
    values = {name: value for name, value in call.changes.items() if value is not None}
    return Layer(name=TYPED, values=values, asked=True)


async def _render(
    call: Call,
    fixed: Mapping[str, Value],
    *,
    needs_image: bool = False,
    required: Collection[str] = (),
) -> Accepted:
    resolved, rules = await _resolve_request(
        call, fixed, {}, needs_image=needs_image, required=required
    )
    return await place_order(
        call, resolved, rules, review=rules.value(REVIEW) and call.installation.assistant
    )


async def resolve_request(
    call: Call, command: Command, references: Mapping[str, Reference]
) -> tuple[Resolved, Rules]:
    """Return a request as a resolved spec, and the rules it was made under.

    Args:
        call: Who asks for what.
        command: One that renders.
        references: Images that the job has already, by option.

    Raises:
        UserError: It is not allowed or not possible.
    """
    required = {item.name for item in command.options if item.required} - {PROMPT.name}
    needs_image = IMAGE.name in required
    return await _resolve_request(
        call, command.fixed, references, needs_image=needs_image, required=required
    )


async def _resolve_request(
    call: Call,
    fixed: Mapping[str, Value],
    references: Mapping[str, Reference],
    *,
    needs_image: bool,
    required: Collection[str] = (),
) -> tuple[Resolved, Rules]:
    rules = await call.check_may_render()
    prompt, asked = _read_with_prompt(call, fixed, needs_image=needs_image)
    known = call.installation.options.by_name
    for name in fixed:
        if name in asked:
            raise UserError("option.fixed", option=label(known[name]))
    for name in (IMAGE.name, LAST.name):
        if name in asked and FRAME_COUNT.name in fixed:
            stills = call.installation.able_to(Mode.TEXT_TO_IMAGE)
            without: list[Changes] = [{name: None}] if stills else []
            raise Refusal("image.not_for_stills", *without, option=label(known[name]))
    if needs_image and IMAGE.name not in {*asked, *references}:
        raise UserError("image.missing", example=_animate_example(call))
    for name in required:
        if name not in {*asked, *references}:
            raise UserError("option.required", option=label(known[name]))
    layers = (
        *await presets.layers_of(call, asked, rules),
        Layer(name=COMMAND, values=fixed, asked=True),
        Layer(name=TYPED, values=asked, references=references, asked=True),
    )
    try:
        resolved = apply_caps(resolve(prompt, layers, call.installation), call.caller, rules)
    except Refusal as refusal:
        offers = (
            changes
            for changes in refusal.offers
            if _takes_change(changes, call, fixed, needs_image=needs_image)
        )
        raise Refusal(refusal.code, *offers, **refusal.params) from refusal
    return resolved, rules


def _takes_change(
    changes: Changes, call: Call, fixed: Mapping[str, Value], *, needs_image: bool
) -> bool:
    """Whether a command accepts a change: not of its fixed values, nor without its image."""
    if any(name in changes for name in fixed) or (needs_image and IMAGE.name in changes):
        return False
    model = changes.get(MODEL.name)
    makers = call.installation.able_to(Mode.TEXT_TO_IMAGE)
    return model is None or FRAME_COUNT.name not in fixed or model in makers


def _read_with_prompt(
    call: Call, fixed: Mapping[str, Value], *, needs_image: bool
) -> tuple[str, dict[str, Value]]:
    """Read a request; the error for a missing prompt shows how the command is used.

    Raises:
        UserError: As `read_request`.
    """
    try:
        return read_request(call)
    except UserError as error:
        _check_useful(call, fixed, error)
        if error.code != "prompt.empty":
            raise
        if needs_image:
            raise UserError("prompt.no_motion", example=_animate_example(call)) from error
        if fixed:
            raise UserError("prompt.no_image") from error
        raise


def _check_useful(call: Call, fixed: Mapping[str, Value], error: UserError) -> None:
    """Refuse an option that a command does not use, instead of advising a better value.

    Raises:
        UserError: `option.fixed` or `option.video_only`.
    """
    for option in call.installation.options.by_name.values():
        if label(option) != error.params.get("option"):
            continue
        if option.name in fixed:
            raise UserError("option.fixed", option=label(option)) from error
        if FRAME_COUNT.name in fixed and Mode.TEXT_TO_IMAGE not in option.modes:
            raise UserError("option.video_only", option=label(option)) from error
        legal = [each for each in error.params.get("legal", ()) if each != "1"]
        if option.name == FRAME_COUNT.name and legal and _has_image(call):
            nearest = error.params.get("suggestion")
            nearest = nearest if nearest in legal else legal[0]
            about = {**error.params, "legal": legal, "suggestion": nearest}
            raise UserError(error.code, **about) from error


def _has_image(call: Call) -> bool:
    """Whether a request that could not be read comes with an image."""
    return IMAGE.name in call.options or f"--{IMAGE.flag}" in call.text


def _animate_example(call: Call) -> str:
    """Return how an image is animated where the caller is."""
    return text(f"example.animate.{call.channel.pictures}", call.locale)


def commands(options: OptionSet) -> tuple[Command, ...]:
    """Return the commands of this module, with these options of a render."""
    renders = partial(Command, renders=True)
    prompt, *others = (item for item in options.order if item.name != IMAGE.name)
    return (
        renders(name="generate", handler=generate, options=options.order),
        renders(
            name="image",
            handler=image,
            options=tuple(item for item in options.order if Mode.TEXT_TO_IMAGE in item.modes),
            fixed=_STILL,
        ),
        renders(
            name="animate",
            handler=animate,
            options=(prompt, replace(IMAGE, required=True), *others),
        ),
    )
