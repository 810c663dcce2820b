"""Forms as Discord modals; a submission carries its form's id, so a restart does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import discord
from discord import ui

from bot.discord.outbound.markdown import cut
from commands.forms import Form

TITLE_LENGTH = 45
LABEL_LENGTH = 45
HINT_LENGTH = 100


def modal(form: Form) -> ui.Modal:
    """Return a form as a modal."""
    drawn = ui.Modal(title=cut(form.title, TITLE_LENGTH), custom_id=form.id, timeout=None)
    for field in form.fields:
        long = discord.TextStyle.paragraph
        drawn.add_item(
            ui.TextInput(
                label=cut(field.label, LABEL_LENGTH),
                custom_id=field.name,
                style=long if field.multiline else discord.TextStyle.short,
                default=field.value or None,
                placeholder=cut(field.hint, HINT_LENGTH) or None,
                required=field.required,
                max_length=field.max_length,
            )
        )
    # A stopped modal is not kept in memory: submissions are recognised by their ids alone.
    drawn.stop()
    return drawn


def form_id(interaction: discord.Interaction) -> str:
    """Return the id of the form that was handed in."""
    data: Any = interaction.data or {}
    return str(data.get("custom_id", ""))


def values(interaction: discord.Interaction) -> dict[str, str]:
    """Return the texts of a submitted form by field."""
    data: Any = interaction.data or {}
    return {
        str(item["custom_id"]): str(item.get("value") or "")
        for item in _inputs(data.get("components", []))
    }


def _inputs(components: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the text inputs, whatever they are laid out in."""
    for component in components:
        if component.get("type") == discord.ComponentType.text_input.value:
            yield component
        yield from _inputs(component.get("components", []))
        if "component" in component:
            yield from _inputs([component["component"]])
