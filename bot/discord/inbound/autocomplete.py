"""What Discord proposes while somebody types the value of an option."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from discord import app_commands

from bot.discord.outbound.markdown import cut
from commands.catalog import COMMANDS
from commands.context import Call
from commands.options import JOB, KEY, MODEL, NAME, TOPIC
from commands.parsing.suggestions import closest
from commands.policy.settings import SETTINGS
from commands.schema import Kind, Option, Permission
from commands.text.summary import dotted, quoted

MAX_CHOICES = 25
CHOICE_LENGTH = 100

PROMPT_LENGTH = 80
"""Characters of a prompt in a choice, beside the id of its job."""

Choices = list[app_commands.Choice[str]]
Source = Callable[[Call], Awaitable[Mapping[str, str]]]
"""Returns legal values with what is shown for them."""


def source(option: Option) -> Source | None:
    """Return where the proposals for an option come from, if it has some."""
    if option.kind is Kind.MODEL:
        return _models
    return _SOURCES.get(option.name)


async def suggest(source: Source, typed: str, call: Call) -> Choices:
    """Return the values that contain what was typed so far, or else the likeliest one."""
    values = await source(call)
    wanted = typed.strip().casefold()
    found = [
        app_commands.Choice(name=cut(shown, CHOICE_LENGTH), value=value)
        for value, shown in values.items()
        if wanted in shown.casefold() and len(value) <= CHOICE_LENGTH
    ]
    if not found and (guess := closest(wanted, values)) is not None:
        found = [app_commands.Choice(name=cut(values[guess], CHOICE_LENGTH), value=guess)]
    return found[:MAX_CHOICES]


async def _models(call: Call) -> Mapping[str, str]:
    return {
        model.name: dotted([model.name, model.title], call.locale)
        for model in call.installation.models
    }


async def _jobs(call: Call) -> Mapping[str, str]:
    """Return the person's newest jobs; for an admin also those that wait."""
    tenant = call.channel.tenant
    jobs = await call.jobs.recent(tenant, call.caller.id, limit=MAX_CHOICES)
    if call.caller.may(Permission.ADMIN):
        jobs = await call.visible([*await call.jobs.waiting(tenant), *jobs])
    return {
        job.id: dotted([job.id, quoted(job.spec.prompt, PROMPT_LENGTH)], call.locale)
        for job in jobs
    }


async def _presets(call: Call) -> Mapping[str, str]:
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    return {preset.name: preset.name for preset in presets}


async def _settings(call: Call) -> Mapping[str, str]:  # noqa: ARG001 - one signature for all
    return {name: name for name in SETTINGS}


async def _topics(call: Call) -> Mapping[str, str]:
    allowed = (command for command in COMMANDS if call.caller.may(command.permission))
    return {command.typed: command.typed for command in allowed}


_SOURCES: Mapping[str, Source] = {
    JOB.name: _jobs,
    MODEL.name: _models,
    NAME.name: _presets,
    KEY.name: _settings,
    TOPIC.name: _topics,
}
