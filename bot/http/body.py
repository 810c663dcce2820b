"""Reads untrusted request bodies: JSON or multipart, bounded.

Multipart names members of tables in brackets, as OpenAI's clients do: `rushes[seed]`, `video[id]`.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from inference.domain.errors import UserError
from inference.media.results import ImageLimits

MAX_BODY = 32 * 2**20
"""Bytes: the largest reference image as base64."""

MAX_TEXT = 64 * 2**10
"""Bytes of one field of a form that is no picture, and characters of a value in JSON."""

_PICTURE = b"data:"
"""How a picture begins that is written as an address; OpenAI's clients send these as text."""

MAX_FIELDS = 64
"""Fields of a form, or members of a table: each costs as much time as many bytes."""

MAX_COMMAS = 2**17
"""In JSON, whose parser keeps all threads waiting: members cost a hundred times as much time as
characters. No text that is taken has as many."""

MAX_LINES = 2 * MAX_FIELDS
"""Lines of a form outside its fields: one before each, and what may stand before all."""

TABLES = frozenset({"rushes", "video", "input_reference"})
"""Fields that are tables."""

READ_SECONDS = 60.0
"""How long a body may take to arrive."""

LARGE = 2**16
"""Bytes of JSON that are read in a thread."""

SMALL = 2**20
"""Bytes of a body that may be in memory for each request under way."""

_NAME = re.compile(r"([A-Za-z_]\w{0,63})(?:\[([A-Za-z_][\w-]{0,63})\])?")
_ODD_NAME = re.compile(r"([A-Za-z_]\w{0,63})(?:\[([A-Za-z_][\w-]{0,63})\])?\[[\w-]{0,64}\].*")
"""How clients write lists, and tables inside tables."""

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON writes half a character, mostly with the other half behind it."""

_PLAIN_ENCODINGS = {"", "identity", "binary", "7bit", "8bit"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form."""

    data: bytes


def may_be_large(request: web.Request) -> bool:
    """Return whether a body has more bytes than `SMALL`, or does not say how many."""
    return request.body_exists and (request.content_length or MAX_BODY) > SMALL


async def read_fields(request: web.Request, most: int = MAX_BODY) -> dict[str, Any]:
    """Return the fields of a body; files are `Upload`s.

    Args:
        request: What it comes with.
        most: Bytes.

    Raises:
        UserError: `http.json`, `http.multipart`, `http.fields`, `http.field_twice`,
            `http.media_type`, `http.too_large`, `http.field_large`, `http.slow` or
            `image.too_large`.
    """
    if request.headers.get("Content-Encoding", "").lower() not in _PLAIN_ENCODINGS:
        raise UserError("http.media_type")
    if request.content_length is not None and request.content_length > most:
        raise _too_large(most)
    if request.content_type == "application/json":
        return await _read_json(request, most)
    if request.content_type == "multipart/form-data":
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await _read_form(request, most)
        except TimeoutError:
            raise UserError("http.slow", seconds=READ_SECONDS) from None
        except web.HTTPRequestEntityTooLarge:
            raise _too_large(most) from None
    raise UserError("http.media_type")


async def read_body(request: web.Request, most: int) -> bytes:
    """Return a body of JSON as it is.

    Raises:
        UserError: `http.too_large`, `http.fields` or `http.slow`.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise UserError("http.slow", seconds=READ_SECONDS) from None
    if data.count(b",") > MAX_COMMAS:
        raise UserError("http.fields", limit=MAX_FIELDS)
    return bytes(data)


async def _read_json(request: web.Request, most: int) -> dict[str, Any]:
    data = await read_body(request, most)  # aiohttp's own `read` keeps it as long as the request
    if len(data) > LARGE:
        found = await asyncio.to_thread(parse_json, data)
    else:
        found = parse_json(data)
    if not isinstance(found, dict):
        raise UserError("http.json")
    return found


def parse_json(data: bytes, within: str = "") -> Any:
    """Return JSON data.

    Args:
        data: As it was sent.
        within: The field that it is in.

    Raises:
        UserError: `http.json`, `http.fields` or `http.field_twice`.
    """
    try:
        return _parse(data, within)
    except (ValueError, RecursionError):
        raise UserError("http.json") from None


def _parse(data: bytes, within: str) -> Any:
    twice: list[tuple[dict[str, Any], str]] = []

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        if len(members) > MAX_FIELDS:
            raise UserError("http.fields", limit=MAX_FIELDS)
        for name, value in members:
            if name in table:  # it is unclear which one counts
                twice.append((table, name[:64]))
            table[name] = value
        return table

    found = json.loads(data.decode("utf-8"), parse_constant=refuse, object_pairs_hook=pairs)
    for table, name in twice:
        members = found.items() if isinstance(found, dict) else ()
        outer = [member[:64] for member, value in members if value is table]
        raise UserError("http.field_twice", field=".".join(filter(None, [within, *outer, name])))
    if _HALF.search(data):
        json.dumps(found, ensure_ascii=False).encode()  # no text can hold half a character
    return found


class _FormReader(MultipartReader):
    """Reads a form of few lines: a million empty ones would keep the event loop for seconds."""

    _lines = 0

    async def _readline(self) -> bytes:
        """Return the next line that is outside of all fields. Raises `ValueError`: too many."""
        self._lines += 1
        if self._lines > MAX_LINES:
            raise ValueError
        return await super()._readline()


async def _read_form(request: web.Request, most: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    left, count = most, 0
    try:
        async for part in _FormReader(request.headers, request.content):
            if not isinstance(part, BodyPartReader):
                raise UserError("http.multipart")
            if (count := count + 1) > MAX_FIELDS:
                raise UserError("http.fields", limit=MAX_FIELDS)
            match = _NAME.fullmatch(part.name or "")
            if match is None and (odd := _ODD_NAME.fullmatch(part.name or "")):
                raise _report_misplaced(odd[1], odd[2])
            encodings = {
                part.headers.get(name, "").lower()
                for name in ("Content-Encoding", "Content-Transfer-Encoding")
            }
            if match is None or not encodings <= _PLAIN_ENCODINGS:
                raise UserError("http.multipart")
            is_file = part.filename is not None
            name = ".".join(filter(None, match.groups()))
            data = await _read_part(part, name, is_file=is_file)
            left -= len(data)
            if left < 0:
                raise _too_large(most)
            _put(fields, match[1], match[2], Upload(data) if is_file else data.decode("utf-8"))
    except (ValueError, AssertionError, RuntimeError, LookupError, HttpProcessingError):
        raise UserError("http.multipart") from None
    return fields


async def _read_part(part: BodyPartReader, name: str, *, is_file: bool) -> bytes:
    data, most = bytearray(), ImageLimits().file_bytes if is_file else MAX_TEXT
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > most and is_file:
            raise UserError("image.too_large", field=name, limit_mb=most // 2**20)
        if len(data) > (MAX_BODY if data.startswith(_PICTURE) else most):
            raise UserError("http.field_large", field=name, limit=most)
    return bytes(data)


def _put(fields: dict[str, Any], name: str, member: str | None, value: str | Upload) -> None:
    """Add a field; a name that comes twice is an error, because it is unclear which one counts."""
    table, key = fields, name
    if member is not None:
        table, key = fields.setdefault(name, {}), member
    if not isinstance(table, dict) or key in table:
        raise UserError("http.field_twice", field=name if member is None else f"{name}.{member}")
    table[key] = value


def _report_misplaced(name: str, member: str | None) -> UserError:
    """Return the error for a list or a table where none can be."""
    if member is not None:
        return UserError("http.scalar", field=f"{name}.{member}")
    return UserError("http.object" if name in TABLES else "http.scalar", field=name)


def _too_large(most: int) -> UserError:
    return UserError("http.too_large", limit_mb=most // 2**20)
