"""The command boundary: typed lines, form calls and presses in, cards out; errors end here."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TypeVar

import structlog

from commands import forms
from commands.actions import Action, ButtonId
from commands.catalog import COMMANDS
from commands.command import Command, Visibility
from commands.context import Call
from commands.forms import Form
from commands.handlers import generate, job_status, message_edit, privacy, prompt, queue
from commands.parsing.suggestions import closest
from commands.parsing.values import shown
from commands.policy.permissions import check_press
from commands.text import cards
from commands.text.card import Card
from inference.bug_report import log_bug
from inference.domain.errors import RushesError, UserError
from inference.domain.job import Job
from inference.text import clean

Answer = TypeVar("Answer", Card, Card | Form, Card | None)

_log = structlog.get_logger(__name__)


async def execute(line: str, call: Call) -> Card:
    """Answer a typed line such as `/generate a red fox --ar 9:16` or `/rushes queue`.

    Args:
        line: What was typed, with the command; replaces `call.text`.
        call: Who asks, where, and with which services.
    """
    return await _answered(_execute(clean(line, lines=True), call), call, "line")


async def rewrite(line: str, job_id: str, call: Call) -> Card | None:
    """Answer a message that was edited after it had made a job.

    Args:
        line: What it says now, with the command; replaces `call.text`.
        job_id: The job.
        call: Who edited it, where, and with which services.

    Returns:
        What to tell them, or None where the edit changes nothing.
    """
    return await _answered(_rewrite(line, job_id, call), call, "edit")


async def invoke(command: Command, call: Call) -> Card:
    """Answer a command whose options a platform has taken apart already."""
    return await _answered(_invoke(command, _cleaned(call)), call, command.typed)


async def press(button_id: str, call: Call) -> Card | Form:
    """Answer the press of a button, however old its message is.

    Returns:
        A form to open if `opens_form` says so of this button, unless there is an error to show.
    """
    return await _answered(_press(button_id, call), call, "button")


async def submit(form_id: str, values: Mapping[str, str], call: Call) -> Card:
    """Answer a form that was handed in.

    Args:
        form_id: `Form.id` of the form.
        values: What was written, by `Field.name`.
        call: Who hands it in, where, and with which services.
    """
    written = {name: clean(value, lines=True) for name, value in values.items()}
    return await _answered(_submit(form_id, written, call), call, "form")


def opens_form(button_id: str) -> bool:
    """Whether a press will be answered by a form, told from the button alone."""
    try:
        return ButtonId.decode(button_id).action.opens_form
    except UserError:
        return False


def find(line: str) -> tuple[Command, str]:
    """Return the command of a typed line, and the text after it.

    Raises:
        UserError: `command.*`: there is no such command.
    """
    first, rest = _split(line)
    if not first.startswith("/"):
        raise UserError("command.expected")
    by_name = {command.typed: command for command in COMMANDS}
    parents = {f"/{command.parent}" for command in COMMANDS if command.parent}
    typed = first.casefold()
    if typed in parents:
        name, rest = _split(rest)
        typed = f"{typed} {name.casefold() or 'help'}"
    if typed in by_name:
        return by_name[typed], rest
    # "/queue" is guessed as "/rushes queue", and "/generatte" as "/generate".
    short = {f"/{command.name}": command.typed for command in reversed(COMMANDS)}
    guess = closest(typed, [*by_name, *short])
    if guess is None:
        raise UserError("command.unknown", command=shown(typed))
    raise UserError("command.mistyped", command=shown(typed), suggestion=short.get(guess, guess))


def _cleaned(call: Call) -> Call:
    """Return a call whose text and options hold nothing that a chat may have let through."""
    options = {
        name: clean(value, lines=True) if isinstance(value, str) else value
        for name, value in call.options.items()
    }
    return replace(call, text=clean(call.text, lines=True), options=options)


def _split(text: str) -> tuple[str, str]:
    """Return the first word and what follows it."""
    words = [*text.split(None, 1), "", ""]
    return words[0], words[1]


async def _execute(line: str, call: Call) -> Card:
    command, rest = find(line)
    return await _invoke(command, replace(call, text=rest))


async def _rewrite(line: str, job_id: str, call: Call) -> Card | None:
    command, rest = find(line)
    if command not in generate.COMMANDS:
        return await _invoke(command, replace(call, text=rest))
    _check_tenant(call)
    job = await call.job(job_id)
    return await message_edit.rewrite(replace(call, text=rest), command, job)


async def _invoke(command: Command, call: Call) -> Card:
    if command not in privacy.COMMANDS:  # what was kept of people they can always take back
        _check_tenant(call)
    if not call.caller.may(command.permission):
        raise UserError("command.not_allowed", command=command.typed)
    card = await command.handler(call)
    if command.visibility is Visibility.CALLER:
        return replace(card, private=True, ping=False)
    return card


def _check_tenant(call: Call) -> None:
    """Serve the guilds and workspaces that the operator allows.

    Raises:
        UserError: `permission.tenant`.
    """
    place = call.channel
    operator_rules = call.policy.operator_rules
    if place.admitted or operator_rules.allows(
        place.tenant, platform=place.platform, personal=place.personal
    ):
        return
    raise UserError("permission.tenant")


async def _submit(form_id: str, values: Mapping[str, str], call: Call) -> Card:
    pressed = ButtonId.decode(form_id)
    if not pressed.action.opens_form:
        raise UserError("action.unknown")
    _check_tenant(call)
    job = await call.job(pressed.job)
    if pressed.action is Action.REWORD:
        prompt.check_answer(call, job)
    return await generate.edit(call, job, values, action=pressed.action)


async def _press(button_id: str, call: Call) -> Card | Form:
    pressed = ButtonId.decode(button_id)
    _check_tenant(call)
    job = await call.job(pressed.job)
    match pressed.action:
        case Action.CANCEL:
            return await queue.cancel_job(call, job)
        case (
            Action.REROLL
            | Action.RETRY
            | Action.EXTEND
            | Action.LARGER
            | Action.EDIT
            | Action.ANIMATE
        ):
            check_press(call.caller, job, await call.rules())
            return await _make_again(call, job, pressed.action)
        case Action.ACCEPT | Action.REWORD | Action.KEEP:
            return await prompt.answer(call, job, pressed.action)
        case Action.DELETE:
            return await queue.remove_job(call, job)
        case Action.INFO:
            return cards.info(
                job,
                call.locale,
                job_status.capabilities(job, call.installation),
                extendable=call.jobs.extendable(job),
                measured=call.caller.owns(job),
            )


async def _make_again(call: Call, job: Job, action: Action) -> Card | Form:
    match action:
        case Action.EDIT:
            return forms.edit(job, call.locale)
        case Action.ANIMATE:
            return await generate.animate_still(call, job)
        case _:
            return await generate.again(call, job, action)


async def _answered(answer: Awaitable[Answer], call: Call, what: str) -> Answer | Card:
    try:
        return await answer
    except UserError as error:
        return cards.error(error, call.locale)
    except RushesError as error:
        _log.warning("command.failed", code=error.code, platform=call.channel.platform)
        return cards.error(error, call.locale)
    except Exception as error:  # noqa: BLE001 - the boundary: a bug ends here, logged
        reference = log_bug(
            _log, "command.bug", error, command=what, platform=call.channel.platform
        )
        return cards.error(RushesError("internal", job=reference), call.locale)
