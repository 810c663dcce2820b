"""Prompt commands: /refine, /random, and the review of a refined prompt by its requester."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from commands import forms
from commands.actions import Action
from commands.context import Call, Command, Visibility
from commands.forms import Form
from commands.handlers import presets
from commands.handlers.order import place_order
from commands.handlers.request import find_model_options, merge_options, read_request
from commands.option_set import OptionSet
from commands.options import PROMPT, REFINE
from commands.parsing.flags import ParsedRequest, parse_options, render
from commands.policy import flagged_content
from commands.policy.permissions import apply_caps
from commands.policy.settings import Rules
from commands.refusal import offer_correction
from commands.results import Accepted
from commands.schema import Value
from commands.specs.layers import Layer
from commands.specs.resolve import Resolved, resolve
from commands.text import replies
from commands.text.card import Card, CardKind
from commands.text.messages import text
from inference.assist import random_prompts
from inference.domain.errors import UserError
from inference.domain.job import RANDOM, TYPED, Job, JobState
from inference.domain.untrusted_text import isolate


async def refine(call: Call) -> Card:
    """Show the refined prompt, and how to render it.

    Raises:
        UserError: `assistant.none`, or what is typed is not possible.
        AssistantError: The assistant has no usable answer now.
    """
    if not call.installation.assistant:
        raise UserError("assistant.none")
    rules = await call.check_may_render()
    prompt, asked = read_request(call)
    spec = (await _resolve_without_picture(call, prompt, asked, rules)).spec
    refined = await call.jobs.refine(
        prompt,
        mode=spec.mode,
        model=spec.model,
        tenant=call.channel.tenant,
        requester_id=call.caller.id,
        flagged=flagged_content.choose_outcome(rules, call.channel),
    )
    typed = ParsedRequest(prompt=refined, options={**asked, REFINE.name: False})
    line = render(typed, call.installation.options)
    return Card(
        kind=CardKind.INFO,
        lines=((isolate(refined),), (text("refine.use", call.locale, line=f"/generate {line}"),)),
        private=True,
    )


async def random(call: Call) -> Accepted:
    """Queue a render of a random prompt, refined by the assistant if that is allowed."""
    rules = await call.check_may_render()
    with offer_correction(PROMPT.name):
        words = str(call.changes.get(PROMPT.name, call.text))
        typed = parse_options(words, call.installation.options, find_model_options(call, words))
    asked = merge_options(call, typed)
    resolved = await _resolve_without_picture(call, "", asked, rules)
    resolved = apply_caps(resolved, call.caller, rules)
    draw = call.installation.random_prompts.get(resolved.spec.model, random_prompts.draw)
    drawn = await asyncio.to_thread(draw, resolved.spec)
    resolved = replace(
        resolved,
        spec=replace(resolved.spec, prompt=drawn),
        origins={**resolved.origins, PROMPT.name: RANDOM},
    )
    return await place_order(call, resolved, rules)


async def _resolve_without_picture(
    call: Call, prompt: str, asked: Mapping[str, Value], rules: Rules
) -> Resolved:
    """Resolve a request of a command that takes no picture.

    Raises:
        UserError: `image.not_here`, or as `resolve`.
    """
    if not call.installation.options.pictures.isdisjoint(asked):
        raise UserError("image.not_here")
    defaults = await presets.layers_of(call, asked, rules)
    layers = (*defaults, Layer(name=TYPED, values=asked, asked=True))
    return resolve(prompt, layers, call.installation)


def check_answer(call: Call, job: Job) -> None:
    """Check that the caller may answer the review of a refined prompt.

    Raises:
        UserError: `review.not_yours` or `review.answered`.
    """
    if not call.caller.owns(job):
        raise UserError("review.not_yours", name=isolate(job.requester.name))
    if job.state is not JobState.REVIEW:
        raise UserError("review.answered", job=job.id)


async def answer(call: Call, job: Job, action: Action) -> Card | Form:
    """Queue a reviewed job, as refined or in its requester's own words, or ask for others.

    Raises:
        UserError: `review.*`: it is not the caller's to decide, or decided already.
    """
    check_answer(call, job)
    if action is Action.REWORD:
        return forms.edit(job, call.installation, call.locale, action=action)
    own_words = action is Action.KEEP
    agreed = [
        await call.jobs.agree(each.id, tenant=call.channel.tenant, own_words=own_words)
        for each in await call.jobs.together(job)
    ]
    if not any(agreed):
        raise UserError("review.answered", job=job.id)
    refined = "review.kept" if own_words else "review.accepted"
    code = "review.agreed" if job.spec.original is None else refined
    return replies.note(code, call.locale, job=job.id)


def commands(options: OptionSet) -> tuple[Command, ...]:
    """Return the commands of this module, with these options of a render."""
    unsaid = {PROMPT.name, *options.pictures}
    return (
        Command(
            name="random",
            handler=random,
            options=tuple(item for item in options.order if item.name not in unsaid),
        ),
        Command(
            name="refine",
            handler=refine,
            options=(PROMPT,),
            visibility=Visibility.CALLER,
            needs_assistant=True,
        ),
    )
