"""Configuration: every section and key of config.toml, validated.

Values come from the file, then the environment, then the customary token variables; see
`bot.config.sources`. Every key is also `RUSHES_<SECTION>__<KEY>`, for example
`RUSHES_QUEUE__WAITING_PER_GUILD=10`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.config.values import (
    Days,
    DeviceName,
    DiscordToken,
    GatewayUrl,
    HostPattern,
    Language,
    ListenAddress,
    Network,
    Operator,
    Port,
    Positive,
    PositiveSeconds,
    Seconds,
    SlackPrefix,
    Tenant,
    ThreadMinutes,
    Url,
    Weight,
    collection,
    lenient,
    token,
)
from commands.policy.operator_rules import DirectMessages
from inference.domain.errors import UserError
from inference.domain.watermark import Corner
from inference.log_setup import LogStyle

MOST_DEVICES = 64
"""Most devices that can be named; each has a separate process."""


class Section(BaseModel):
    """A part of the config; unknown keys are errors, because a typo must not be silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_leniently(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept the spellings that people use for a value: see `lenient`."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        return lenient(value, annotation) if isinstance(value, str) else value


class BotSection(Section):
    """The process itself."""

    data_dir: Path = Path("data")
    language: Language = "en"
    platforms: list[str] = ["discord", "slack"]
    """`discord`, `slack`, `terminal`, the name of a plugin, or `module:factory`."""
    operators: frozenset[Operator] = frozenset()
    """Who may stop the GPU for everybody: `discord:<user>`, `slack:<team>:<user>`."""
    direct_messages: DirectMessages = DirectMessages.OPEN
    """Whether anything is made in direct messages with the bot."""
    direct_message_seconds: Positive = 600
    """GPU seconds a day of one person in Discord's direct messages, which belong to no server."""
    allowed_tenants: frozenset[Tenant] = frozenset()
    """The only servers and workspaces that are served, if any; see `policy.operator_rules`."""

    @field_validator("platforms")
    @classmethod
    def _plain_names(cls, names: list[str]) -> list[str]:
        plain = (name.strip() for name in names)
        return [name if ":" in name else name.lower() for name in plain]


class DiscordSection(Section):
    """Discord; off without a token."""

    token: DiscordToken = None
    guild_ids: list[Annotated[int, Field(gt=0)]] = []
    api_base_url: Url | None = None
    gateway_url: GatewayUrl | None = None
    cdn_hosts: list[HostPattern] = [
        "cdn.discordapp.com",
        "media.discordapp.net",
        "images-ext-*.discordapp.net",
    ]
    shards: Positive | None = None
    thread_minutes: ThreadMinutes = 10080


class SlackSection(Section):
    """Slack; off without a token."""

    mode: Literal["socket", "http"] = "socket"
    bot_token: Annotated[SecretStr | None, token("xoxb-", ("xapp-", "xoxp-"))] = None
    app_token: Annotated[SecretStr | None, token("xapp-", ("xoxb-", "xoxp-"))] = None
    signing_secret: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    api_base_url: Url | None = None
    host: ListenAddress = "127.0.0.1"
    port: Port = 3000
    command_prefix: SlackPrefix = ""
    """Stands before the name of every command, where another app has one of them."""

    def missing(self) -> list[tuple[str, str]]:
        """Return the keys that are needed and not there, each with the mode that needs it."""
        missing = []
        if self.mode == "socket" and self.app_token is None:
            missing.append(("app_token", "socket"))
        if self.mode == "http" and self.signing_secret is None:
            missing.append(("signing_secret", "http"))
        if self.client_id is not None and self.client_secret is None:
            missing.append(("client_secret", "OAuth"))
        return missing


class TablesSection(Section):
    """A section with tables of names that the operator or a plugin chooses."""

    model_config = ConfigDict(extra="allow", frozen=True)

    SECTION: ClassVar[str]

    def options(self, name: str) -> dict[str, Any]:
        """Return the table `[<section>.<name>]`.

        Raises:
            UserError: `config.not_table`.
        """
        table = (self.model_extra or {}).get(name, {})
        if isinstance(table, str) and table.lstrip().startswith("{"):
            table = _value(table)  # a whole table, as an environment may hold it
        if not isinstance(table, dict):
            raise UserError("config.not_table", where=self.SECTION, key=f"{self.SECTION}.{name}")
        return {key: _value(value) for key, value in table.items()}

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return all tables; see `options`."""
        return {name: self.options(name) for name in self.model_extra or {}}


class ModelsSection(TablesSection):
    """Models; `[models.<name>]` tables go to the engine of that name."""

    SECTION = "models"

    default: str | None = None
    """The first installed one, if not said."""
    installed: list[str] = ["nano"]
    directory: Path | None = None

    @field_validator("installed")
    @classmethod
    def _check_installed(cls, names: list[str]) -> list[str]:
        if not names:
            raise ValueError("name at least one")
        return names

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the tables of all models that are installed or have one; see `options`."""
        return {name: self.options(name) for name in (*self.installed, *(self.model_extra or {}))}


def _value(value: Any) -> Any:
    """Read numbers and switches that came from the environment, where all is text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class PluginsSection(TablesSection):
    """Plugins; `[plugins.<name>]` tables go to the plugin of that name."""

    SECTION = "plugins"

    disabled: list[str] = []
    """Distributions that are installed and not used, as `rushes plugins` names them."""


class QueueSection(Section):
    """The queue."""

    waiting_per_guild: Positive = 5
    waiting_per_user: Positive = 4
    waiting_total: Positive = 200
    cooldown_seconds: Seconds = 0.0
    job_seconds: PositiveSeconds = 1800.0
    """Longest estimated GPU time of one job."""
    weights: dict[Tenant, Weight] = {}


class WorkersSection(Section):
    """Where models run: one job at a time on each device."""

    executor: Literal["local"] = "local"
    """Accepted and ignored."""
    devices: Annotated[list[DeviceName], Field(max_length=MOST_DEVICES)] = ["auto"]
    """`auto` alone: the first GPU that there is, else the CPU."""

    @field_validator("devices")
    @classmethod
    def _check_devices(cls, devices: list[str]) -> list[str]:
        if not devices:
            raise ValueError("name at least one, or write auto")
        if "auto" in devices and len(devices) > 1:
            raise ValueError("auto stands alone; name each device otherwise")
        return devices


class AssistantSection(Section):
    """The prompt assistant; off without a model or a plugin."""

    engine: Annotated[str, Field(min_length=1)] = "openai"
    """`openai` for every server that speaks its protocol, or the name of a plugin."""
    base_url: Url | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    timeout_seconds: PositiveSeconds = 20.0
    calls_per_hour: Positive = 60
    """Of one person."""

    @property
    def on(self) -> bool:
        """Whether the assistant is configured."""
        return self.model is not None or self.engine != "openai"


class SafetySection(Section):
    """Moderation; the word lists that ship are always on."""

    words: list[Annotated[str, Field(min_length=1, max_length=64)]] = []
    openai: bool = False
    api_key: SecretStr | None = None
    """The assistant's key and server, if not said."""
    base_url: Url | None = None
    classifier: bool = False
    moderators: list[str] = []
    """Plugins that are asked as well."""
    fail_closed: bool = False

    @property
    def sees_pictures(self) -> bool:
        """Whether pictures are moderated before they are shown."""
        return self.openai or self.classifier or bool(self.moderators)


class WatermarkSection(Section):
    """The watermark on every clip."""

    text: Annotated[str, Field(max_length=40)] = "Rushes"
    logo: Path | None = None
    corner: Corner = Corner.BOTTOM_RIGHT
    opacity: Annotated[float, Field(ge=0.2, le=1)] = 0.7


class HttpSection(Section):
    """The API over HTTP; on where `[bot] platforms` names `http`."""

    host: ListenAddress = "127.0.0.1"
    port: Port = 8080
    public_url: Url | None = None
    """Where others reach it, such as the address of a proxy with TLS."""
    proxies: list[Network] = []
    """Whose `X-Forwarded-For`, `-Proto` and `-Host` are believed."""
    webhook_hosts: list[HostPattern] = []
    """The only hosts that webhooks may go to, over HTTPS."""
    webhook_networks: list[Network] = []
    """Private networks in which these hosts may be."""
    drain_seconds: Annotated[float, Field(ge=0, le=30)] = 5.0
    """After SIGTERM, how long the port answers at least: `/readyz` and what makes with 503."""


class RetentionSection(Section):
    """How long files are kept."""

    files_days: Days = 30.0

    @property
    def files_seconds(self) -> float:
        """The same in seconds."""
        return self.files_days * 86_400


class BackupSection(Section):
    """Daily backups of the database."""

    keep: Annotated[int, Field(ge=0, le=10_000)] = 14
    """How many; 0 makes none, and deletes none."""
    directory: Path | None = None
    """`backups` in the data directory, if not said."""


class LogSection(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"

    def style(self) -> LogStyle:
        """Return the section as the log style of processes."""
        return LogStyle(level=self.level, format=self.format)


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
    workers: WorkersSection = WorkersSection()
    assistant: AssistantSection = AssistantSection()
    safety: SafetySection = SafetySection()
    watermark: WatermarkSection = WatermarkSection()
    http: HttpSection = HttpSection()
    retention: RetentionSection = RetentionSection()
    backup: BackupSection = BackupSection()
    log: LogSection = LogSection()
    plugins: PluginsSection = PluginsSection()

    _locate: Callable[[tuple[str, ...]], str] = PrivateAttr(default=".".join)

    def where(self, *names: str) -> str:
        """Return where to correct a value: `config.toml:12`, a variable, or its name."""
        return self._locate(names)

    def with_locator(self, locate: Callable[[tuple[str, ...]], str]) -> Self:
        """Return the config with `locate` as the source of its values' locations."""
        self._locate = locate
        return self

    @field_validator("*", mode="before")
    @classmethod
    def _read_section(cls, value: Any) -> Any:
        """Take a whole section as JSON, as an environment may hold it."""
        is_json = isinstance(value, str) and value.lstrip().startswith("{")
        return collection(value, dict) if is_json else value
