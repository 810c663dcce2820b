"""A form in a terminal: the line that says the same, to be changed and sent."""

from __future__ import annotations

from commands.forms import FLAGS, Form
from commands.options import BY_NAME, PROMPT
from commands.parsing.quotes import quote
from commands.text.card import Card, CardKind
from commands.text.messages import text


def as_card(form: Form, locale: str) -> Card:
    """Return a card with the command to type instead of filling the form in."""
    values = {field.name: field.value for field in form.fields if field.value}
    words = ["/generate", values.pop(PROMPT.name, "")]
    flags = values.pop(FLAGS, "")
    words += [f"--{BY_NAME[name].flag} {quote(value)}" for name, value in values.items()]
    line = " ".join(word for word in (*words, flags) if word)
    return Card(kind=CardKind.INFO, lines=((text("terminal.form", locale),), (line,)), private=True)
