"""Registry of platforms, commands, moderators and assistants, built in or from plugins.

A plugin is an entry point of a distribution beside Rushes. It is tried first (`bot.plugins`). One
that raises is named in the log, by `rushes plugins` and in `GET /v1/health`, and everything else
works without it.

The entry-point groups, and what their entries name:

- `rushes.commands`: a `CommandFactory`.
- `rushes.platforms`: a `PlatformFactory`; in use where `[bot] platforms` names it.
- `rushes.moderators`: a `ModeratorFactory`; in use where `[safety] moderators` names it.
- `rushes.assistants`: an `AssistantFactory`; in use where `[assistant] engine` names it.
- `rushes.models`: a `ModelEntry`, see `inference.engines.registry`.
- `rushes.effects`: an `EffectEntry`, see `inference.effects.base`.
- `rushes.plugins`: a `Plugin`, what the distribution brings beside these.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from pydantic import BaseModel

from bot import assistant, moderation
from bot.assistant import AssistantFactory
from bot.config.sections import Config
from bot.moderation import ModeratorFactory
from bot.platform import Platform
from bot.plugins import guards
from bot.plugins.command_checks import check_commands
from bot.plugins.loader import gather
from bot.terminal.platform import NAME as TERMINAL
from bot.terminal.platform import TerminalPlatform
from commands.catalog import built_in_commands
from commands.context import Command, CommandSet
from commands.option_set import OptionSet
from inference.assist.base import UnavailableAssistant
from inference.domain.errors import UserError
from inference.plugins.entry_import import protect_stdout
from inference.plugins.problem import BROKEN, PluginError, Problem
from inference.plugins.registry import Plugins
from inference.safety.base import Moderators

COMMANDS = "rushes.commands"
PLATFORMS = "rushes.platforms"
MODERATORS = "rushes.moderators"
ASSISTANTS = "rushes.assistants"

PlatformFactory = Callable[[Config], Platform | None]
"""Returns a chat, or None where it has no token."""

T = TypeVar("T")

CommandFactory = Callable[[OptionSet], Iterable[Command]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Platforms, commands, moderators and assistants by name; built once."""

    platforms: Mapping[str, PlatformFactory]
    moderators: Mapping[str, ModeratorFactory]
    assistants: Mapping[str, AssistantFactory]
    command_factories: Mapping[str, CommandFactory]
    """Of plugins."""
    plugins: Plugins
    """Knows which plugins cannot be used."""

    @classmethod
    def load(cls, plugins: Plugins | None = None) -> Registry:
        """Return the registry of built-ins and plugins; built-in names cannot be replaced.

        Args:
            plugins: Of a config; None stands for all that are installed.
        """
        plugins = plugins or gather()
        built_in: dict[str, Collection[str]] = {
            PLATFORMS: _BUILT_IN_PLATFORMS,
            MODERATORS: moderation.BUILT_IN,
            ASSISTANTS: assistant.BUILT_IN,
        }
        for group, names in built_in.items():
            for name in plugins.names(group):
                if name in names:
                    plugins.reject(group, name, PluginError(f"Rushes has {name} itself"))
        moderators = _with_stand_ins(plugins, MODERATORS, guards.moderators, Moderators.unavailable)
        assistants = _with_stand_ins(plugins, ASSISTANTS, guards.assistant, UnavailableAssistant)
        return cls(
            platforms={**_platforms(plugins), **_BUILT_IN_PLATFORMS},
            moderators={**moderators, **moderation.BUILT_IN},
            assistants={**assistants, **assistant.BUILT_IN},
            command_factories=dict(plugins.load(COMMANDS)),
            plugins=plugins,
        )

    def commands(self, options: OptionSet) -> CommandSet:
        """Return all commands.

        Args:
            options: Those of a render.
        """
        found = CommandSet(built_in_commands(options))
        for name, make in self.command_factories.items():
            if self.plugins.is_refused(COMMANDS, name):
                continue
            try:
                with protect_stdout():
                    named = _name(self.plugins, COMMANDS, name)
                    own = [guards.command(one, named) for one in check_commands(make(options))]
                    found = CommandSet([*found, *own])
            except BROKEN as error:  # whatever a plugin's function raises
                self.plugins.reject(COMMANDS, name, error)
        return found

    def plugin_configs(self) -> Mapping[str, BaseModel]:
        """Return the checked sections `[plugins.NAME]` by name."""
        return {
            package.section: config
            for package in self.plugins.packages
            if package.section and (config := self.plugins.config_of(package)) is not None
        }

    def platform(self, name: str, config: Config) -> Platform | None:
        """Make a platform, or nothing where it has no token.

        Args:
            name: One of `platforms`, or `module:factory`.
            config: For the platform.

        Raises:
            UserError: `config.platform_unknown` or `config.platform_broken`.
        """
        module, _, factory = name.partition(":")
        if name not in self.platforms and not factory:
            where, known = config.where("bot", "platforms"), list(self.platforms)
            raise UserError("config.platform_unknown", where=where, name=name, known=known)
        try:
            make = self.platforms.get(name) or getattr(import_module(module), factory)
            made = _platform(make(config))
        except UserError:
            raise
        except BROKEN as error:
            problem = Problem.of(error).summary  # its message may quote a token
            where = config.where("bot", "platforms")
            raise UserError(
                "config.platform_broken", where=where, name=name, problem=problem
            ) from error
        return made


def _platform(made: Any) -> Platform | None:
    """Check that the object made by a factory has all members of a platform, and return it.

    Raises:
        PluginError: It lacks something, which is named.
    """
    if made is not None:
        wanted = [name for name in vars(Platform) if not name.startswith("_")]
        if missing := [name for name in wanted if not hasattr(made, name)]:
            kind = type(made).__name__
            raise PluginError(f"{kind} is no Platform: it has no {', '.join(missing)}")
    platform: Platform | None = made
    return platform


def _platforms(plugins: Plugins) -> dict[str, PlatformFactory]:
    """Return the platforms of plugins; one that cannot be made is as one without a token."""

    def safe(name: str, make: PlatformFactory) -> PlatformFactory:
        def made(config: Config) -> Platform | None:
            try:
                with protect_stdout():
                    return _platform(make(config))
            except UserError:
                raise
            except BROKEN as error:  # whatever a plugin's function raises
                plugins.reject(PLATFORMS, name, error)
                return None

        return made

    found = {name: safe(name, make) for name, make in plugins.load(PLATFORMS)}
    return {**dict.fromkeys(plugins.list_broken(PLATFORMS), lambda _: None), **found}


def _name(plugins: Plugins, group: str, name: str) -> guards.GuardedPlugin:
    package = plugins.package_of(group, name).name
    return guards.GuardedPlugin(group=group, plugin=name, package=package)


def _with_stand_ins(
    plugins: Plugins,
    group: str,
    check: Callable[[object, guards.GuardedPlugin], T],
    stand_in: Callable[[], T],
) -> dict[str, Any]:
    """Return the factories of a group; where a plugin fails, they make something else.

    Args:
        plugins: Loads them, and notes which cannot be used.
        group: Its entries name functions that return asynchronous context managers.
        check: Guards what these give.
        stand_in: What is there instead.
    """

    def safe(name: str, make: Callable[..., AbstractAsyncContextManager[Any]]) -> Any:
        def instead(error: BaseException) -> T:
            plugins.reject(group, name, error)
            return stand_in()

        def made(*arguments: Any) -> AbstractAsyncContextManager[T]:
            named = _name(plugins, group, name)
            return guards.open_guarded(partial(make, *arguments), check, named, instead=instead)

        return made

    @contextlib.asynccontextmanager
    async def missing(*_: Any) -> AsyncIterator[T]:
        yield stand_in()

    found = {name: safe(name, make) for name, make in plugins.load(group)}
    return {**dict.fromkeys(plugins.list_broken(group), missing), **found}


def _import_later(module: str) -> PlatformFactory:
    """Return a factory that imports its chat's library only where that chat is wanted."""
    return lambda config: import_module(module).make(config)


def make_terminal(config: Config) -> TerminalPlatform:
    """Return the chat in a terminal."""
    return TerminalPlatform(config.bot.data_dir / "threads")


_BUILT_IN_PLATFORMS: Mapping[str, PlatformFactory] = {
    "discord": _import_later("bot.discord"),
    "slack": _import_later("bot.slack"),
    "http": _import_later("bot.http"),
    TERMINAL: make_terminal,
}
