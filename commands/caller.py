"""Who calls a command, and from which channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from commands.schema import Permission
from inference.domain.errors import UserError
from inference.domain.job import Audience, Job, Requester
from inference.domain.untrusted_text import clean, is_blank


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The person who makes a call."""

    id: str
    name: str
    person: str = ""
    """A name that is the same in every tenant, where that is not platform and id."""
    roles: frozenset[str] = frozenset()
    """Roles or user groups in the tenant, by the ids that the platform has for them."""
    admin: bool = False
    """Administers the tenant (guild or workspace) of the channel."""
    operator: bool = False
    """Runs the machine that all tenants share."""
    guest: bool = False
    """Belongs to the tenant in this one channel only: another company's people, guests."""

    def __post_init__(self) -> None:
        name = clean(self.name).strip()
        object.__setattr__(self, "name", self.id if is_blank(name) else name)

    @property
    def requester(self) -> Requester:
        """The caller as jobs remember them."""
        return Requester(id=self.id, name=self.name)

    def may(self, permission: Permission) -> bool:
        """Whether the caller may use a command that needs `permission`."""
        match permission:
            case Permission.MEMBER:
                return True
            case Permission.ADMIN:
                return self.admin or self.operator
            case Permission.OPERATOR:
                return self.operator

    def owns(self, job: Job) -> bool:
        """Whether the caller may change a job of this tenant."""
        return job.requester.id == self.id or self.may(Permission.ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The channel of a call, where its answer goes."""

    platform: str
    tenant: str
    """Key of fair sharing and of ownership; platform-prefixed."""
    address: dict[str, Any]
    """Opaque here: written and read by the platform."""
    id: str = ""
    """The channel's id in settings; for a thread, that of the channel it is in."""
    title: str = ""
    private: bool = True
    """Whether only the people in it may see its jobs; True where that is unknown."""
    room: str = ""
    """Id of the thread, if it is a private one in the channel `id`."""
    direct: bool = False
    """Whether it is the conversation of one person with the bot."""
    personal: bool = False
    """Whether the tenant is this one person, so that it has no admin who sets rules."""
    admitted: bool = False
    """Whether the operator let the tenant in otherwise than by the list of allowed ones."""
    age_restricted: bool = False
    """Whether the platform lets only adults in; for a thread, that of the channel it is in."""
    closed: UserError | None = None
    """Why the platform could not bring a result here; nothing is made in such a channel."""
    asks: bool = True
    """Whether its people can be asked before a job is rendered; elsewhere none waits for them."""
    pictures: str = "any"
    """How pictures are added here: the last word of the catalog key `example.animate.…`."""
    local_folder: str | None = None
    """Where relative paths of `--image` begin, where it may name a file of this machine: in a
    terminal only."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", clean(self.title).strip())

    @property
    def local_files(self) -> bool:
        """Whether `--image` may name a file of this machine."""
        return self.local_folder is not None

    @property
    def audience(self) -> Audience:
        """Who may see what is asked for here."""
        return Audience(channel=self.room or self.id, private=self.private)
