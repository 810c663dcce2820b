"""Composition: one function builds everything from the config, one task group runs it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import structlog

from bot import factories
from bot.config.sections import Config
from bot.delivery import CardFactory, Delivery
from bot.health import Health
from bot.live_updates import LiveUpdates
from bot.moderation import moderation
from bot.platform import Platform, Services
from bot.supervision import Supervisor
from bot.terminal.platform import NAME as TERMINAL
from bot.terminal.platform import TerminalPlatform
from commands.context import Jobs
from commands.handlers import job_status
from commands.installation import Installation
from commands.policy.stores import make_policy
from commands.text import cards
from commands.text.card import Card
from commands.text.messages import error_text
from inference.clock import Clock, SystemClock
from inference.domain.errors import RushesError, UserError
from inference.domain.job import Job
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.engines import registry
from inference.jobs.assembly import Core, open_core
from inference.proxies import check_proxies
from inference.tasks import running
from inference.workers.media import MediaProcess

SECONDS_PER_DAY = 86_400.0


_BUILT_IN = {"discord": "bot.discord:make", "slack": "bot.slack:make"}
"""Imported only where they are wanted."""

PLATFORMS = (*_BUILT_IN, TERMINAL)
"""That ship with Rushes."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running Rushes."""

    config: Config
    core: Core
    services: Services
    delivery: Delivery
    platforms: Mapping[str, Platform]
    supervisor: Supervisor


@contextlib.asynccontextmanager
async def open_app(config: Config) -> AsyncIterator[App]:
    """Run everything for the length of the block.

    Raises:
        UserError: The config cannot work (no token, unknown model, a wrong proxy).
        StoreError: Another process owns the data, or the disk is not usable.
    """
    check_proxies()
    clock = SystemClock()
    platforms = {platform.name: platform for platform in _platforms(config)}
    health = Health()

    def report(key: str, problem: RushesError | None) -> None:
        if problem is None:
            health.clear(key)
        else:
            health.report(key, error_text(problem, config.bot.language))

    if config.http.token is not None:
        where = config.where("http", "token")
        report("http.not_served", UserError("config.http_not_served", where=where))
    executor = factories.executor(config, models=config.models.installed, report=report)
    installation = factories.installation(config, lambda: executor.device, executor.check_gpu)
    async with contextlib.AsyncExitStack() as stack:
        media = await stack.enter_async_context(MediaProcess())
        assistant = await stack.enter_async_context(factories.assistant(config))
        guard = await stack.enter_async_context(moderation(config, media, clock))
        core = await stack.enter_async_context(
            open_core(
                data_directory=config.bot.data_dir,
                executor=executor,
                cleaner=media,
                sources={name: platform.images for name, platform in platforms.items()},
                capabilities=registry.capabilities,
                limits=_limits(config),
                weights=config.queue.weights,
                watermark=factories.watermark(config),
                files_seconds=config.retention.files_days * SECONDS_PER_DAY,
                assistant=assistant,
                assistant_calls_per_hour=config.assistant.calls_per_hour,
                guard=guard,
                clock=clock,
            )
        )
        delivery = Delivery(
            outbox=core.outbox,
            store=core.store,
            artifacts=core.artifacts,
            events=core.events,
            platforms=platforms,
            card_factory=make_card_factory(core.jobs, installation, config.bot.language, clock),
            compressor=media,
            previews=not config.safety.sees_pictures,
            clock=clock,
        )
        live = LiveUpdates(delivery=delivery, jobs=core.jobs, events=core.events, clock=clock)
        services = Services(
            jobs=core.jobs,
            installation=installation,
            policy=make_policy(core.database, clock, factories.operator_rules(config)),
            language=config.bot.language,
            database=core.database,
            operators=config.bot.operators,
            health=health,
        )
        tasks = await stack.enter_async_context(running())
        tasks.start(delivery.run(), name="delivery")
        tasks.start(live.run(), name="live")
        supervisor = Supervisor(platforms.values(), services)
        tasks.start(supervisor.watch(), name="connections")
        for platform in platforms.values():
            tasks.start(supervisor.run(platform), name=platform.name)
        yield App(
            config=config,
            core=core,
            services=services,
            delivery=delivery,
            platforms=platforms,
            supervisor=supervisor,
        )


def make_card_factory(
    jobs: Jobs, installation: Installation, language: str, clock: Clock
) -> CardFactory:
    """Return what draws the messages of jobs, in the language that goes with each job.

    Args:
        jobs: Knows where they stand.
        installation: Knows their models.
        language: Of jobs that go with none.
        clock: For what is said of time.
    """

    def paint(job: Job, kind: ActKind, file: Path | None, /) -> Card:
        locale = job.output.language or language
        capabilities = job_status.capabilities(job, installation)
        if kind is ActKind.NOTICE:
            return cards.failure(job, locale)
        if file is not None:
            return cards.clip(job, file, locale, capabilities)
        standing = job_status.standing(job, jobs, clock)
        return cards.status(job, standing, locale, capabilities)

    return paint


def _platforms(config: Config) -> list[Platform]:
    """Make the platforms that are named and have what they need, and the terminal's always.

    The terminal's costs nothing, and the command line talks through it.
    """
    made = [platform for name in config.bot.platforms if (platform := make_platform(name, config))]
    if not made:
        raise UserError("config.no_token")
    if not any(platform.name == TERMINAL for platform in made):
        made.append(_terminal(config))
    return made


def make_platform(name: str, config: Config) -> Platform | None:
    """Make one platform, or nothing where it has no token.

    Raises:
        UserError: `config.platform_unknown` or `config.platform_broken`.
    """
    if name == TERMINAL:
        return _terminal(config)
    module, _, factory = _BUILT_IN.get(name, name).partition(":")
    if not factory:
        where = config.where("bot", "platforms")
        raise UserError("config.platform_unknown", where=where, name=name, known=PLATFORMS)
    try:
        make: Callable[[Config], Platform | None] = getattr(import_module(module), factory)
        return make(config)
    except RushesError:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        where = config.where("bot", "platforms")
        raise UserError(
            "config.platform_broken", where=where, name=name, problem=problem
        ) from error


def _terminal(config: Config) -> TerminalPlatform:
    return TerminalPlatform(config.bot.data_dir / "threads")


def _limits(config: Config) -> QueueLimits:
    return QueueLimits(
        per_tenant=config.queue.waiting_per_guild,
        per_requester=config.queue.waiting_per_user,
        total=config.queue.waiting_total,
        cooldown_seconds=config.queue.cooldown_seconds,
        job_seconds=config.queue.job_seconds,
    )
