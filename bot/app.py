"""Composition: one function builds everything from the config, one task group runs it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from bot import factories
from bot.assistant import assistant as open_assistant
from bot.config.sections import Config
from bot.delivery.composer import CardFactory
from bot.delivery.delivery import Delivery
from bot.delivery.erasures import ErasureNotices
from bot.delivery.live_updates import LiveUpdates
from bot.health import Health
from bot.http.access.tokens import TABLES as HTTP_TABLES
from bot.http.address import NAME as HTTP
from bot.moderation import moderation
from bot.platform import Platform, Services
from bot.plugins.tables import migrate, tables
from bot.registry import Registry, make_terminal
from bot.supervision import Supervisor
from bot.terminal.platform import NAME as TERMINAL
from commands.handlers import job_status
from commands.handlers.privacy import expire_copies
from commands.installation import Installation
from commands.jobs import Read
from commands.policy.stores import TABLES, make_policy
from commands.text import batch_cards, cards
from commands.text.card import Card, CardKind
from commands.text.messages import error_text
from inference.clock import Clock, SystemClock
from inference.domain.errors import RushesError, UserError
from inference.domain.job import Job
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.jobs.assembly import Core, open_core, open_data
from inference.plugins.registry import Plugins
from inference.proxies import check_proxies
from inference.tasks import running
from inference.workers.media.process import MediaProcess

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
    plugins = factories.load_plugins(config)
    await _migrate(plugins, config.bot.data_dir)
    registry = Registry.load(plugins)
    platforms = {platform.name: platform for platform in _platforms(config, registry)}
    health = Health()

    def report(key: str, problem: RushesError | None) -> None:
        if problem is None:
            health.clear(key)
        else:
            health.report(key, error_text(problem, config.bot.language))

    models = factories.models(config, plugins)
    pool = factories.pool(config, models, names=config.models.installed, report=report)
    installation = factories.make_installation(config, models, lambda: pool.device, pool.check_gpu)
    async with contextlib.AsyncExitStack() as stack:
        media = await stack.enter_async_context(MediaProcess())
        assistant = await stack.enter_async_context(open_assistant(config, registry.assistants))
        guard = await stack.enter_async_context(
            moderation(config, media, clock, registry.moderators)
        )
        core = await stack.enter_async_context(
            open_core(
                data_directory=config.bot.data_dir,
                packages=(TABLES, HTTP_TABLES),
                pool=pool,
                cleaner=media,
                sources={name: platform.images for name, platform in platforms.items()},
                capabilities=models.capabilities,
                limits=_limits(config),
                weights=config.queue.weights,
                watermark=factories.watermark(config),
                files_seconds=config.retention.files_seconds,
                assistant=assistant,
                assistant_calls_per_hour=config.assistant.calls_per_hour,
                guard=guard,
                clock=clock,
            )
        )
        commands = registry.commands(installation.options)
        for key, problem in registry.plugins.problems.items():
            report(key, problem)
        for name, problem in models.problems.items():
            report(f"model.{name}", factories.locate_problem(config, name, problem))
        delivery = Delivery(
            outbox=core.outbox,
            store=core.store,
            artifacts=core.artifacts,
            events=core.events,
            platforms=platforms,
            card_factory=make_card_factory(
                core.jobs, installation, config.bot.language, clock, without={HTTP}
            ),
            compressor=media,
            previews=not config.safety.sees_pictures,
            clock=clock,
        )
        live = LiveUpdates(delivery=delivery, jobs=core.jobs, events=core.events, clock=clock)
        services = Services(
            jobs=core.jobs,
            installation=installation,
            policy=make_policy(
                core.database, clock, installation.options, factories.operator_rules(config)
            ),
            commands=commands,
            language=config.bot.language,
            database=core.database,
            operators=config.bot.operators,
            health=health,
            events=core.events,
            media=media,
            plugin_configs=registry.plugin_configs(),
        )
        tasks = await stack.enter_async_context(running())
        tasks.start(delivery.run(), name="delivery")
        tasks.start(live.run(), name="live")
        tasks.start(expire_copies(), name="exports")
        erasures = ErasureNotices(
            policy=services.policy, jobs=core.jobs, platforms=platforms, clock=clock
        )
        tasks.start(erasures.run(), name="erasures")
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


async def _migrate(plugins: Plugins, data_directory: Path) -> None:
    """Bring the tables of plugins up to date, before anything of a plugin is used.

    Nothing is used of a plugin whose tables cannot be migrated, in the workers neither.
    """
    if tables(plugins):
        async with open_data(data_directory) as database:
            await migrate(plugins, database)


def make_card_factory(
    jobs: Read,
    installation: Installation,
    language: str,
    clock: Clock,
    *,
    without: Collection[str] = (),
) -> CardFactory:
    """Return a function that draws the messages of jobs, each in its job's language.

    Args:
        jobs: Knows where they stand.
        installation: Knows their models.
        language: Of jobs that go with none.
        clock: For what is said of time.
        without: Platforms that show no cards: those of their jobs stay empty.
    """

    def paint(job: Job, kind: ActKind, file: Path | None, together: Sequence[Job] = (), /) -> Card:
        locale = job.output.language or language
        if kind is ActKind.NOTICE:
            return cards.failure(job, locale)
        if kind is ActKind.SHEET and file is not None:
            return batch_cards.sheet(together, file, locale)
        if file is not None:
            capabilities = job_status.capabilities(job, installation)
            return cards.clip(job, file, locale, capabilities)
        if job.platform in without:
            return Card(kind=CardKind.INFO)
        return job_status.card(together or (job,), jobs, installation, clock, locale)

    return paint


def _platforms(config: Config, registry: Registry) -> list[Platform]:
    """Make the platforms that are named and have what they need, and the terminal's always.

    The terminal's costs nothing, and the command line talks through it.
    """
    made = [
        platform for name in config.bot.platforms if (platform := registry.platform(name, config))
    ]
    if not made:
        # A plugin that failed says more than that there is no token.
        raise next(iter(registry.plugins.problems.values()), UserError("config.no_token"))
    if not any(platform.name == TERMINAL for platform in made):
        made.append(make_terminal(config))
    return made


def _limits(config: Config) -> QueueLimits:
    return QueueLimits(
        per_tenant=config.queue.waiting_per_guild,
        per_requester=config.queue.waiting_per_user,
        total=config.queue.waiting_total,
        cooldown_seconds=config.queue.cooldown_seconds,
        job_seconds=config.queue.job_seconds,
    )
