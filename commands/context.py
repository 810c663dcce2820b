"""Commands as data with their handlers, and the call that a handler gets: who asks what, where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from pydantic import BaseModel

from commands.caller import Caller, Channel
from commands.directory import Directory, OpenDirectory
from commands.installation import Installation
from commands.jobs import Jobs
from commands.options import CONFIRM, IMAGE
from commands.parsing import synonyms
from commands.parsing.suggestions import closest
from commands.parsing.values import shorten
from commands.policy.permissions import check_may_render
from commands.policy.quota import find_quota
from commands.policy.settings import Rules
from commands.policy.stores import Policy
from commands.policy.visibility import JobAccess, Viewer, can_see, find_job_access
from commands.refusal import Changes
from commands.results import Result
from commands.schema import Kind, Option, Permission, Value
from commands.text.messages import language, text
from inference.clock import Clock, SystemClock
from inference.domain.errors import NotFound, UserError
from inference.domain.job import Job
from inference.domain.quota import Quota, Usage
from inference.store.sqlite.database import Database

PictureCheck = Callable[[str, str], Awaitable[None]]
"""Raises `UserError` unless the file of a path, as typed in a folder, can be used as a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to a handler: who asks what, where, and with which services."""

    caller: Caller
    channel: Channel
    jobs: Jobs
    installation: Installation
    policy: Policy
    text: str = ""
    """The text typed after the command."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """The options set in a form, by name; an image is its URL on the platform."""
    changes: Changes = field(default_factory=dict)
    """The changes of a refusal's button that was pressed."""
    locale: str = "en"
    key: str | None = None
    """The platform's id of this request, so that a repeated one is the same job."""
    clock: Clock = field(default_factory=SystemClock)
    directory: Directory = field(default_factory=OpenDirectory)
    """The chat's people, roles and channels."""
    commands: CommandSet
    """All commands that there are."""
    check_picture: PictureCheck | None = None
    """Checks pictures of this machine; see `Channel.local_folder`."""
    database: Database | None = None
    """For the tables of plugins; None where commands run without one."""
    plugin_configs: Mapping[str, BaseModel] = field(default_factory=dict)
    """The checked sections `[plugins.NAME]` by name."""

    def plugin_config(self, name: str) -> BaseModel:
        """Return the checked section `[plugins.<name>]`.

        Raises:
            KeyError: There is no such plugin, or it has no model of its section.
        """
        return self.plugin_configs[name]

    @property
    def person(self) -> str:
        """The caller by a name that is the same in every tenant of the platform."""
        return self.caller.person or f"{self.channel.platform}:{self.caller.id}"

    def permission_error(
        self, command: str, permission: Permission = Permission.ADMIN
    ) -> UserError:
        """Return the error for a command that the caller may not use."""
        if self.channel.local_files:
            return UserError("command.not_allowed_here", command=command)
        if permission is Permission.OPERATOR:
            return UserError("command.operators_only", command=command)
        return UserError("command.not_allowed", command=command)

    def qualify_person(self, person: str) -> str:
        """Return the name in all tenants of another person of this tenant; see `person`."""
        return self.directory.person(person) or f"{self.channel.platform}:{person}"

    async def job(self, job_id: str, *, at_least: JobAccess = JobAccess.ALL) -> Job:
        """Return a job that the caller may see. Handlers get jobs from here, not from `jobs`.

        Args:
            job_id: Its id.
            at_least: How much of it the caller must be allowed to see.

        Raises:
            NotFound: `job.unknown`; a hidden job is as unknown as one that never was.
        """
        job = await self.jobs.get(job_id, tenant=self.channel.tenant)
        if find_job_access(job, await self.viewer([job])) < at_least:
            raise NotFound("job.unknown", job=job_id)
        return job

    async def visible(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those jobs that the caller may see, in their order."""
        listed = list(jobs)
        viewer = await self.viewer(listed)
        return [job for job in listed if can_see(job, viewer)]

    async def viewer(self, jobs: Iterable[Job]) -> Viewer:
        """Return the caller as a viewer of some jobs."""
        here = frozenset(filter(None, (self.channel.id, self.channel.room)))
        elsewhere = {
            job.audience.channel
            for job in jobs
            if not job.audience.private and job.requester.id != self.caller.id
        } - here
        return Viewer(
            tenant=self.channel.tenant,
            person=self.caller.id,
            channels=here,
            guest=self.caller.guest,
            operator=self.caller.operator,
            administers=self.directory.administers,
            turned_private=await self.directory.find_private_channels(elsewhere - {""}),
        )

    async def check_may_render(self) -> Rules:
        """Check that the caller may render here, and return the settings in force.

        Raises:
            UserError: `permission.*`, or what the platform cannot do here.
        """
        rules = await self.rules()
        check_may_render(
            self.caller,
            self.channel,
            rules,
            direct_messages=self.policy.operator_rules.direct_messages,
            block=await self.policy.block_of(self.channel.tenant, self.caller.id, self.person),
        )
        return rules

    async def quota(self, rules: Rules) -> Quota | None:
        """Return the caller's quota of today under these settings; None for unlimited."""
        return await find_quota(
            self.caller,
            self.channel,
            self.person,
            rules,
            policy=self.policy,
            now=self.clock.now(),
        )

    async def usage(self, since: float, person_since: float | None = None) -> Usage:
        """Return what the caller used here since a time, Unix seconds, and in all tenants."""
        return await self.jobs.usage(
            self.channel.tenant,
            self.caller.id,
            since=since,
            person=self.person,
            person_since=person_since,
        )

    async def rules(self) -> Rules:
        """Return the settings in force for this caller in this channel."""
        return await self.policy.settings.rules(
            self.channel.tenant, channel=self.channel.id, person=self.caller.id
        )


class Visibility(StrEnum):
    """Who sees the answer to a command that worked. Errors are always private."""

    EVERYONE = "everyone"
    CALLER = "caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, with its handler and options."""

    name: str
    handler: Callable[[Call], Awaitable[Result]]
    parent: str | None = None
    """The word in front, for `/rushes queue` and its like."""
    options: tuple[Option, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)
    """Values that the command sets; callers cannot change them."""
    visibility: Visibility = Visibility.EVERYONE
    permission: Permission = Permission.MEMBER
    renders: bool = False
    """Makes a job of a prompt: forms show it, and an edited message changes its job."""
    needs_assistant: bool = False
    """Only listed in the help where there is a prompt assistant."""
    open_to_all: bool = False
    """Answered also in tenants that the operator does not serve."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """By language, the one-line explanation of a plugin's command, which no catalog has."""

    @property
    def typed(self) -> str:
        """The command as people type it, such as `/rushes queue`."""
        return f"/{self.parent} {self.name}" if self.parent else f"/{self.name}"

    @property
    def help_typed(self) -> str:
        """The command that shows its help, such as `/rushes help generate`."""
        return f"/{self.parent or 'rushes'} help {self.name}"

    @property
    def help_key(self) -> str:
        """Catalog key of the one-line explanation (100 characters at most)."""
        return f"command.{self.parent}.{self.name}" if self.parent else f"command.{self.name}"

    @property
    def picture(self) -> str:
        """Name of the option that a picture beside the words of a request is for."""
        needed = (each.name for each in self.options if each.required and each.kind is Kind.IMAGE)
        return next(needed, IMAGE.name)

    def help(self, locale: str) -> str:
        """Return the one-line explanation."""
        if not self.texts:
            return text(self.help_key, locale)
        return self.texts.get(language(locale)) or next(iter(self.texts.values()))


rushes_command = partial(Command, parent="rushes", visibility=Visibility.CALLER)
"""A command `/rushes …`, whose answer only the caller sees."""

admin_command = partial(rushes_command, parent="rushes-admin", permission=Permission.ADMIN)
"""The same for admins: `/rushes-admin …`."""


class CommandSet:
    """All commands of an installation, in the order in which help shows them."""

    def __init__(self, commands: Iterable[Command]) -> None:
        """Index them.

        Raises:
            ValueError: Two commands have the same name, or one that stands in front of others.
        """
        self._by_typed: dict[str, Command] = {}
        for command in commands:
            if command.typed in self._by_typed:
                raise ValueError(f"two commands named {command.typed}")
            self._by_typed[command.typed] = command
        if both := self.parents & self._by_typed.keys():
            raise ValueError(f"{min(both)} is a command, and the word in front of others")

    def __iter__(self) -> Iterator[Command]:
        return iter(self._by_typed.values())

    def __getitem__(self, typed: str) -> Command:
        """Return the command that is typed so, such as `/rushes queue`; `KeyError` for others."""
        return self._by_typed[typed]

    @property
    def parents(self) -> frozenset[str]:
        """The words in front of others, such as `/rushes`."""
        return frozenset(f"/{command.parent}" for command in self if command.parent)

    def find(self, typed: str) -> tuple[Command, str]:
        """Return the command of a typed text, and the text after it.

        Raises:
            UserError: `command.*`: there is no such command.
        """
        first, rest = _split(typed)
        if not first.startswith("/"):
            raise UserError("command.expected")
        wanted = first.casefold()
        if wanted in self.parents:
            name, rest = _split(rest)
            wanted = f"{wanted} {name.casefold() or 'help'}"
        if wanted in self._by_typed:
            return self._by_typed[wanted], rest
        # "/queue" is guessed as "/rushes queue", and "/generatte" as "/generate".
        # The word in front says nothing about the one after it; of equal names, its own goes first.
        parent, _, verb = wanted.lstrip("/").rpartition(" ")
        short = {
            item.name: item.typed
            for item in reversed(self._by_typed.values())
            # A caller who names another person must not be led to delete their own data.
            if CONFIRM not in item.options or parent in {"", item.parent}
        }
        short |= {item.name: item.typed for item in self if item.parent == parent}
        if verb not in short and parent in {"", "rushes"}:
            _check_synonyms(verb, wanted)
        guess = closest(verb, short)
        if guess is None:
            raise UserError("command.unknown", command=shorten(wanted))
        raise UserError("command.mistyped", command=shorten(wanted), suggestion=short[guess])


def _check_synonyms(verb: str, wanted: str) -> None:
    """Refuse a word that is a button, a plugin's command or a command of another tool.

    Raises:
        UserError: `command.is_button`, `command.of_plugin` or `command.other_word`.
    """
    if verb in synonyms.BUTTONS:
        raise UserError("command.is_button", command=shorten(wanted))
    if folder := synonyms.BUNDLED_COMMANDS.get(verb):
        raise UserError("command.of_plugin", command=shorten(wanted), folder=folder)
    if meant := synonyms.COMMANDS.get(verb):
        raise UserError("command.other_word", command=shorten(wanted), meant=meant)


def _split(text: str) -> tuple[str, str]:
    """Return the first word and what follows it."""
    words = [*text.split(None, 1), "", ""]
    return words[0], words[1]
