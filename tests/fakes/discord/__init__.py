"""A Discord on loopback: HTTP API, gateway, CDN, people, and a witness of what they see.

Nothing here knows what is tested against it. See `LoopbackDiscord` for how to use it.
"""

from tests.fakes.discord.entities import Channel, ChannelKind, File, Guild, Message
from tests.fakes.discord.interactions import Interaction, Modal
from tests.fakes.discord.people import Person
from tests.fakes.discord.permissions import Permission
from tests.fakes.discord.server import LoopbackDiscord
from tests.fakes.discord.typing_in import CannotAsk
from tests.fakes.discord.witness import Witness

__all__ = [
    "CannotAsk",
    "Channel",
    "ChannelKind",
    "File",
    "Guild",
    "Interaction",
    "LoopbackDiscord",
    "Message",
    "Modal",
    "Permission",
    "Person",
    "Witness",
]
