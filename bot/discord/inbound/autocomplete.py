"""Autocomplete: suggests values of an option while it is typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from discord import app_commands

from bot.discord.outbound.markdown import cut
from commands.context import Call
from commands.options import JOB, KEY, MODEL, NAME, TOPIC
from commands.parsing.suggestions import closest
from commands.schema import Kind, Option, Permission
from commands.text.option_texts import format_value
from commands.text.summary import isolate_prompt, join_facts

MAX_CHOICES = 25
CHOICE_LENGTH = 100

PROMPT_LENGTH = 80
"""Characters of a prompt in a choice, beside the id of its job."""

Choices = list[app_commands.Choice[Any]]
Source = Callable[[Call], Awaitable[Mapping[str, str]]]
"""Returns legal values with what is shown for them."""


def source(option: Option) -> Source | None:
    """Return where the proposals for an option come from, if it has some."""
    if option.kind is Kind.MODEL:
        return _models
    return _SOURCES.get(option.name)


def values_of(option: Option) -> Source:
    """Return the source of an option's legal values: those of the model that is named already."""

    async def values(call: Call) -> Mapping[str, str]:
        model = call.options.get(MODEL.name)
        found = call.installation.find_options(None if model is None else str(model))
        choices = found.shown[option.name].choices if option.name in found.shown else ()
        return {str(choice): format_value(option, choice, call.locale) for choice in choices}

    return values


async def suggest(option: Option, source: Source, typed: str, call: Call) -> Choices:
    """Return the values that contain the typed text, or else the most similar ones."""
    values = await source(call)
    wanted = typed.strip().casefold()
    found = [
        value
        for value, shown in values.items()
        if wanted in shown.casefold() and len(value) <= CHOICE_LENGTH
    ]
    found = _spread(found) if not wanted else (found or _likely(option, wanted, values))
    return [
        app_commands.Choice(
            name=cut(values[value], CHOICE_LENGTH),
            value=int(value) if option.kind is Kind.INTEGER else value,
        )
        for value in found[:MAX_CHOICES]
    ]


def _spread(values: list[str]) -> list[str]:
    """Return as many as Discord shows, evenly spread, with both ends."""
    last = MAX_CHOICES - 1
    if len(values) <= MAX_CHOICES:
        return values
    return [values[round(index * (len(values) - 1) / last)] for index in range(MAX_CHOICES)]


def _likely(option: Option, wanted: str, values: Mapping[str, str]) -> list[str]:
    if option.kind is Kind.INTEGER and wanted.isdecimal():
        return sorted(values, key=lambda value: abs(int(value) - int(wanted)))[:2]
    guess = closest(wanted, values)
    return [] if guess is None else [guess]


async def _models(call: Call) -> Mapping[str, str]:
    return {
        model.name: join_facts([model.name, model.title], call.locale)
        for model in call.installation.offered
    }


async def _jobs(call: Call) -> Mapping[str, str]:
    """Return the person's newest jobs; for an admin also those that wait."""
    tenant = call.channel.tenant
    jobs = await call.jobs.recent(tenant, call.caller.id, limit=MAX_CHOICES)
    if call.caller.may(Permission.ADMIN):
        jobs = await call.visible([*await call.jobs.waiting(tenant), *jobs])
    return {
        job.id: join_facts([job.id, isolate_prompt(job.spec.prompt, PROMPT_LENGTH)], call.locale)
        for job in jobs
        if job.removed_at is None
    }


async def _presets(call: Call) -> Mapping[str, str]:
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    return {preset.name: preset.name for preset in presets}


async def _settings(call: Call) -> Mapping[str, str]:
    return {name: name for name in call.policy.known.by_key}


async def _topics(call: Call) -> Mapping[str, str]:
    allowed = (command for command in call.commands if call.caller.may(command.permission))
    return {command.typed: command.typed for command in allowed}


_SOURCES: Mapping[str, Source] = {
    JOB.name: _jobs,
    MODEL.name: _models,
    NAME.name: _presets,
    KEY.name: _settings,
    TOPIC.name: _topics,
}
