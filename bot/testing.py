"""Test helpers for plugins: clock, call, effect on frames, driver of the terminal chat.

They are part of the plugin interface (`docs/plugins.md`): they change only with its version.
Nothing here needs torch, a network or a token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from bot import factories
from bot.app import App, open_app
from bot.config.sources import load_config
from bot.plugins.tables import tables
from bot.registry import Registry
from bot.terminal.platform import NAME, Address, MessageEvent, TerminalPlatform, tenant_of
from commands.caller import Caller, Channel
from commands.context import Call
from commands.jobs import Jobs
from commands.policy.stores import TABLES, make_policy
from commands.run import execute, press
from commands.text.card import Card, plain
from inference.clock import Clock, SystemClock
from inference.domain.job import JobState
from inference.domain.spec import Size
from inference.effects.base import EffectContext, EffectEntry
from inference.store.sqlite.database import open_database

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bot.config.sections import Config
    from commands.forms import Form
    from inference.domain.effect_use import OptionValue
    from inference.effects.base import Frames

NOON = 1_790_000_000.0
"""Unix seconds at which a manual clock starts."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class ManualClock:
    """A clock that stands still until a test moves it.

    Wall and monotonic time move together with `advance`; `jump` sets the wall clock alone.
    """

    def __init__(self, now: float = NOON) -> None:
        self._now = now
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, float, asyncio.Future[None]]] = []
        self._somebody_sleeps = asyncio.Event()

    def now(self) -> float:
        """Return Unix seconds."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved by so much."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = (self._monotonic + seconds, seconds, woken)
        self._sleepers.append(sleeper)
        self._somebody_sleeps.set()
        try:
            await woken
        finally:
            self._sleepers.remove(sleeper)

    async def asleep(self, seconds: float) -> None:
        """Wait until a task sleeps for so many seconds.

        Raises:
            TimeoutError: Nobody did within a minute.
        """
        async with asyncio.timeout(60):
            while seconds not in {asked for _, asked, woken in self._sleepers if not woken.done()}:
                self._somebody_sleeps.clear()
                await self._somebody_sleeps.wait()

    def advance(self, seconds: float) -> None:
        """Move the clock forward and wake the sleepers that are due."""
        self._now += seconds
        self._monotonic += seconds
        for at, _, woken in self._sleepers:
            if at <= self._monotonic and not woken.done():
                woken.set_result(None)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP would."""
        self._now += seconds


def apply_effect(
    entry: EffectEntry,
    frames: Frames,
    *,
    pictures: Mapping[str, Frames] = _NOTHING,
    values: Mapping[str, OptionValue] = _NOTHING,
    config: BaseModel | None = None,
    chunk: int = 8,
) -> Frames:
    """Return a clip with an effect applied as the worker does it: chunk by chunk, on copies.

    Args:
        entry: The effect.
        frames: uint8 [frames, height, width, 3]; they are not changed.
        pictures: By option: uint8 [height, width, 3].
        values: Of its other options; those without one have their default.
        config: The section of the plugin, where it has one.
        chunk: Frames that are given at once.

    Raises:
        AssertionError: What it returned is not frames of the same shape and type.
    """
    defaults = {o.name: o.default for o in entry.options if o.name not in pictures}
    context = EffectContext(
        values={**defaults, **values},
        pictures=pictures,
        size=Size(frames.shape[2], frames.shape[1]),
        fps=24,
        frames=len(frames),
        seed=7,
        config=config,
    )
    effect, made = entry.make(context), frames.copy()
    for start in range(0, len(frames), chunk):
        given = frames[start : start + chunk].copy()
        returned = effect.apply(given, context)
        if (returned.shape, returned.dtype) != (given.shape, frames.dtype):
            raise AssertionError(f"{returned.dtype} {returned.shape} of {given.shape}")
        made[start : start + chunk] = returned
    return made


@contextlib.asynccontextmanager
async def open_call(
    folder: Path,
    *,
    text: str = "",
    locale: str = "en",
    caller: Caller | None = None,
    jobs: Jobs | None = None,
    clock: Clock | None = None,
    config: Mapping[str, Any] = _NOTHING,
) -> AsyncIterator[Call]:
    """Yield a call for a handler: real rules and commands, those of plugins included; no worker.

    Args:
        folder: For its database.
        text: What was typed after the command.
        locale: Language of the caller.
        caller: Who asks; an admin by default.
        jobs: What answers for jobs; without, a handler that asks for some fails. To render
            something, use `open_terminal`.
        clock: For what it says of time.
        config: Sections of the config, such as `{"plugins": {"mine": {…}}}`.
    """
    made = _config(folder, config)
    installation = factories.make_installation(made)
    registry = Registry.load(factories.load_plugins(made))
    clock = clock or SystemClock()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    own = (migrations for _, migrations in tables(registry.plugins))
    async with open_database(folder / "call.sqlite3", TABLES, *own) as database:
        yield Call(
            caller=caller or Caller(id="ada", name="ada", admin=True),
            channel=Channel(platform="test", tenant="test:guild", address={}, private=False),
            jobs=cast("Jobs", _NoJobs()) if jobs is None else jobs,
            installation=installation,
            policy=make_policy(database, clock, installation.options),
            commands=registry.commands(installation.options),
            text=text,
            locale=locale,
            clock=clock,
            database=database,
            plugin_configs=registry.plugin_configs(),
        )


class _NoJobs:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"this call has no jobs to {name}: give it some, or use a terminal")


class Terminal:
    """Driver of the terminal chat, with a whole Rushes in this process."""

    def __init__(self, app: App, folder: Path, messages: asyncio.Queue[MessageEvent]) -> None:
        self.app = app
        self._folder = folder
        self._messages = messages
        self._told: set[str] = set()
        """Jobs whose end without a file was raised; there are several messages of one."""

    async def say(self, line: str, *, person: str = "ada", locale: str = "en") -> Card:
        """Return the answer to a line such as `/generate a red ball`."""
        return await execute(line, self._call(person, locale))

    async def press(self, button: str, *, person: str = "ada", locale: str = "en") -> Card | Form:
        """Return the answer to a button.

        Args:
            button: `Button.id` of one on a card.
            person: Who presses it.
            locale: Their language.
        """
        return await press(button, self._call(person, locale))

    async def next_file(self, seconds: float = 120) -> Path:
        """Wait for the next clip or image, and return its file.

        Raises:
            AssertionError: A job ended without one, what it says instead; once for each job.
            TimeoutError: None came in time.
        """
        async with asyncio.timeout(seconds):
            while True:
                event = await self._messages.get()
                if event.card.attachment is not None:
                    return event.card.attachment.path
                failed = event.job.ended and event.job.state is not JobState.DONE
                if failed and event.job.id not in self._told:
                    self._told.add(event.job.id)
                    raise AssertionError(f"the job is {event.job.state}: {plain(event.card)}")

    def _call(self, person: str, locale: str) -> Call:
        services, platform = self.app.services, self.app.platforms[NAME]
        assert isinstance(platform, TerminalPlatform)  # noqa: S101 - `open_terminal` looked
        return services.call(
            caller=Caller(id=person, name=person, admin=True, operator=True),
            channel=Channel(
                platform=NAME,
                tenant=tenant_of("test"),
                address=asdict(Address(guild="test", directory=str(self._folder))),
                id="test",
                private=False,
                admitted=True,
                pictures=NAME,
                local_folder=str(self._folder),
            ),
            locale=locale,
            key=None,
            check_picture=platform.images.make_check(services.media),
        )


@contextlib.asynccontextmanager
async def open_terminal(
    folder: Path, *, models: tuple[str, ...] = ("testcard",), config: Mapping[str, Any] = _NOTHING
) -> AsyncIterator[Terminal]:
    """Yield a running Rushes with the plugins that are installed here.

    Args:
        folder: For its data; paths of pictures are meant from there.
        models: The installed ones; `testcard` draws a test picture at once.
        config: More sections, such as `{"plugins": {"mine": {…}}}`.
    """
    made = _config(folder, {"models": {"installed": list(models)}, **config})
    async with open_app(made) as app:
        platform = app.platforms[NAME]
        if not isinstance(platform, TerminalPlatform):
            raise TypeError(f"a plugin has taken the name {NAME}")
        with platform.listen() as messages:
            yield Terminal(app, folder, messages)


def _config(folder: Path, more: Mapping[str, Any]) -> Config:
    """Return a config with the test card, as quick as it gets."""
    models = {
        "installed": ["testcard"],
        "testcard": {"step_seconds": 0.01},
        **more.get("models", {}),
    }
    bot = {"data_dir": folder / "data", "platforms": [NAME], **more.get("bot", {})}
    return load_config(None, overrides={**more, "bot": bot, "models": models})
