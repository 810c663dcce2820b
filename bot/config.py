"""Configuration: config.toml, then environment, then the customary token variables.

Every key is also `RUSHES_<SECTION>__<KEY>`, for example `RUSHES_QUEUE__WAITING_PER_GUILD=10`.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from inference.errors import UserError
from inference.media.watermark import Corner

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of the config; unknown keys are errors, because a typo must not be silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BotSection(Section):
    """The process itself."""

    data_dir: Path = Path("data")
    language: str = "en"
    platforms: list[str] = ["discord", "slack"]
    """`discord`, `slack`, `terminal`, or `module:factory` for one of your own."""
    operators: frozenset[str] = frozenset()
    """Who may stop the GPU for everybody: `discord:<user>`, `slack:<team>:<user>`."""


class DiscordSection(Section):
    """Discord; off without a token."""

    token: SecretStr | None = None
    guild_ids: list[int] = []
    api_base_url: str | None = None
    gateway_url: str | None = None
    cdn_hosts: list[str] = ["cdn.discordapp.com", "media.discordapp.net"]
    shards: Positive | None = None


class SlackSection(Section):
    """Slack; off without a token."""

    mode: Literal["socket", "http"] = "socket"
    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    api_base_url: str | None = None
    host: str = "127.0.0.1"
    port: Port = 3000


class ModelsSection(BaseModel):
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
            raise UserError("config.wrong_type", key=f"models.{name}", problem="expected a table")
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
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}


class AssistantSection(Section):
    """The prompt assistant; off without a model."""

    base_url: str | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0


class SafetySection(Section):
    """What may be asked for and shown; the lists of words that ship are always on."""

    words: list[Annotated[str, Field(min_length=1, max_length=64)]] = []
    openai: bool = False
    api_key: SecretStr | None = None
    """The assistant's key and server, if not said."""
    base_url: str | None = None
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
        extra="forbid", frozen=True, env_prefix="RUSHES_", env_nested_delimiter="__"
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


CUSTOMARY = {
    "DISCORD_TOKEN": ("discord", "token"),
    "SLACK_BOT_TOKEN": ("slack", "bot_token"),
    "SLACK_APP_TOKEN": ("slack", "app_token"),
    "SLACK_SIGNING_SECRET": ("slack", "signing_secret"),
    "OPENAI_API_KEY": ("assistant", "api_key"),
}
"""Variables that other tools use too; they fill keys that nothing else sets."""


def load_config(path: Path | None, *, overrides: dict[str, Any] | None = None) -> Config:
    """Read the configuration.

    Args:
        path: The file; None reads `config.toml` here, if there is one.
        overrides: Sections from the command line; they win over environment and file.

    Raises:
        UserError: `config.*`, naming the key and what it may be.
    """
    tables = _read(path)
    for variable, (section, key) in CUSTOMARY.items():
        if value := os.environ.get(variable):
            tables.setdefault(section, {}).setdefault(key, value)

    class Sourced(Config):
        """The config with this file below the environment."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's hook
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, tables))

    try:
        return Sourced(**(overrides or {}))
    except ValidationError as error:
        raise _explain(error) from error
    except SettingsError as error:  # an environment value that should be JSON and is not
        raise UserError("config.environment", problem=str(error)) from error


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        path = Path("config.toml")
        if not path.exists():
            return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = error.strerror or "unreadable"
        raise UserError("config.unreadable", path=str(path), problem=problem) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError("config.syntax", path=str(path), problem=str(error)) from error


def _explain(error: ValidationError) -> UserError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UserError("config.unknown_key", key=key, known=_known(first["loc"][:-1]))
    return UserError("config.wrong_type", key=key, problem=first["msg"].lower())


def _known(path: tuple[int | str, ...]) -> list[str]:
    """Return the legal keys of a section, or the sections."""
    model: type[BaseModel] = Config
    for name in path:
        annotation = model.model_fields[str(name)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)
