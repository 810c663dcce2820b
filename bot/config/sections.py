"""Configuration: every section and key of config.toml, validated.

Values come from the file, then the environment, then the customary token variables; see
`bot.config.sources`. Every key is also `RUSHES_<SECTION>__<KEY>`, for example
`RUSHES_QUEUE__WAITING_PER_GUILD=10`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from commands.policy.house import DirectMessages
from inference.domain.errors import UserError
from inference.domain.watermark import Corner


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise ValueError("it must be a whole address such as https://example.com/v1")
    return value


Url = Annotated[str, AfterValidator(_url)]


def _number(value: object) -> object:
    """Take numbers out of environment variables, where a choice of numbers does not."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


ThreadMinutes = Annotated[Literal[60, 1440, 4320, 10080], BeforeValidator(_number)]
"""After which Discord may hide a thread in which nobody writes: what it offers."""

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of the config; unknown keys are errors, because a typo must not be silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_leniently(cls, value: Any, info: ValidationInfo) -> Any:
        """Take what people write for a key of this kind: see `lenient`."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        return lenient(value, annotation) if isinstance(value, str) else value


def lenient(value: str, annotation: Any) -> Any:
    """Return what a text stands for, where people and environments write it differently.

    `INFO` is `info`, `~/clips` is in the home directory, `discord, slack` is a list, and a token
    may come with the quotes, the line break or the "Bot " that it was copied with.

    Raises:
        ValueError: It cannot stand for anything of this kind.
    """
    kinds = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    for kind in kinds:
        if kind is SecretStr:
            return _clean_secret(value) or (None if NoneType in kinds else "")
        if kind is Path:
            return _expand(value)
        if get_origin(kind) in {list, frozenset, dict}:
            return _collection(value, get_origin(kind))
        if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, StrEnum)):
            return value.strip().lower()
    return value


def _clean_secret(value: str) -> str:
    """Return a token without what was copied along with it.

    Raises:
        ValueError: Something in the middle is no part of any token.
    """
    cleaned = value.strip().strip("\ufeff\u200b").strip()
    if len(cleaned) > 1 and cleaned[0] == cleaned[-1] and cleaned[0] in "'\"`":
        cleaned = cleaned[1:-1].strip()
    for prefix in ("Bot ", "Bearer "):
        cleaned = cleaned.removeprefix(prefix).strip()
    if not (cleaned.isascii() and cleaned.isprintable()) or " " in cleaned:
        raise ValueError("it has a space, a line break or a special character inside: copy it anew")
    return cleaned


def _expand(value: str) -> Path:
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError:
        raise ValueError("there is no home directory here: write the path without ~") from None


def _collection(value: str, kind: type) -> Any:
    """Return the list or table that a text describes: JSON, or words between commas."""
    if value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"it is not valid JSON: {error}") from error
    words = [word.strip() for word in value.split(",") if word.strip()]
    if kind is not dict:
        return words
    pairs = [word.partition("=") for word in words]
    return {name.strip(): number.strip() for name, _, number in pairs}


class BotSection(Section):
    """The process itself."""

    data_dir: Path = Path("data")
    language: str = "en"
    platforms: list[str] = ["discord", "slack"]
    """`discord`, `slack`, `terminal`, or `module:factory` for one of your own."""
    operators: frozenset[str] = frozenset()
    """Who may stop the GPU for everybody: `discord:<user>`, `slack:<team>:<user>`."""
    direct_messages: DirectMessages = DirectMessages.OPEN
    """Whether anything is made in direct messages with the bot."""
    direct_message_seconds: Positive = 600
    """GPU seconds a day of one person in Discord's direct messages, which belong to no server."""
    allowed_tenants: frozenset[str] = frozenset()
    """The only servers and workspaces that are served, if any are named; see `policy.house`."""


class DiscordSection(Section):
    """Discord; off without a token."""

    token: SecretStr | None = None
    guild_ids: list[Annotated[int, Field(gt=0)]] = []
    api_base_url: Url | None = None
    gateway_url: Url | None = None
    cdn_hosts: list[str] = [
        "cdn.discordapp.com",
        "media.discordapp.net",
        "images-ext-*.discordapp.net",
    ]
    shards: Positive | None = None
    thread_minutes: ThreadMinutes = 10080


class SlackSection(Section):
    """Slack; off without a token."""

    mode: Literal["socket", "http"] = "socket"
    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    api_base_url: Url | None = None
    host: str = "127.0.0.1"
    port: Port = 3000

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        for key, mine, others in (
            ("bot_token", "xoxb-", "xapp-"),
            ("app_token", "xapp-", ("xoxb-", "xoxp-")),
        ):
            token: SecretStr | None = getattr(self, key)
            if token is not None and token.get_secret_value().startswith(others):
                raise ValueError(f"{key} must be the token that begins with {mine}")
        return self


class ModelsSection(Section):
    """Models; `[models.<name>]` tables go to the engine of that name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    default: str | None = None
    """The first installed one, if not said."""
    installed: list[str] = ["nano"]
    directory: Path | None = None

    def options(self, name: str) -> dict[str, Any]:
        """Return the table `[models.<name>]`."""
        table = (self.model_extra or {}).get(name, {})
        if not isinstance(table, dict):
            raise UserError(
                "config.wrong_type",
                where="models",
                key=f"models.{name}",
                problem="expected a table",
            )
        return {key: _value(value) for key, value in table.items()}


def _value(value: Any) -> Any:
    """Read numbers and switches that came from the environment, where all is text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class QueueSection(Section):
    """The waiting line."""

    waiting_per_guild: Positive = 5
    waiting_per_user: Positive = 3
    waiting_total: Positive = 200
    cooldown_seconds: Seconds = 0.0
    job_seconds: Annotated[float, Field(gt=0)] = 1800.0
    """Longest estimated GPU time of one job."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}


class AssistantSection(Section):
    """The prompt assistant; off without a model."""

    base_url: Url | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    calls_per_hour: Annotated[int, Field(ge=1)] = 60
    """Of one person."""


class SafetySection(Section):
    """What may be asked for and shown; the lists of words that ship are always on."""

    words: list[Annotated[str, Field(min_length=1, max_length=64)]] = []
    openai: bool = False
    api_key: SecretStr | None = None
    """The assistant's key and server, if not said."""
    base_url: Url | None = None
    classifier: bool = False
    fail_closed: bool = False

    @property
    def sees_pictures(self) -> bool:
        """Whether somebody looks at pictures before they are shown."""
        return self.openai or self.classifier


class WatermarkSection(Section):
    """The mark on every clip."""

    text: Annotated[str, Field(max_length=40)] = "Rushes"
    logo: Path | None = None
    corner: Corner = Corner.BOTTOM_RIGHT
    opacity: Annotated[float, Field(ge=0.2, le=1)] = 0.7


class HttpSection(Section):
    """Health, metrics and REST over TCP; off without a token."""

    host: str = "127.0.0.1"
    port: Port = 8080
    token: SecretStr | None = None


class RetentionSection(Section):
    """How long files are kept."""

    files_days: Annotated[float, Field(gt=0)] = 30.0


class LogSection(Section):
    """What operators read."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Config(BaseSettings):
    """The whole configuration, validated."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="RUSHES_",
        env_nested_delimiter="__",
        enable_decoding=False,  # `lenient` reads more than JSON
    )

    bot: BotSection = BotSection()
    discord: DiscordSection = DiscordSection()
    slack: SlackSection = SlackSection()
    models: ModelsSection = ModelsSection()
    queue: QueueSection = QueueSection()
    assistant: AssistantSection = AssistantSection()
    safety: SafetySection = SafetySection()
    watermark: WatermarkSection = WatermarkSection()
    http: HttpSection = HttpSection()
    retention: RetentionSection = RetentionSection()
    log: LogSection = LogSection()

    _locate: Callable[[tuple[str, ...]], str] = PrivateAttr(default=".".join)

    def where(self, *names: str) -> str:
        """Return what to open to mend a value: `config.toml:12`, a variable, or its name."""
        return self._locate(names)

    def located(self, locate: Callable[[tuple[str, ...]], str]) -> Self:
        """Return the config, which from now on says by `locate` where its values come from."""
        self._locate = locate
        return self

    @field_validator("*", mode="before")
    @classmethod
    def _read_section(cls, value: Any) -> Any:
        """Take a whole section as JSON, as an environment may hold it."""
        is_json = isinstance(value, str) and value.lstrip().startswith("{")
        return _collection(value, dict) if is_json else value
