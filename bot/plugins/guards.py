"""Guards around objects of plugins: what one raises, how long it takes and what type it returns.

What goes wrong in use is logged as `plugin.failed` with the names of the plugin and its package.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from commands.context import Call, Command
from commands.results import Accepted, Result, Revised
from commands.text.card import Card
from inference.assist.base import PromptAssistant, RefinementRequest
from inference.bug_report import log_bug
from inference.domain.errors import AssistantError, ModeratorUnavailable, RushesError
from inference.domain.verdict import Reason
from inference.plugins.entry_import import protect_stdout
from inference.plugins.problem import PluginError
from inference.safety.base import Moderators, PictureModerator, TextModerator

OPEN_SECONDS = 60.0
"""That a moderator or assistant may take to be made."""

CLOSE_SECONDS = 10.0
"""That it may take to be closed."""

ANSWER_SECONDS = 120.0
"""That it may take to answer."""

HANDLER_SECONDS = 600.0
"""That the handler of a command may take: chats accept no later answer."""

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class BadAnswerError(PluginError):
    """A plugin answered too late, or with a wrong type.

    Its words are ours. Any other message, also of a `PluginError`, may be a plugin's and quote a
    prompt.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class PluginFailed(Exception):
    """A plugin raised, hung or returned something else than it should."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


async def ask_plugin(
    question: Callable[[], Awaitable[T]],
    seconds: float,
    expected: tuple[type[RushesError], ...] = (),
) -> T:
    """Call a plugin with a time limit, and return its answer.

    Args:
        question: Asks it, and checks its answer.
        seconds: That this may take.
        expected: What it may raise.

    Raises:
        PluginFailed: It raised something else, cancelled itself, or took too long.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            return await question()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        task = asyncio.current_task()
        cancelled = isinstance(error, asyncio.CancelledError) and task and task.cancelling()
        if cancelled or isinstance(error, expected):
            raise
        late = BadAnswerError(f"it did not answer within {seconds:.0f} s")
        raise PluginFailed(late if limit.expired() else error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedPlugin:
    """An entry point of a plugin: calls it with time limits, and logs its failures."""

    group: str
    plugin: str
    package: str

    async def ask(
        self,
        question: Callable[[], Awaitable[T]],
        seconds: float,
        expected: tuple[type[RushesError], ...] = (),
        command: str = "",
    ) -> T:
        """Call the plugin with a time limit, and log a failure; see `ask_plugin`.

        Args:
            question: As of `ask_plugin`.
            seconds: As of `ask_plugin`.
            expected: As of `ask_plugin`.
            command: Whose handler is asked, for the log.

        Raises:
            PluginFailed: There is no answer.
        """
        try:
            return await ask_plugin(question, seconds, expected)
        except PluginFailed as failed:
            log = _log.bind(group=self.group, plugin=self.plugin, package=self.package)
            if command:
                log = log.bind(command=command)
            if isinstance(failed.reason, BadAnswerError):
                log = log.bind(problem=failed.reason.problem)
            log_bug(log, "plugin.failed", failed.reason)
            raise


def command(made: Command, named: GuardedPlugin) -> Command:
    """Return a command of a plugin whose handler fails with nothing but an `Exception`."""

    async def handler(call: Call) -> Result:
        async def answer() -> Result:
            result = await made.handler(call)
            if not isinstance(result, Card | Accepted | Revised):
                raise BadAnswerError(f"its handler returned {type(result).__name__}, no Card")
            return result

        return await named.ask(answer, HANDLER_SECONDS, (RushesError,), command=made.typed)

    return replace(made, handler=handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moderator:
    """A moderator of a plugin; one that fails could not be asked."""

    name: str
    inner: Any
    named: GuardedPlugin

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        return await self._found(lambda: self.inner.read(texts, tenant))

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        return await self._found(lambda: self.inner.look(stills))

    async def _found(self, question: Callable[[], Awaitable[object]]) -> frozenset[Reason]:
        async def answer() -> frozenset[Reason]:
            found = await question()
            if not isinstance(found, set | frozenset | list | tuple):
                raise BadAnswerError(f"it returned {type(found).__name__}, no frozenset of Reason")
            if wrong := [each for each in found if not isinstance(each, Reason)]:
                raise BadAnswerError(f"it returned {type(wrong[0]).__name__}, which is no Reason")
            return frozenset(found)

        try:
            return await self.named.ask(answer, ANSWER_SECONDS, (ModeratorUnavailable,))
        except PluginFailed as error:
            raise ModeratorUnavailable("plugin.failed") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Assistant:
    """An assistant of a plugin; one that fails has no answer."""

    name: str
    inner: Any
    named: GuardedPlugin

    async def refine(self, request: RefinementRequest) -> str:
        async def answer() -> str:
            found = await self.inner.refine(request)
            if not isinstance(found, str):
                raise BadAnswerError(f"it returned {type(found).__name__}, no text")
            return found

        try:
            return await self.named.ask(answer, ANSWER_SECONDS, (AssistantError,))
        except PluginFailed as error:
            raise AssistantError("assistant.unavailable") from error


def moderators(made: object, named: GuardedPlugin) -> Moderators:
    """Wrap a plugin's moderators, so that their failures are caught.

    Raises:
        PluginError: They are not.
    """
    if not isinstance(made, Moderators):
        raise PluginError(f"{type(made).__name__} is no Moderators")

    def texts(group: Sequence[TextModerator]) -> list[TextModerator]:
        return [_Moderator(name=_name(one, "read"), inner=one, named=named) for one in group]

    def pictures(group: Sequence[PictureModerator]) -> list[PictureModerator]:
        return [_Moderator(name=_name(one, "look"), inner=one, named=named) for one in group]

    return Moderators(
        texts=texts(made.texts),
        pictures=pictures(made.pictures),
        hosted_texts=texts(made.hosted_texts),
        hosted_pictures=pictures(made.hosted_pictures),
    )


def assistant(made: object, named: GuardedPlugin) -> PromptAssistant:
    """Wrap a plugin's assistant, so that its failures are caught.

    Raises:
        PluginError: It is not.
    """
    return _Assistant(name=_name(made, "refine"), inner=made, named=named)


def _name(made: object, asks: str) -> str:
    """Return the name of an object that has a method."""
    missing = [each for each in ("name", asks) if not hasattr(made, each)]
    if missing:
        raise PluginError(f"{type(made).__name__} has no {' and no '.join(missing)}")
    return str(getattr(made, "name"))  # noqa: B009 - it is anything


@contextlib.asynccontextmanager
async def open_guarded(
    make: Callable[[], AbstractAsyncContextManager[Any]],
    check: Callable[[object, GuardedPlugin], T],
    named: GuardedPlugin,
    *,
    instead: Callable[[BaseException], T],
) -> AsyncIterator[T]:
    """Enter a plugin's context manager and yield its checked value; both ends may fail.

    Args:
        make: Makes the context manager.
        check: Guards what it gives.
        named: For the log.
        instead: Notes why there is nothing, and returns what stands in for it.
    """
    context: AbstractAsyncContextManager[Any] | None = None

    async def enter() -> T:
        nonlocal context
        with protect_stdout():
            entered = make()
        given = await entered.__aenter__()
        context = entered
        return check(given, named)

    try:
        made = await ask_plugin(enter, OPEN_SECONDS)
    except PluginFailed as failed:
        made = instead(failed.reason)
    try:
        yield made
    finally:
        if context is not None:
            leave = partial(context.__aexit__, None, None, None)
            with contextlib.suppress(PluginFailed):
                await named.ask(leave, CLOSE_SECONDS)
