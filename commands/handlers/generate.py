"""The commands that make something: /generate, /image, /animate, and making a job again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from commands import forms
from commands.actions import Action
from commands.command import Command
from commands.context import Call
from commands.extend import carried_over, extended
from commands.handlers import job_status, limits, words
from commands.options import BY_NAME, IMAGE, LAST, PROMPT, REFINE, RENDER_OPTIONS
from commands.parsing.flags import parse
from commands.parsing.values import accept, label, shown
from commands.policy.operator_rules import DirectMessages
from commands.policy.permissions import check_caps, check_making, check_press, within_caps
from commands.policy.settings import (
    LANGUAGE,
    RECIPE_PROMPT,
    REVIEW,
    WATERMARK_CORNER,
    WATERMARK_SUFFIX,
    Language,
    Rules,
)
from commands.resolve import COMMAND, Layer, Resolved, draw_seed, enlarged, resolve
from commands.schema import Value
from commands.text import cards
from commands.text.card import Card
from commands.text.messages import language
from inference.domain.errors import UserError
from inference.domain.job import MEMORY, RANDOM, TYPED, Job, JobState, Order
from inference.domain.output_settings import OutputSettings
from inference.domain.spec import Mode
from inference.domain.watermark import Corner
from inference.jobs.preparation import PARENT_LATENTS, PARENT_RESULT

_STILL: Mapping[str, Value] = {"frames": 1}


async def generate(call: Call) -> Card:
    """Queue a render and say where it stands."""
    return await _render(call, {})


async def image(call: Call) -> Card:
    """Queue a still."""
    return await _render(call, _STILL)


async def animate(call: Call) -> Card:
    """Queue a clip that begins with the given image."""
    return await _render(call, {}, needs_image=True)


async def again(call: Call, job: Job, action: Action) -> Card:
    """Queue a job that was made before once more, by whoever asks for it now.

    Raises:
        UserError: The model is gone, it has no higher resolution for `Action.LARGER`, or there is
            nothing to go on from for `Action.EXTEND`.
    """
    capabilities = call.installation.model(job.spec.model)
    spec, origins = job.spec, job.origins
    match action:
        case Action.REROLL:
            spec = replace(spec, seed=draw_seed())
            origins = {**origins, "seed": RANDOM}
        case Action.LARGER:
            larger = enlarged(spec, capabilities)
            if larger is None:
                raise UserError("model.no_larger", model=capabilities.title)
            spec, origins = larger, {**origins, "resolution": TYPED}
        case Action.EXTEND:
            spec = extended(job, capabilities)
            if not call.jobs.extendable(job):
                raise UserError("extend.gone", job=job.id)
            origins = {**origins, "seed": RANDOM, "loops": COMMAND}
        case _:
            pass
    rules = await allowed(call)
    check_caps(spec, call.caller, rules)
    resolved = Resolved(spec=spec, origins=origins, capabilities=capabilities)
    parent = job.id if action is Action.EXTEND else _keeper(job)
    return await submit(call, resolved, rules, parent=parent)


async def edit(
    call: Call, job: Job, values: Mapping[str, str], *, action: Action = Action.EDIT
) -> Card:
    """Make a job again from a form; while it waits, its requester changes the job itself.

    Args:
        call: Who handed the form in.
        job: What the form was about.
        values: What is in it.
        action: What opened it; after `Action.REWORD` the words are final.

    Raises:
        UserError: What the form says is not possible, or the job is being prepared right now.
    """
    rules = await allowed(call)
    check_press(call.caller, job, rules)
    form = forms.options(values)
    for option in (IMAGE, LAST):
        if (own := getattr(job.spec, option.name)) is not None:
            form[option.name] = own
    prompt, asked = asked_for(replace(call, options=form))
    layers = (*rules.layers(), Layer(name=TYPED, values=asked, asked=True))
    resolved = within_caps(resolve(prompt, layers, call.installation), call.caller, rules)
    resolved = replace(resolved, spec=carried_over(resolved.spec, job))
    if action is Action.REWORD:
        resolved = _final(resolved, job)
    call.installation.check(resolved.spec)
    if call.caller.owns(job):
        if job.state in {JobState.ACCEPTED, JobState.PREPARING}:
            raise UserError("job.preparing_now")
        revised = await call.jobs.revise(
            job.id,
            tenant=call.channel.tenant,
            spec=resolved.spec,
            origins=resolved.origins,
            quota=await limits.quota_of(call, rules),
        )
        if revised is not None:
            return cards.note("edit.revised", call.locale, job=job.id)
    return await submit(call, resolved, rules, parent=_keeper(job))


def _final(resolved: Resolved, job: Job) -> Resolved:
    """Return what came out of a review: not to be refined again, beside what was first asked."""
    spec = replace(resolved.spec, refine=False, original=job.spec.original)
    return replace(resolved, spec=spec, origins={**resolved.origins, REFINE.name: TYPED})


async def animate_still(call: Call, job: Job) -> Card:
    """Queue a clip that begins with the still that a job made, in its shape where that goes.

    Raises:
        UserError: The job made no still, or it is kept no longer.
    """
    if job.spec.mode is not Mode.TEXT_TO_IMAGE or call.jobs.files(job) is None:
        raise UserError("job.no_still", job=job.id)
    rules = await allowed(call)
    own = {name: getattr(job.spec, name) for name in ("model", "resolution", "aspect")}
    layers = (
        *rules.layers(),
        Layer(name=COMMAND, values={**own, IMAGE.name: PARENT_RESULT}),
    )
    resolved = resolve(job.spec.own_words, layers, call.installation)
    return await submit(call, within_caps(resolved, call.caller, rules), rules, parent=job.id)


def _keeper(job: Job) -> str:
    """Return the job that has the files which a repeat of this one starts from.

    A job that ended before it was prepared never had its own copy of its parent's.
    """
    unprepared = not {job.spec.image, job.spec.latents}.isdisjoint({PARENT_RESULT, PARENT_LATENTS})
    return job.parent if unprepared and job.parent is not None else job.id


async def _render(call: Call, fixed: Mapping[str, Value], *, needs_image: bool = False) -> Card:
    resolved, rules = await _resolve_request(call, fixed, needs_image=needs_image)
    return await submit(
        call, resolved, rules, review=rules.value(REVIEW) and call.installation.assistant
    )


async def resolve_request(call: Call, command: Command) -> tuple[Resolved, Rules]:
    """Return what a request means, and the rules that it was made under.

    Args:
        call: Who asks for what.
        command: One of `COMMANDS`.

    Raises:
        UserError: It is not allowed or not possible.
    """
    needs_image = any(item.name == IMAGE.name and item.required for item in command.options)
    return await _resolve_request(call, command.fixed, needs_image=needs_image)


async def _resolve_request(
    call: Call, fixed: Mapping[str, Value], *, needs_image: bool
) -> tuple[Resolved, Rules]:
    rules = await allowed(call)
    prompt, asked = asked_for(call)
    for name in fixed:
        if name in asked:
            raise UserError("option.fixed", option=label(BY_NAME[name]))
    if needs_image and IMAGE.name not in asked:
        raise UserError("image.missing")
    layers = (
        *rules.layers(),
        Layer(name=COMMAND, values=fixed, asked=True),
        Layer(name=TYPED, values=asked, asked=True),
    )
    return within_caps(resolve(prompt, layers, call.installation), call.caller, rules), rules


async def allowed(call: Call) -> Rules:
    """Return the rules, if they let the caller make anything here.

    Raises:
        UserError: `permission.*`.
    """
    if call.channel.direct and call.policy.operator_rules.direct_messages is DirectMessages.CLOSED:
        raise UserError("permission.direct_messages")
    block = await call.policy.block_of(call.channel.tenant, call.caller.id, call.person)
    if block is not None and block.reason:
        raise UserError("permission.blocked_because", reason=block.reason)
    if block is not None:
        raise UserError("permission.blocked")
    rules = await call.rules()
    check_making(call.caller, call.channel, rules)
    return rules


def asked_for(call: Call) -> tuple[str, dict[str, Value]]:
    """Return the prompt and what was set in the form or typed into the prompt.

    Raises:
        UserError: `flag.*`, `value.*`, `prompt.*` or `image.*`.
    """
    typed = parse(str(call.options.get(PROMPT.name, call.text)))
    return typed.prompt, merged(call, typed.options)


def merged(call: Call, typed: Mapping[str, Value]) -> dict[str, Value]:
    """Return what was set in the form, apart from the prompt, and what was typed.

    Raises:
        UserError: `flag.*`, `value.*` or `image.*`.
    """
    form = {name: value for name, value in call.options.items() if name != PROMPT.name}
    if not {IMAGE.name, LAST.name}.isdisjoint(typed) and not call.channel.local_files:
        raise UserError("image.not_by_flag")
    for name in form:
        if name not in BY_NAME:  # of another version's form
            raise UserError("flag.unknown", flag=shown(name))
        if name in typed:
            raise UserError("flag.repeated", flag=label(BY_NAME[name]))
    return {**{name: accept(BY_NAME[name], value) for name, value in form.items()}, **typed}


async def submit(
    call: Call,
    resolved: Resolved,
    rules: Rules,
    *,
    parent: str | None = None,
    review: bool = False,
) -> Card:
    """Hand a render in and show where it stands; where the quota is too small, say what fits.

    Raises:
        UserError: It is not taken.
    """
    asked, resolved = resolved, _made_to_fit(call, resolved)
    quota = await limits.quota_of(call, rules)
    order = Order(
        spec=resolved.spec,
        origins=resolved.origins,
        tenant=call.channel.tenant,
        requester=call.caller.requester,
        platform=call.channel.platform,
        address=call.channel.address,
        key=call.key,
        parent=parent,
        audience=call.channel.audience,
        person=call.person,
        output=_output_settings(rules, call),
        quota=quota,
        review=review or resolved is not asked,
    )
    try:
        job = await call.jobs.submit(order)
    except UserError as error:
        if error.code == "queue.job_too_long":
            advice = limits.what_is_short_enough(call, resolved, error.params["limit"])
            return cards.error(error, call.locale, advice=advice)
        if quota is None or not error.code.startswith("quota."):
            raise
        used = await limits.usage_of(call, quota.since, quota.person_since)
        advice = limits.what_fits(call, resolved, used.left(quota) or 0)
        return cards.error(error, call.locale, advice=advice)
    # This becomes the job's card, which everybody sees.
    return job_status.status(replace(call, locale=_language(rules, call)), job)


def _made_to_fit(call: Call, resolved: Resolved) -> Resolved:
    """Return the render, or the largest like it that the GPU has the memory for.

    Raises:
        UserError: It cannot be rendered, and nothing like it can.
    """
    try:
        call.installation.check(resolved.spec)
    except UserError as error:
        values = {"frames": error.params.get("longest"), "resolution": error.params.get("smaller")}
        changes = {name: value for name, value in values.items() if value is not None}
        bound = resolved.spec.latents is not None and "resolution" in changes
        if not changes or bound:  # what goes on from a clip has to have its size
            raise
        spec = replace(resolved.spec, **changes)
        origins = {**resolved.origins, **dict.fromkeys(changes, MEMORY)}
        return replace(resolved, spec=spec, origins=origins)
    return resolved


def _output_settings(rules: Rules, call: Call) -> OutputSettings:
    corner = rules.value(WATERMARK_CORNER)
    return OutputSettings(
        corner=None if corner is None else Corner(corner),
        suffix=rules.value(WATERMARK_SUFFIX) or "",
        prompt_in_recipe=rules.value(RECIPE_PROMPT),
        flagged=words.flagged(rules, call.channel),
        language=_language(rules, call),
    )


def _language(rules: Rules, call: Call) -> str:
    wanted = Language(rules.value(LANGUAGE))
    return language(call.locale) if wanted is Language.AUTO else wanted.value


COMMANDS = (
    Command(name="generate", handler=generate, options=RENDER_OPTIONS),
    Command(
        name="image",
        handler=image,
        options=tuple(item for item in RENDER_OPTIONS if Mode.TEXT_TO_IMAGE in item.modes),
        fixed=_STILL,
    ),
    Command(
        name="animate",
        handler=animate,
        options=tuple(
            replace(item, required=True) if item is IMAGE else item for item in RENDER_OPTIONS
        ),
    ),
)
