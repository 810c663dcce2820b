"""What `[safety]` makes of the safety checks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from bot.config.sections import Config
from commands.policy.words_store import GuildWordStore
from inference.clock import Clock
from inference.domain.errors import UserError
from inference.safety.base import PictureModerator, TextModerator
from inference.safety.guard import Guard
from inference.safety.pictures import ClassifierModerator, find_model
from inference.safety.words import WordModerator
from inference.store.sqlite.database import Database
from inference.workers.media import MediaProcess


@contextlib.asynccontextmanager
async def moderation(
    config: Config, media: MediaProcess, clock: Clock
) -> AsyncIterator[Callable[[Database], Guard]]:
    """Yield what makes the judge of all words and pictures over the open database.

    Raises:
        UserError: `config.safety_*`: a check is switched on that cannot work.
    """
    hosted_texts: list[TextModerator] = []
    hosted_pictures: list[PictureModerator] = []
    pictures: list[PictureModerator] = []
    if config.safety.classifier:
        pictures.append(ClassifierModerator(model=_model(), rater=media))
    async with contextlib.AsyncExitStack() as stack:
        if config.safety.openai:
            # Not for everybody: the client library takes 50 MB.
            from inference.safety.openai import OpenAIModerator  # noqa: PLC0415

            key, base_url = _account(config)
            openai = await stack.enter_async_context(
                OpenAIModerator(api_key=key, base_url=base_url)
            )
            hosted_texts.append(openai)
            hosted_pictures.append(openai)

        def guard(database: Database) -> Guard:
            words = WordModerator(house=config.safety.words, guilds=GuildWordStore(database, clock))
            return Guard(
                texts=[words],
                pictures=pictures,
                unwanted=[words.own_lists],
                hosted_texts=hosted_texts,
                hosted_pictures=hosted_pictures,
                extractor=media,
                fail_closed=config.safety.fail_closed,
            )

        yield guard


def check_moderation(config: Config) -> None:
    """Check that every check that is switched on can work.

    Raises:
        UserError: `config.safety_*`.
    """
    if config.safety.classifier:
        _model()
    if config.safety.openai:
        _account(config)


def _model() -> Path:
    model = find_model()
    if model is None:
        raise UserError("config.safety_no_classifier")
    return model


def _account(config: Config) -> tuple[str, str | None]:
    """Return key and server: those of the safety section, else the assistant's."""
    section = config.safety if config.safety.api_key else config.assistant
    if section.api_key is None:
        raise UserError("config.safety_no_key")
    return section.api_key.get_secret_value(), config.safety.base_url or section.base_url
