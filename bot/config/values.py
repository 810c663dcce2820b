"""Types of config values: lenient parsing and validation."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticKnownError

from commands.text.messages import language, languages

_BLANK = re.compile(r"[\s\x00-\x1f]")

_HOST = re.compile(r"[A-Za-z0-9.*_-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
"""A name or number of a host with a port, and `*` for a part of a name."""

_TENANT = re.compile(
    r"discord:(?:\d+|dm(?:-\d+)?)|slack:[A-Z][A-Z0-9]*|(?!discord:|slack:)[\w.-]+:.+"
)

_OPERATOR = re.compile(r"discord:\d+|slack:[A-Z0-9]+:[A-Z0-9]+|(?!discord:|slack:)[\w.-]+:.+")

_DEVICE = re.compile(r"auto|cpu|cuda:\d{1,3}")

_SLACK_TOKENS = ("xoxb-", "xoxp-", "xoxe", "xoxa-", "xapp-")
_DISCORD_TOKEN = re.compile(r"[\w-]{18,}\.[\w-]{6,7}\.[\w-]{27,}")

_SLACK_PREFIX = re.compile(r"[a-z0-9_-]{0,16}")

_SYNONYMS = {"warn": "warning"}

LONGEST_SECONDS = 1e9
MOST = 10**9


def _url(*schemes: str, example: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            sound = parts.scheme in schemes and parts.hostname and parts.port != 0
        except ValueError:  # of a port that is no number, or of half a bracket
            sound = False
        if not sound or _BLANK.search(value):
            raise ValueError(f"it must be a whole address such as {example}")
        return value

    return check


Url = Annotated[str, AfterValidator(_url("http", "https", example="https://example.com/v1"))]
GatewayUrl = Annotated[str, AfterValidator(_url("ws", "wss", example="wss://gateway.example.com"))]


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("it must be a name or number of a host, without https:// and slashes")
    return value


HostPattern = Annotated[str, AfterValidator(_host)]


def _address(value: str) -> str:
    if not value or _BLANK.search(value) or "/" in value:
        raise ValueError("it must be a name or number of a host, such as 127.0.0.1")
    return value


def _slack_prefix(value: str) -> str:
    plain = value.strip().removeprefix("/")
    if not _SLACK_PREFIX.fullmatch(plain):
        raise ValueError("it must be up to 16 small letters, digits, - and _, such as acme-")
    return plain


SlackPrefix = Annotated[str, AfterValidator(_slack_prefix)]


ListenAddress = Annotated[str, AfterValidator(_address)]


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError:
        message = f"{value} is no IP address and no network such as 10.0.0.0/8"
        raise ValueError(message) from None


Network = Annotated[str, AfterValidator(_network)]
"""An IP address, or a network such as 10.0.0.0/8."""


def _tenant(value: str) -> str:
    if not _TENANT.fullmatch(value):
        examples = "discord:123456789, discord:dm or slack:T012AB"
        raise ValueError(f"{value} names no server and no workspace; write it like {examples}")
    return value


Tenant = Annotated[str, AfterValidator(_tenant)]
"""A server or workspace as `policy.operator_rules` knows it."""


def _operator(value: str) -> str:
    if not _OPERATOR.fullmatch(value):
        examples = "discord:123456789, slack:T012AB:U345CD or terminal:kim"
        raise ValueError(f"{value} is not a person; write it like {examples}")
    return value


Operator = Annotated[str, AfterValidator(_operator)]
"""A person as a platform names people."""


def _language(value: str) -> str:
    if language(value) != re.split("[-_.@]", value)[0].lower():
        expected = " or ".join(map(repr, sorted(languages())))
        raise PydanticKnownError("literal_error", {"expected": expected})
    return value


Language = Annotated[str, AfterValidator(_language)]
"""A language that there is, as environments write it too: `ko`, `ko_KR.UTF-8`."""


def _device(value: str) -> str:
    device = value.strip().lower()
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"{value} is no device; write auto, cpu, or cuda: and a number")
    return device


DeviceName = Annotated[str, AfterValidator(_device)]
"""As torch names devices, or `auto`."""


def token(begins: str, others: tuple[str, ...]) -> AfterValidator:
    """Return a check against one of Slack's tokens in the place of another."""

    def check(value: SecretStr | None) -> SecretStr | None:
        if value is not None and value.get_secret_value().startswith(others):
            raise ValueError(f"it must be the token that begins with {begins}")
        if value is not None and _DISCORD_TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError(f"it is a token of Discord: Slack's begins with {begins}")
        return value

    return AfterValidator(check)


def _discord_token(value: SecretStr | None) -> SecretStr | None:
    if value is not None and value.get_secret_value().startswith(_SLACK_TOKENS):
        raise ValueError("it is a token of Slack: Discord's is under Bot, Reset Token")
    return value


DiscordToken = Annotated[SecretStr | None, AfterValidator(_discord_token)]


def _number(value: object) -> object:
    """Take numbers out of environment variables, where a choice of numbers does not."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


ThreadMinutes = Annotated[Literal[60, 1440, 4320, 10080], BeforeValidator(_number)]
"""After which Discord may hide an inactive thread; the values that it offers."""

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Days = Annotated[float, Field(gt=0, le=100_000)]
Weight = Annotated[float, Field(gt=0, le=MOST)]


def lenient(value: str, annotation: Any) -> Any:
    """Return the value of a text in one of the spellings that people and environments use.

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
            return None if not value.strip() and NoneType in kinds else _expand(value)
        if get_origin(kind) in {list, frozenset, dict}:
            return collection(value, get_origin(kind))
        if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, StrEnum)):
            word = value.strip().lower()
            return _SYNONYMS.get(word, word) if "warning" in get_args(kind) else word
    return value


def _clean_secret(value: str) -> str:
    """Return a token without what was copied along with it.

    Raises:
        ValueError: Something in the middle is no part of any token.
    """
    cleaned = value.strip().strip("\ufeff\u200b").strip()
    if len(cleaned) > 1 and cleaned[0] == cleaned[-1] and cleaned[0] in "'\"`":
        cleaned = cleaned[1:-1].strip()
    kind, _, rest = cleaned.partition(" ")
    if kind.lower() in {"bot", "bearer"}:
        cleaned = rest.strip()
    if not (cleaned.isascii() and cleaned.isprintable()) or " " in cleaned:
        raise ValueError("it has a space, a line break or a special character inside: copy it anew")
    return cleaned


def _expand(value: str) -> Path:
    if not value.strip():
        raise ValueError("it is empty")
    if "\0" in value:
        raise ValueError("it has a character inside that no path can have")
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError:
        raise ValueError("there is no home directory here: write the path without ~") from None


def collection(value: str, kind: type) -> Any:
    """Return the list or table that a text describes: JSON, or words between commas."""
    if value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError("it begins like JSON, but is not JSON") from error
    words = [word.strip() for word in value.split(",") if word.strip()]
    if kind is not dict:
        return words
    pairs = [word.partition("=") for word in words]
    return {name.strip(): number.strip() for name, _, number in pairs}
