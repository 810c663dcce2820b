"""Settings of guilds, channels and people, declared once as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, cast

from commands.option_set import OptionSet
from commands.options import COUNT, FRAME_COUNT, LOOPS, PRESET, PROMPT, RESOLUTION, SEED, STEPS
from commands.schema import Kind, Option, Range, Value
from commands.specs.layers import BUILT_IN, CHANNEL, GUILD, USER, Layer
from inference.domain.output_settings import MAXIMUM_SUFFIX
from inference.domain.watermark import Corner

Stored = Value | list[str] | dict[str, int | None]
"""A value as it is kept: JSON."""

MAXIMUM_NAMES = 25
"""Entries of a list."""

MAXIMUM_NAME = 64
"""Characters of a role, channel or person."""

MAXIMUM_SECONDS = 10_000_000
"""The highest quota of GPU time: over a hundred days, practically unlimited."""

UNLIMITED = "unlimited"


class Scope(StrEnum):
    """Scope of a setting; later ones override earlier ones."""

    GUILD = GUILD
    CHANNEL = CHANNEL
    USER = USER


class ValueShape(StrEnum):
    """Shape of a setting's value."""

    VALUE = "value"
    """One value, as its option has it."""
    NAMES = "names"
    """Roles or channels."""
    AMOUNTS = "amounts"
    """Roles or people, each with GPU seconds a day or without limit."""
    ZONE = "zone"
    """A time zone of the IANA."""


class NameKind(StrEnum):
    """Kind of names that a setting holds, which the chat looks up."""

    ROLES = "roles"
    CHANNELS = "channels"
    PEOPLE = "people"


class ButtonPolicy(StrEnum):
    """Who may make a job again by its buttons; admins always may."""

    REQUESTER = "requester"
    ADMINS = "admins"
    EVERYONE = "everyone"


class PromptVisibility(StrEnum):
    """How much of others' jobs the queue shows."""

    SHOWN = "shown"
    HIDDEN = "hidden"


class FlaggedPolicy(StrEnum):
    """Policy on content that a safety check flags, unless it is always refused."""

    DENY = "deny"
    SPOILER = "spoiler"
    """It is made, and hidden until a viewer reveals it."""
    OFF_IN_AGE_RESTRICTED = "off-in-age-restricted"
    """It is made in age-restricted channels, and denied in others."""


class Language(StrEnum):
    """Language of public messages."""

    AUTO = "auto"
    """The requester's language."""
    ENGLISH = "en"
    KOREAN = "ko"


class ExternalPolicy(StrEnum):
    """What people of another company may do in a channel that both share."""

    DENY = "deny"
    ALLOW = "allow"
    """Make things, within the caps; they still see nothing beyond that channel."""


class Topic(StrEnum):
    """Group of settings in lists."""

    DEFAULTS = "defaults"
    PEOPLE = "people"
    CHECKS = "checks"
    FILES = "files"
    PLACE = "place"
    QUOTA = "quota"
    CAPS = "caps"


_TOPICS = {
    "default": Topic.DEFAULTS,
    "review": Topic.CHECKS,
    "safety": Topic.CHECKS,
    "recipe": Topic.FILES,
    "watermark": Topic.FILES,
    "language": Topic.PLACE,
    "timezone": Topic.PLACE,
    "quota": Topic.QUOTA,
    "cap": Topic.CAPS,
}
"""By the first word of the key; all others are about people."""


_GUILD = frozenset({Scope.GUILD})
_PLACES = frozenset({Scope.GUILD, Scope.CHANNEL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting, declared as data."""

    option: Option
    """Its name is the key; kind, choices, range and length are those of one value."""
    help_key: str
    """Catalog key of the one-line explanation."""
    shape: ValueShape = ValueShape.VALUE
    scopes: frozenset[Scope] = _PLACES
    default: Stored | None = None
    naming: NameKind | None = None
    needs_assistant: bool = False
    """Whether it can be switched on only where there is a prompt assistant."""
    sets: Option | None = None
    """The option of a render whose default or limit it is."""

    @property
    def key(self) -> str:
        """Key of the setting, as people type it."""
        return self.option.name

    @property
    def in_gpu_seconds(self) -> bool:
        """Whether its amounts are GPU time a day."""
        return self.topic is Topic.QUOTA

    @property
    def topic(self) -> Topic:
        """The group in which it is listed."""
        return _TOPICS.get(self.key.partition(".")[0], Topic.PEOPLE)


def _setting(key: str, kind: Kind = Kind.TEXT, **details: Any) -> Setting:
    about = {
        name: details.pop(name) for name in ("choices", "range", "max_length") if name in details
    }
    return Setting(
        option=Option(name=key, kind=kind, **about), help_key=f"setting.{key}", **details
    )


CHANNELS = _setting("channels", shape=ValueShape.NAMES, scopes=_GUILD, naming=NameKind.CHANNELS)
ROLES = _setting("roles", shape=ValueShape.NAMES, naming=NameKind.ROLES)
BUTTONS = _setting(
    "buttons", Kind.CHOICE, choices=tuple(ButtonPolicy), default=ButtonPolicy.EVERYONE.value
)
QUEUE_PROMPTS = _setting(
    "queue.prompts",
    Kind.CHOICE,
    choices=tuple(PromptVisibility),
    scopes=_GUILD,
    default=PromptVisibility.SHOWN.value,
)
REVIEW = _setting("review", Kind.FLAG, default=False, scopes=frozenset(Scope), needs_assistant=True)
SAFETY = _setting(
    "safety", Kind.CHOICE, choices=tuple(FlaggedPolicy), default=FlaggedPolicy.DENY.value
)
RECIPE_PROMPT = _setting("recipe.prompt", Kind.FLAG, default=True)
WATERMARK_CORNER = _setting("watermark.corner", Kind.CHOICE, choices=tuple(Corner))
WATERMARK_IMAGES = _setting("watermark.images", Kind.FLAG, default=True)
WATERMARK_SUFFIX = _setting("watermark.suffix", max_length=MAXIMUM_SUFFIX)
EXTERNAL = _setting(
    "external", Kind.CHOICE, choices=tuple(ExternalPolicy), default=ExternalPolicy.DENY.value
)
LANGUAGE = _setting("language", Kind.CHOICE, choices=tuple(Language), default=Language.AUTO.value)
TIMEZONE = _setting("timezone", shape=ValueShape.ZONE, scopes=_GUILD, default="UTC")

_SECONDS = Range(lowest=0, highest=MAXIMUM_SECONDS)
QUOTA_GUILD = _setting("quota.guild", Kind.INTEGER, range=_SECONDS, scopes=_GUILD)
QUOTA_USER = _setting("quota.user", Kind.INTEGER, range=_SECONDS, scopes=_GUILD)
_amounts_of = partial(
    _setting, kind=Kind.INTEGER, range=_SECONDS, shape=ValueShape.AMOUNTS, scopes=_GUILD
)
QUOTA_ROLES = _amounts_of("quota.roles", naming=NameKind.ROLES)
QUOTA_PEOPLE = _amounts_of("quota.people", naming=NameKind.PEOPLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A cap: the highest value of one option, and the roles that are exempt."""

    option: Option
    limit: Setting
    exempt: Setting

    def rank(self, value: Any) -> int:
        """Return the rank of a value among the legal ones."""
        if self.option.kind is Kind.CHOICE:
            return [str(choice) for choice in self.option.choices].index(str(value))
        return int(value)


def _cap(option: Option) -> Cap:
    key = f"cap.{option.name}"
    return Cap(
        option=option,
        limit=Setting(
            option=replace(option, name=key, flag=None, default=None),
            help_key=f"setting.{key}",
            sets=option,
        ),
        exempt=Setting(
            option=Option(name=f"{key}.except", kind=Kind.TEXT),
            help_key="setting.cap.except",
            shape=ValueShape.NAMES,
            naming=NameKind.ROLES,
        ),
    )


CAPS = tuple(_cap(option) for option in (RESOLUTION, FRAME_COUNT, STEPS, LOOPS))

OF_ROLES = (ROLES, QUOTA_ROLES, *(cap.exempt for cap in CAPS))
"""Settings that name roles: what a role may do is all that these say."""

_DEFAULT = "default."

_COMMON = (
    CHANNELS,
    ROLES,
    BUTTONS,
    QUEUE_PROMPTS,
    REVIEW,
    SAFETY,
    RECIPE_PROMPT,
    WATERMARK_CORNER,
    WATERMARK_IMAGES,
    WATERMARK_SUFFIX,
    EXTERNAL,
    LANGUAGE,
    TIMEZONE,
    QUOTA_GUILD,
    QUOTA_USER,
    QUOTA_ROLES,
    QUOTA_PEOPLE,
    *(setting for cap in CAPS for setting in (cap.limit, cap.exempt)),
)


class SettingSet:
    """All settings of an installation: the common ones, and a default for each option."""

    def __init__(self, options: OptionSet) -> None:
        self.options = options
        self.defaults: Mapping[str, Setting] = {
            option.name: _default(option)
            for option in options.by_name.values()
            if option not in (PROMPT, SEED, PRESET, COUNT) and option.kind is not Kind.IMAGE
        }
        """By the name of the option whose default it sets. Images come with each request: a kept
        one would be read, or fetched, for the next person who asks."""
        self.by_key: Mapping[str, Setting] = {
            setting.key: setting for setting in (*_COMMON, *self.defaults.values())
        }
        """In the order in which they are listed."""


def _default(option: Option) -> Setting:
    return Setting(
        option=replace(option, name=_DEFAULT + option.name, flag=None),
        help_key=option.help_key,
        scopes=frozenset(Scope),
        sets=option,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings in force for one person in one channel."""

    guild: Mapping[str, Stored] = field(default_factory=dict)
    channel: Mapping[str, Stored] = field(default_factory=dict)
    user: Mapping[str, Stored] = field(default_factory=dict)

    def value(self, setting: Setting) -> Any:
        """Return the value in force; its type is the setting's, None where nothing is set."""
        return self.find_with_origin(setting)[0]

    def find_with_origin(self, setting: Setting) -> tuple[Stored | None, str]:
        """Return the value in force, and the name of the layer it comes from."""
        for scope in reversed(Scope):
            if scope in setting.scopes and setting.key in self.of(scope):
                return self.of(scope)[setting.key], scope.value
        return setting.default, BUILT_IN

    def of(self, scope: Scope) -> Mapping[str, Stored]:
        """Return the values of one scope."""
        match scope:
            case Scope.GUILD:
                return self.guild
            case Scope.CHANNEL:
                return self.channel
            case Scope.USER:
                return self.user

    def layers(self) -> tuple[Layer, ...]:
        """Return the defaults of options, the weakest layer first."""
        return tuple(
            Layer(
                name=scope.value,
                values={
                    key.removeprefix(_DEFAULT): cast("Value", value)
                    for key, value in self.of(scope).items()
                    if key.startswith(_DEFAULT)
                },
            )
            for scope in Scope
        )
