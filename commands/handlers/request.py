"""Requests: options from a form, from flags in the prompt, and from a button after a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping

from commands.context import Call
from commands.option_set import OptionSet
from commands.options import MODEL, MORE, PROMPT, TEXTS
from commands.parsing.flags import HELP, check_no_pictures, parse, parse_options
from commands.parsing.values import accept, accept_offering, label, shorten
from commands.refusal import offer_correction
from commands.schema import Value
from inference.domain.errors import UserError

_MODEL = re.compile(rf"--{MODEL.flag}[\s=]+(?P<name>\S+)", re.IGNORECASE)


def read_request(call: Call) -> tuple[str, dict[str, Value]]:
    """Return the prompt, and the options from the form and from flags in the prompt.

    Raises:
        Refusal: `flag.mistyped` or `value.mistyped`.
        UserError: `flag.*`, `value.*`, `prompt.*` or `image.*`.
    """
    words = {PROMPT.name: call.text, **call.options, **call.changes}[PROMPT.name]
    with offer_correction(PROMPT.name):
        typed = parse(str(words), call.installation.options, find_model_options(call, str(words)))
    return typed.prompt, merge_options(call, typed.options)


def find_model_options(call: Call, words: str) -> OptionSet:
    """Return the options of the model that a request names, or of the default one.

    Args:
        call: Who asks, with a form.
        words: What they typed, with flags.
    """
    named = _MODEL.search(words)
    chosen = (
        named["name"] if named else call.changes.get(MODEL.name) or call.options.get(MODEL.name)
    )
    return call.installation.find_options(str(chosen or call.installation.default_model))


def merge_options(call: Call, typed: Mapping[str, Value]) -> dict[str, Value]:
    """Return the options of the form, merged with the typed ones.

    Raises:
        Refusal: `flag.mistyped` or `value.mistyped`.
        UserError: `flag.*`, `value.*` or `image.*`.
    """
    known = call.installation.options.by_name
    form = {name: value for name, value in call.options.items() if name != PROMPT.name}
    more = form.pop(MORE.name, "")
    words = str(call.changes.get(MORE.name, more))
    works = find_model_options(call, words)
    with offer_correction(MORE.name):
        flags = parse_options(words, call.installation.options, works)
    for name, value in flags.items():
        if name in form:
            raise UserError("flag.repeated", flag=label(known[name]))
        form[name] = value
    if not call.channel.local_files:
        check_no_pictures(typed, call.installation.options)
    for name in form:
        if name not in known:  # of another version's form
            raise UserError("flag.unknown", flag=shorten(name), help=HELP)
        if name in typed:
            raise UserError("flag.repeated", flag=label(known[name]))
    changes = {name: item for name, item in call.changes.items() if name not in TEXTS}
    form = {name: item for name, item in form.items() if name not in changes}
    offered = {name: accept_offering(known[name], item, works) for name, item in form.items()}
    given = {**offered, **typed}
    for name, changed in changes.items():
        if changed is None:
            given.pop(name, None)
        else:
            given[name] = accept(known[name], changed)
    return given
