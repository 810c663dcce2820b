"""The safety checks, made from the section `[safety]` of the config."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bot.config.sections import Config
from commands.policy.words_store import GuildWordStore
from inference.clock import Clock
from inference.domain.errors import UserError
from inference.safety.base import Moderators
from inference.safety.guard import ModerationGuard
from inference.safety.pictures import ClassifierModerator, find_model
from inference.safety.words import WordModerator
from inference.store.sqlite.database import Database
from inference.workers.media.process import MediaProcess

ModeratorFactory = Callable[[Config, MediaProcess], AbstractAsyncContextManager[Moderators]]


@contextlib.asynccontextmanager
async def moderation(
    config: Config, media: MediaProcess, clock: Clock, known: Mapping[str, ModeratorFactory]
) -> AsyncIterator[Callable[[Database], ModerationGuard]]:
    """Yield the factory of the moderation guard, which needs the open database.

    Raises:
        UserError: `config.safety_*`: a check is switched on that cannot work.
    """
    check_moderation(config, known)
    async with contextlib.AsyncExitStack() as stack:
        asked = [
            await stack.enter_async_context(known[name](config, media)) for name in _names(config)
        ]

        def guard(database: Database) -> ModerationGuard:
            words = WordModerator(house=config.safety.words, guilds=GuildWordStore(database, clock))
            return ModerationGuard(
                texts=[words, *(one for each in asked for one in each.texts)],
                pictures=[one for each in asked for one in each.pictures],
                unwanted=[words.own_lists],
                hosted_texts=[one for each in asked for one in each.hosted_texts],
                hosted_pictures=[one for each in asked for one in each.hosted_pictures],
                extractor=media,
                fail_closed=config.safety.fail_closed,
            )

        yield guard


def check_moderation(config: Config, known: Mapping[str, ModeratorFactory]) -> None:
    """Check that every check that is switched on can work.

    Raises:
        UserError: `config.safety_*`.
    """
    for name in _names(config):
        if name not in known:
            where = config.where("safety", "moderators")
            raise UserError("config.safety_unknown", where=where, name=name, known=list(known))
    if config.safety.classifier:
        _model(config)
    if config.safety.openai:
        _account(config)


def _names(config: Config) -> Iterator[str]:
    """Yield the names of the moderators that are switched on, those on this machine first."""
    if config.safety.classifier:
        yield "classifier"
    if config.safety.openai:
        yield "openai"
    yield from config.safety.moderators


@contextlib.asynccontextmanager
async def _classifier(config: Config, media: MediaProcess) -> AsyncIterator[Moderators]:
    yield Moderators(pictures=(ClassifierModerator(model=_model(config), rater=media),))


@contextlib.asynccontextmanager
async def _openai(config: Config, _: MediaProcess) -> AsyncIterator[Moderators]:
    # Not for everybody: the client library takes 50 MB.
    from inference.safety.openai import OpenAIModerator  # noqa: PLC0415

    key, base_url = _account(config)
    async with OpenAIModerator(api_key=key, base_url=base_url) as openai:
        yield Moderators(hosted_texts=(openai,), hosted_pictures=(openai,))


BUILT_IN: Mapping[str, ModeratorFactory] = {"classifier": _classifier, "openai": _openai}


def _model(config: Config) -> Path:
    model = find_model()
    if model is None:
        where = config.where("safety", "classifier")
        raise UserError("config.safety_no_classifier", where=where)
    return model


def _account(config: Config) -> tuple[str, str | None]:
    """Return key and server: those of the safety section, else the assistant's."""
    section = config.safety if config.safety.api_key else config.assistant
    if section.api_key is None:
        raise UserError("config.safety_no_key", where=config.where("safety", "openai"))
    return section.api_key.get_secret_value(), config.safety.base_url or section.base_url
