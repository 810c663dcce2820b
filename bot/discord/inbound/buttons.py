"""Handles presses of buttons and menus; ids carry everything, so those of old messages work."""

from __future__ import annotations

import re
from typing import Any, Self

import discord
from discord import ui

from bot.discord.inbound.command_gateway import CommandGateway

TEMPLATE = re.compile(r"v\d+:.+")
"""Ids of buttons, of this and of other versions; the command gateway tells them apart."""


def press_handler(gateway: CommandGateway) -> type[ui.DynamicItem[ui.Button[ui.View]]]:
    """Return the dynamic item that handles presses of all our buttons and menus."""

    class Press(ui.DynamicItem[ui.Button[ui.View]], template=TEMPLATE):
        """A pressed button, or what was chosen from a menu."""

        @classmethod
        async def from_custom_id(
            cls,
            interaction: discord.Interaction[Any],  # noqa: ARG003 - the library's hook
            item: ui.Item[Any],
            match: re.Match[str],  # noqa: ARG003
        ) -> Self:
            return cls(item)  # type: ignore[arg-type]  # menus have such ids too

        async def callback(self, interaction: discord.Interaction[Any]) -> None:
            data: Any = interaction.data or {}
            if values := data.get("values"):
                await gateway.choose(interaction, str(values[0]))
            else:
                await gateway.press(interaction, self.custom_id)

    return Press
