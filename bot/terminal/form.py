"""Forms in a terminal: the command to edit and send instead."""

from __future__ import annotations

from commands.forms import FLAGS, Form
from commands.option_set import OptionSet
from commands.options import PROMPT
from commands.parsing.flags import render_options
from commands.text.card import Card, CardKind
from commands.text.messages import text


def as_card(form: Form, options: OptionSet, locale: str) -> Card:
    """Return a card with the command to type instead of filling the form in."""
    values = {field.name: field.value for field in form.fields if field.value}
    prompt, flags = values.pop(PROMPT.name, ""), values.pop(FLAGS, "")
    words = ("/generate", prompt, render_options(values, options), flags)
    line = " ".join(word for word in words if word)
    return Card(
        kind=CardKind.INFO,
        lines=((text("terminal.form", locale),), (line,)),
        line=" ".join(line.split()),  # an input has one
        private=True,
    )
