"""The commands about words: /refine and /random, and a requester's word on a refined prompt."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from commands import forms
from commands.actions import Action
from commands.command import Command, Visibility
from commands.context import Call
from commands.forms import Form
from commands.handlers import generate, words
from commands.options import PROMPT, REFINE, RENDER_OPTIONS
from commands.parsing.flags import Typed, parse_options, render
from commands.policy.permissions import within_caps
from commands.resolve import Layer, resolve
from commands.schema import Kind
from commands.text import cards
from commands.text.card import Card, CardKind
from commands.text.messages import text
from inference.assist import offline
from inference.domain.errors import UserError
from inference.domain.job import RANDOM, TYPED, Job, JobState
from inference.text import isolate

_PICTURES = frozenset({item.name for item in RENDER_OPTIONS if item.kind is Kind.IMAGE})


async def refine(call: Call) -> Card:
    """Show what the assistant makes of a prompt, and how to render that.

    Raises:
        UserError: `assistant.none`, or what is typed is not possible.
        AssistantError: The assistant has no usable answer now.
    """
    if not call.installation.assistant:
        raise UserError("assistant.none")
    rules = await generate.allowed(call)
    prompt, asked = generate.asked_for(call)
    if not _PICTURES.isdisjoint(asked):
        raise UserError("image.not_here")
    layers = (*rules.layers(), Layer(name=TYPED, values=asked, asked=True))
    spec = resolve(prompt, layers, call.installation).spec
    refined = await call.jobs.refine(
        prompt,
        mode=spec.mode,
        model=spec.model,
        tenant=call.channel.tenant,
        requester_id=call.caller.id,
        flagged=words.flagged(rules, call.channel),
    )
    line = render(Typed(prompt=refined, options={**asked, REFINE.name: False}))
    return Card(
        kind=CardKind.INFO,
        lines=((isolate(refined),), (text("refine.use", call.locale, line=f"/generate {line}"),)),
        private=True,
    )


async def random(call: Call) -> Card:
    """Queue a render of something drawn by lot, which the assistant makes more of if it may."""
    rules = await generate.allowed(call)
    asked = generate.merged(call, parse_options(call.text))
    if not _PICTURES.isdisjoint(asked):
        raise UserError("image.not_here")
    layers = (*rules.layers(), Layer(name=TYPED, values=asked, asked=True))
    resolved = within_caps(resolve("", layers, call.installation), call.caller, rules)
    drawn = await asyncio.to_thread(offline.draw, resolved.spec)
    resolved = replace(
        resolved,
        spec=replace(resolved.spec, prompt=drawn),
        origins={**resolved.origins, PROMPT.name: RANDOM},
    )
    return await generate.submit(call, resolved, rules)


def check_answer(call: Call, job: Job) -> None:
    """Let somebody decide what a refined prompt becomes.

    Raises:
        UserError: `review.not_yours` or `review.answered`.
    """
    if not call.caller.owns(job):
        raise UserError("review.not_yours", name=isolate(job.requester.name))
    if job.state is not JobState.REVIEW:
        raise UserError("review.answered", job=job.id)


async def answer(call: Call, job: Job, action: Action) -> Card | Form:
    """Put a reviewed job in line, as refined or in its requester's own words, or ask for others.

    Raises:
        UserError: `review.*`: it is not the caller's to decide, or decided already.
    """
    check_answer(call, job)
    if action is Action.REWORD:
        return forms.edit(job, call.locale, action=action)
    own_words = action is Action.KEEP
    agreed = await call.jobs.agree(job.id, tenant=call.channel.tenant, own_words=own_words)
    if agreed is None:
        raise UserError("review.answered", job=job.id)
    refined = "review.kept" if own_words else "review.accepted"
    code = "review.agreed" if job.spec.original is None else refined
    return cards.note(code, call.locale, job=job.id)


COMMANDS = (
    Command(
        name="random",
        handler=random,
        options=tuple(
            item for item in RENDER_OPTIONS if item is not PROMPT and item.name not in _PICTURES
        ),
    ),
    Command(name="refine", handler=refine, options=(PROMPT,), visibility=Visibility.CALLER),
)
