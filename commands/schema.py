"""Declarative data about options and commands, rendered by every platform in its own way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inference.domain.spec import Mode

Value = str | int | float | bool
"""A value of an option, as `parsing.values` accepts it; members of the spec's enums are text."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""Pattern of a command's or an option's name that every chat accepts."""

ALL_MODES = frozenset(Mode)
VIDEO_MODES = frozenset({Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO})


class Kind(StrEnum):
    """Type of an option's value."""

    TEXT = "text"
    CHOICE = "choice"
    """One of `Option.choices`."""
    INTEGER = "integer"
    """A whole number, of `Option.choices` or within `Option.range`."""
    NUMBER = "number"
    FLAG = "flag"
    """Yes or no: `--name` and `--no-name`."""
    IMAGE = "image"
    """A reference to an image: a URL, or a path where files are local."""
    MODEL = "model"
    """The name of an installed model; which there are is known at run time only."""


class Group(StrEnum):
    """Where a form shows an option."""

    BASIC = "basic"
    ADVANCED = "advanced"


class Permission(StrEnum):
    """Permission that a command needs; each includes those after it."""

    MEMBER = "member"
    ADMIN = "admin"
    """Administers this guild or workspace."""
    OPERATOR = "operator"
    """Runs the machine that all guilds share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Legal numbers, both ends included."""

    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option, declared as data."""

    name: str
    kind: Kind
    flag: str | None = None
    """The name after `--`; None for the free text of a command."""
    short: str | None = None
    """A short form of the flag; shown nowhere."""
    group: Group = Group.BASIC
    choices: tuple[str | int, ...] = ()
    worded: bool = False
    """Whether the choices are words, which are shown translated; they are typed as they are."""
    default: Value | None = None
    """The built-in value; None where there is none, or where it is drawn or the model's."""
    range: Range | None = None
    max_length: int | None = None
    """Characters of a text."""
    read_by_model: bool = False
    """Whether a model reads the text; then codes of chats in it become words."""
    unit: str | None = None
    """Catalog key of what the number counts."""
    modes: frozenset[Mode] = ALL_MODES
    """Renders in which it has a meaning."""
    required: bool = False
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Locale -> one-line explanation, for options of plugins that the catalog does not know."""
    needs_assistant: bool = False
    """Only offered where there is a prompt assistant (`Installation.offers`)."""

    @property
    def help_key(self) -> str:
        """Catalog key of the one-line explanation (100 characters at most)."""
        return f"option.{self.name}"
