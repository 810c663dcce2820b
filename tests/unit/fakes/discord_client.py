"""A plain discord.py client, to try the loopback Discord with."""

import asyncio

import discord
import pytest
from discord import app_commands


class Form(discord.ui.Modal, title="Edit"):
    prompt = discord.ui.TextInput(label="Prompt", custom_id="prompt", default="a fox")

    async def on_submit(self, interaction):
        await interaction.response.send_message(f"now {self.prompt.value}", ephemeral=True)


class Buttons(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=None)

    @discord.ui.button(label="Edit", custom_id="v1:edit")
    async def edit(self, interaction, _):
        await interaction.response.send_modal(Form())

    @discord.ui.button(label="Cancel", custom_id="v1:cancel")
    async def cancel(self, interaction, _):
        await interaction.response.edit_message(content="cancelled", view=None)


class Installation(discord.Client):
    """A small bot; commands leave their interaction in `asked`."""

    def __init__(self):
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            guild_ready_timeout=0.01,
        )
        self.tree = app_commands.CommandTree(self)
        self.asked = asyncio.Queue()
        self.sync = True

        @self.tree.command(description="Make a clip")
        @app_commands.choices(
            aspect=[app_commands.Choice(name=name, value=name) for name in ("16:9", "9:16")]
        )
        async def generate(
            interaction: discord.Interaction,
            prompt: app_commands.Range[str, 1, 20],
            aspect: str = "16:9",
            model: str = "nano",
            image: discord.Attachment | None = None,
        ):
            text = f"{prompt} {aspect} {image and image.url} {interaction.user.mention}"
            await interaction.response.send_message(text, view=Buttons())
            self.asked.put_nowait(interaction)

        @generate.autocomplete("model")
        async def suggest(interaction, typed):
            names = ("nano", "opensora")
            return [app_commands.Choice(name=n, value=n) for n in names if typed in n]

        @self.tree.command(description="Answers late")
        async def later(interaction: discord.Interaction):
            await interaction.response.defer(ephemeral=True)
            self.asked.put_nowait(interaction)

        @self.tree.command(description="Answers never")
        async def never(interaction: discord.Interaction):
            self.asked.put_nowait(interaction)

        @self.tree.context_menu(name="Animate")
        async def animate(interaction: discord.Interaction, message: discord.Message):
            await interaction.response.send_message(message.attachments[0].filename)

    async def before_identify_hook(self, shard_id, *, initial=False):
        """Do not wait: nobody counts identifies here."""

    async def setup_hook(self):
        if self.sync:
            await self.tree.sync()


async def card_of(alice, channel):
    return await alice.slash(channel, "generate", prompt="a red fox").response()


def channel_for(bot, channel):
    return bot.get_channel(channel.id) or bot.get_partial_messageable(channel.id)


async def refused(code, doing):
    with pytest.raises(discord.HTTPException) as caught:
        await doing
    assert caught.value.code == code
