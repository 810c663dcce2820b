"""Entry points of the chats: runs typed commands, forms and presses, and returns cards."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TypeVar

import structlog

from commands import forms
from commands.actions import Action, ButtonId
from commands.context import Call, Command, Visibility
from commands.forms import Form
from commands.handlers import finish, job_status, message_edit, prompt, queue, repeat
from commands.handlers.arguments import OWN_HELP
from commands.policy.permissions import check_press
from commands.refusal import Refusal
from commands.refusal_cards import make_error_card, make_refusal_card
from commands.results import Accepted, Result, Revised
from commands.schema import Kind
from commands.text import batch_cards, cards, job_buttons, replies
from commands.text.card import Card
from commands.text.messages import text
from inference.bug_report import log_bug
from inference.domain.errors import NotFound, RushesError, UserError
from inference.domain.job import Job
from inference.domain.untrusted_text import clean

Other = TypeVar("Other", Card, Form, None)

_GENERATE, _PROMPT = "/generate", "a red ball bouncing in the snow"
"""As in the examples of the catalog."""

_log = structlog.get_logger(__name__)


async def execute(line: str, call: Call) -> Card:
    """Answer a typed line such as `/generate a red fox --aspect 9:16` or `/rushes queue`.

    Args:
        line: What was typed, with the command; replaces `call.text`.
        call: Who asks, where, and with which services.
    """
    return await _answer(_execute(clean(line, lines=True), call), call, "line")


async def rewrite(line: str, job_id: str, call: Call) -> Card | None:
    """Answer a message that was edited after it had made a job.

    Args:
        line: What it says now, with the command; replaces `call.text`.
        job_id: The job.
        call: Who edited it, where, and with which services.

    Returns:
        What to tell them, or None where the edit changes nothing.
    """
    return await _answer(_rewrite(line, job_id, call), call, "edit")


async def invoke(command: Command, call: Call) -> Card:
    """Run a command whose options a platform has parsed already."""
    return await _answer(_invoke(command, _clean_call(call)), call, command.typed)


async def perform(command: Command, call: Call) -> Result:
    """Run a command for an API: returns its result as data, not as a card.

    Raises:
        UserError: The refusal that a person would read.
    """
    _check_allowed(command, call)
    return await command.handler(_clean_call(call))


async def press(button_id: str, call: Call) -> Card | Form:
    """Run the action of a button, however old its message is.

    Returns:
        A form to open if `opens_form` says so of this button, unless there is an error to show.
    """
    return await _answer(_press(button_id, call), call, "button")


async def confirm(button_id: str, call: Call) -> Card:
    """Ask before a button of Delete is carried out, for chats that cannot ask by themselves.

    Returns:
        The question, whose button says yes; or why there is nothing to ask.
    """
    return await _answer(_confirm(button_id, call), call, "button")


async def submit(form_id: str, values: Mapping[str, str], call: Call) -> Card:
    """Run a submitted form.

    Args:
        form_id: `Form.id` of the form.
        values: What was written, by `Field.name`.
        call: Who hands it in, where, and with which services.
    """
    written = {name: clean(value, lines=True) for name, value in values.items()}
    return await _answer(_submit(form_id, written, call), call, "form")


def opens_form(button_id: str) -> bool:
    """Whether the answer to a button's press is a form."""
    button = ButtonId.read(button_id)
    return button is not None and button.action.opens_form


def _clean_call(call: Call) -> Call:
    """Return a call whose text and options hold nothing that a chat may have let through."""
    options = {
        name: clean(value, lines=True) if isinstance(value, str) else value
        for name, value in call.options.items()
    }
    return replace(call, text=clean(call.text, lines=True), options=options)


async def _execute(line: str, call: Call) -> Result:
    command, rest = call.commands.find(line)
    return await _invoke(command, replace(call, text=rest))


async def _rewrite(line: str, job_id: str, call: Call) -> Result | None:
    command, rest = call.commands.find(line)
    if not command.renders:
        return await _invoke(command, replace(call, text=rest))
    _check_tenant(call)
    job = await call.job(job_id)
    try:
        return await message_edit.rewrite(replace(call, text=rest), command, job)
    except UserError as error:
        if (told := _with_command(error, command, call)) is None:
            raise
        raise told from error


def _check_allowed(command: Command, call: Call) -> None:
    if not command.open_to_all:
        _check_tenant(call)
    if not call.caller.may(command.permission):
        raise call.permission_error(command.typed, command.permission)


async def _invoke(command: Command, call: Call) -> Result:
    _check_allowed(command, call)
    try:
        result = await command.handler(call)
    except Refusal as refusal:
        return await make_refusal_card(call, command.typed, refusal)
    except UserError as error:
        if (told := _with_command(error, command, call)) is None:
            raise
        raise told from error
    if command.visibility is Visibility.CALLER and isinstance(result, Card):
        return replace(result, private=True, ping=False)
    return result


def _with_command(error: UserError, command: Command, call: Call) -> UserError | None:
    """Return an error that shows how its command is used, or None where it does so already."""
    if error.code == "command.incomplete":
        return UserError(error.code, **{**error.params, "command": command.typed})
    if error.code == "flag.other_word":
        return UserError(error.code, **{**error.params, "help": command.help_typed})
    if error.code == "flag.unknown" and (command.renders or error.params.get("help") == OWN_HELP):
        return UserError(error.code, **{**error.params, "help": command.help_typed})
    if error.code == "prompt.empty" and command.typed != _GENERATE:
        return UserError("prompt.no_words", example=_example(command, call))
    return None


def _example(command: Command, call: Call) -> str:
    """Return a command with a prompt, and with the images that it needs where they are typed."""
    needed = [each for each in command.options if each.required and each.kind is Kind.IMAGE]
    images = [f"--{each.flag} image.png" for each in needed if call.channel.local_files]
    return " ".join((command.typed, _PROMPT, *images))


def _check_tenant(call: Call) -> None:
    """Serve the guilds and workspaces that the operator allows.

    Raises:
        UserError: `permission.tenant`.
    """
    channel = call.channel
    operator_rules = call.policy.operator_rules
    if channel.admitted or operator_rules.allows(
        channel.tenant, platform=channel.platform, personal=channel.personal
    ):
        return
    raise UserError("permission.tenant")


async def _submit(form_id: str, values: Mapping[str, str], call: Call) -> Result:
    pressed = ButtonId.decode(form_id)
    if not pressed.action.opens_form:
        raise UserError("action.unknown")
    _check_tenant(call)
    job = await call.job(pressed.job)
    if pressed.action is Action.REWORD:
        prompt.check_answer(call, job)
    try:
        return await repeat.edit(call, job, values, action=pressed.action)
    except Refusal as refusal:
        return await make_refusal_card(call, form_id, refusal, options=values)


async def _press(button_id: str, call: Call) -> Result | Form:
    pressed = ButtonId.decode(button_id)
    _check_tenant(call)
    if pressed.action is Action.CHANGE:
        return await _ask_again(pressed, call)
    job = await call.job(pressed.job)
    match pressed.action:
        case Action.CANCEL:
            return await queue.cancel_job(call, job)
        case (
            Action.REROLL
            | Action.RETRY
            | Action.EXTEND
            | Action.LARGER
            | Action.FINISH
            | Action.EDIT
            | Action.ANIMATE
        ):
            check_press(call.caller, job, await call.rules())
            return await _make_again(call, job, pressed)
        case Action.ACCEPT | Action.REWORD | Action.KEEP:
            return await prompt.answer(call, job, pressed.action)
        case Action.DELETE:
            return await _remove(call, job)
        case Action.INFO:
            return cards.info(
                job,
                call.locale,
                job_status.capabilities(job, call.installation),
                options=call.installation.options,
                extendable=call.jobs.extendable(job),
                measured=call.caller.owns(job),
            )


async def _confirm(button_id: str, call: Call) -> Result:
    pressed = ButtonId.decode(button_id)
    if pressed.action is not Action.DELETE:
        raise UserError("action.unknown")
    _check_tenant(call)
    return await queue.ask_removal(call, await call.job(pressed.job))


async def _ask_again(pressed: ButtonId, call: Call) -> Result | Form:
    """Answer a request that was refused before, with the change that was pressed."""
    refused = await call.policy.refused_requests.get(
        call.channel.tenant, call.caller.id, pressed.job
    )
    try:
        call = replace(call, text=refused.text, changes=refused.offers[pressed.choice or 0])
        command = call.commands[refused.asked] if refused.asked.startswith("/") else None
    except (IndexError, KeyError) as error:  # of another version, or forged
        raise NotFound("request.gone") from error
    if command is not None:
        return await _invoke(command, replace(call, options=refused.options))
    if not opens_form(refused.asked):
        return await _press(refused.asked, call)
    values = {name: str(value) for name, value in refused.options.items()}
    return await _submit(refused.asked, values, call)


async def _remove(call: Call, job: Job) -> Result:
    """Delete a job's file; where that is too early, the answer has the button again.

    The answer may have taken the place of the question, with its button.
    """
    try:
        return await queue.remove_job(call, job)
    except UserError as error:
        if error.code != "job.posting_now":
            raise
        again = job_buttons.buttons(job, (Action.DELETE,), call.locale)
        return replace(make_error_card(error, call), buttons=again)


async def _make_again(call: Call, job: Job, pressed: ButtonId) -> Result | Form:
    try:
        match pressed.action:
            case Action.EDIT:
                call.installation.check_effects(job.spec)
                return forms.edit(job, call.installation, call.locale)
            case Action.ANIMATE:
                return await repeat.animate_still(call, job)
            case Action.FINISH:
                return await finish.finish_draft(call, job)
            case _:
                return await repeat.repeat_job(call, job, pressed.action)
    except Refusal as refusal:
        return await make_refusal_card(call, pressed.encode(), refusal, options={})


async def _answer(answer: Awaitable[Result | Other], call: Call, what: str) -> Card | Other:
    shown = await _answer_or_error(answer, call, what)
    return await _add_forget_notice(shown, call) if isinstance(shown, Card) else shown


async def _answer_or_error(
    answer: Awaitable[Result | Other], call: Call, what: str
) -> Card | Other:
    try:
        return _to_card(await answer, call)
    except UserError as error:
        return make_error_card(error, call)
    except RushesError as error:
        _log.warning("command.failed", code=error.code, platform=call.channel.platform)
        return replies.error(error, call.locale)
    except Exception as error:  # noqa: BLE001 - the boundary: a bug ends here, logged
        bug_id = log_bug(_log, "command.bug", error, command=what, platform=call.channel.platform)
        return replies.error(RushesError("internal", job=bug_id), call.locale)


async def _add_forget_notice(shown: Card, call: Call) -> Card:
    """Add to a private answer that forget-me has ended, if no message could say so."""
    if not shown.private:
        return shown
    try:
        untold = await call.policy.erasures.take_untold(call.channel.tenant, call.caller.id)
    except RushesError:  # another answer will say it
        return shown
    if not untold:
        return shown
    return replace(shown, lines=(*shown.lines, (text("forget.finished", call.locale),)))


def _to_card(result: Result | Other, call: Call) -> Card | Other:
    """Return a result as the card that people see: the one place that makes them of results."""
    match result:
        case Accepted():
            capabilities = job_status.capabilities(result.job, call.installation)
            if result.together:
                statuses = [result.status] * len(result.together)
                card = batch_cards.batch(result.together, statuses, result.locale, capabilities)
            else:
                card = cards.status(result.job, result.status, result.locale, capabilities)
            return replace(card, from_outbox=True)
        case Revised():
            return replies.note("edit.revised", call.locale, job=result.job.id)
        case _:
            return result
