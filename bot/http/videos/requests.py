"""Request bodies of the videos resource: validated, and converted to options of a render."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from bot.http.body import TABLES, Upload, parse_json
from bot.http.mistakes import mistake
from bot.http.refusals import MAX_PARAM
from commands.installation import Installation
from commands.option_set import OptionSet
from commands.options import (
    ASPECT,
    COUNT,
    FRAME_COUNT,
    IMAGE,
    LOOPS,
    MAX_PROMPT,
    MODEL,
    PROMPT,
    RESOLUTION,
)
from commands.parsing.quotes import escape
from commands.parsing.suggestions import closest
from commands.parsing.values import accept_advising
from commands.schema import Kind, Option, Value
from commands.specs.extension import Passes
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.media.results import ImageLimits

CLOSE_SECONDS = 0.5
CLOSE_SHARE = 0.1
"""How far a clip may be from the seconds that were asked for, the larger of both: models know
certain lengths only, and OpenAI's 4, 8 and 12 seconds shall always work."""

CLOSEST_SECONDS = 1.0
"""A clip this close ends the search for a closer one of more loops, which cost time and beauty."""

MOST_LOOPS = 20

BEYOND = 1e18
"""Seconds that no clip has."""

WITHIN = "rushes."
"""Where options of our own are in a request."""

LONGEST = 4 * MAX_PROMPT
"""Characters of a text to begin with; what models read is counted later."""

MAX_INPUTS = 32
"""Texts of one request for the safety checks."""

DATA_ADDRESS = "^data:image/[^,]*;base64,.+"
"""Pattern of an address that has the picture in it."""

_EXAMPLES = {"seconds": "4", "size": "1280x720"}
"""Of fields whose patterns nobody should have to read."""

NEAR = 75.0
"""Similarity in percent from which the one field is named instead of all: programs guess less."""

_SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _text(value: Any) -> Any:
    """Take numbers where OpenAI has texts that hold one; what is out of all range is told so."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{min(max(value, -BEYOND), BEYOND):.9f}"


Seconds = Annotated[
    str,
    BeforeValidator(_text),
    Field(
        pattern=r"^-?[0-9]{1,99}(\.[0-9]{1,9})?$",
        examples=[_EXAMPLES["seconds"]],
        json_schema_extra={"pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$"},
    ),
]
Size = Annotated[str, Field(pattern=r"^[0-9]{1,5}x[0-9]{1,5}$", examples=[_EXAMPLES["size"]])]
Own = dict[str, str | int | float | bool | InstanceOf[Upload] | None]


class PromptRequest(BaseModel):
    """What every body has that asks for a render."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    prompt: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    rushes: Own = {}
    """Options of Rushes' own by name, such as `{"camera": "pan left", "seed": 7}`."""


class ImageReference(BaseModel):
    """A reference image inside the request."""

    model_config = ConfigDict(extra="forbid")

    image_url: Annotated[str, Field(json_schema_extra={"pattern": DATA_ADDRESS})]
    """A `data:` address with the bytes; nothing is fetched."""


class CreateRequest(PromptRequest):
    """The body of `POST /v1/videos`."""

    model: str | None = None
    seconds: Seconds | None = None
    size: Size | None = None
    input_reference: Upload | ImageReference | None = None


class RemixRequest(PromptRequest):
    """The body of `POST /v1/videos/{id}/remix`."""


class Reference(BaseModel):
    """A completed video."""

    model_config = ConfigDict(extra="forbid")

    id: str


class EditRequest(PromptRequest):
    """The body of `POST /v1/videos/edits`."""

    video: Reference


class ExtendRequest(PromptRequest):
    """The body of `POST /v1/videos/extensions`."""

    video: Reference
    seconds: Seconds


Request = TypeVar("Request", bound=BaseModel)


def checked(model: type[Request], fields: Mapping[str, Any]) -> Request:
    """Return the request that fields make.

    Raises:
        UserError: `http.field_unknown`, `http.video`, `http.reference`, `http.object`,
            `http.scalar`, `http.form`, `http.moderation`, or as `mistake` returns.
    """
    given = {name: _unwrapped(name, value) for name, value in fields.items()}
    try:
        # null is as good as absent
        return model.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A name that is written wrong is also missing where it belongs.
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")
        place = [str(part) for part in first["loc"]]
        name = place[0] if place else "body"
        if first["type"] == "extra_forbidden" and len(place) == 1:
            raise unknown_field(name, list(model.model_fields)) from None
        if name == "video":
            raise UserError("http.video", field=name) from None
        if name == "input_reference":
            raise UserError("http.reference", field=name) from None
        if name == "rushes":
            code = "http.object" if len(place) == 1 else "http.scalar"
            raise UserError(code, field=".".join(place[:2])) from None
        if (example := _EXAMPLES.get(name)) and first["type"].startswith("string"):
            raise UserError("http.form", field=name, example=example) from None
        if name == "input" and first["type"] != "missing":
            raise UserError("http.moderation", field=name, most=MAX_INPUTS, limit=LONGEST) from None
        raise mistake(first, model) from None


def unknown_field(name: str, known: Sequence[str], *, within: str = "") -> UserError:
    """Return that there is no such field, with the one that is meant or else all."""
    field = f"{within}{name}"[:MAX_PARAM]
    if not known:
        return UserError("http.field_none", field=field)
    guess = closest(name[:MAX_PARAM], known, at_least=NEAR)
    return UserError("http.field_unknown", field=field, known=[guess] if guess else list(known))


def _unwrapped(name: str, value: Any) -> Any:
    """Read a table that a form holds as JSON."""
    if isinstance(value, str) and name == "rushes":
        try:
            return parse_json(value.encode("utf-8", "surrogatepass"))
        except UserError as error:
            if error.code != "http.json":
                raise
            raise UserError("http.object", field=name) from None
    if isinstance(value, str) and name == "input_reference" and value[:5].lower() == "data:":
        return {"image_url": value}
    if isinstance(value, str) and name in TABLES and value[:1] == "{":
        return parse_json(value.encode("utf-8", "surrogatepass"))
    return value


def options(
    request: CreateRequest,
    installation: Installation,
    *,
    within: str = WITHIN,
) -> dict[str, Value]:
    """Return the options that a request sets, all but the pictures.

    Args:
        request: What is asked.
        installation: Its models and options.
        within: What stands before the name of an option where that is wrong.

    Raises:
        UserError: A value is none, or the model cannot do it; with the nearest it can.
    """
    named = request.model or request.rushes.get(MODEL.name) or installation.default_model
    works = installation.narrowed(str(named))
    asked = own_options(
        request.rushes,
        installation.options,
        works=works,
        within=within,
        instead={IMAGE.name: "input_reference"},
    )
    if request.model is not None:
        _once(asked, MODEL.name, "model", within)
        asked[MODEL.name] = request.model
    model = installation.model(str(asked.get(MODEL.name, installation.default_model)))
    if request.size is not None:
        _once(asked, RESOLUTION.name, "size", within)
        _once(asked, ASPECT.name, "size", within)
        asked |= _of_size(request.size, model)
    if request.seconds is not None:
        _once(asked, FRAME_COUNT.name, "seconds", within)
        _once(asked, LOOPS.name, "seconds", within)
        passes = passes_for(float(request.seconds), model)
        asked |= {FRAME_COUNT.name: passes.frames, LOOPS.name: passes.loops}
    return {**asked, PROMPT.name: escape(request.prompt)}


def own_options(
    rushes: Own,
    known: OptionSet,
    *,
    works: OptionSet | None = None,
    within: str = WITHIN,
    instead: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Value]:
    """Return the options under `rushes`, checked; see `options`.

    Args:
        rushes: What is asked.
        known: All options.
        works: Of these, what the model can do: what is refused is told with its values.
        within: What stands before the name of an option where that is wrong.
        instead: Fields of the request for what is none of its options.

    Raises:
        UserError: `http.field_unknown`, `http.count`, `mcp.count`, `flag.*`, `value.*`.
    """
    legal = {option.name: option for option in known.by_name.values() if _is_plain(option)}
    asked: dict[str, Value] = {}
    for name, value in rushes.items():
        if value is None:
            continue
        if name == COUNT.name:
            if not within:  # a tool
                raise UserError("mcp.count", field=name)
            raise UserError("http.count", field=f"{within}{name}")
        option = legal.get(name) or known.by_flag.get(name)
        if option is None or not _is_plain(option):
            if name in instead:
                known_instead = [instead[name]]
                raise UserError("http.field_unknown", field=f"{within}{name}", known=known_instead)
            raise unknown_field(name, [*legal, *picture_names(known)], within=within)
        if option.kind is Kind.FLAG and isinstance(value, str):
            value = _SWITCHES.get(value.lower(), value)  # noqa: PLW2901 - forms have texts only
        if isinstance(value, Upload):
            raise UserError("http.no_file", field=f"{within}{name}")
        advised = None if works is None else works.shown.get(option.name)
        asked[option.name] = accept_advising(option, value, advised)
    return asked


def check_arguments(names: Collection[str], known: OptionSet, others: Collection[str]) -> None:
    """Check the names of a tool's arguments: options, or others that it has.

    Raises:
        UserError: `http.field_unknown`.
    """
    legal = [option.name for option in known.by_name.values() if _is_plain(option)]
    for name in names:
        plain = name in legal or name in known.by_flag or name == COUNT.name
        if not plain and name not in others:
            raise unknown_field(name, [*dict.fromkeys((*others, *legal))])


def _is_plain(option: Option) -> bool:
    """Whether an option is no file, has no field of its own, and is of one video."""
    return option not in (PROMPT, COUNT) and option.kind is not Kind.IMAGE


def passes_for(seconds: float, model: Capabilities, *, extending: bool = False) -> Passes:
    """Return the frames and loops that come near a length, with few loops, or else nearest to it.

    Args:
        seconds: Of the new clip, or of what an extension adds.
        model: Its lengths.
        extending: Whether it continues a clip: what it shares with that is no part of it.

    Raises:
        UserError: `http.seconds_range`, with the shortest and the longest, or `http.seconds`, with
            the nearest.
    """
    overlap = model.overlap_frames

    def length(frames: int, loops: int) -> float:
        added = loops * (frames - overlap)
        return (added if extending else overlap + added) / model.file_fps

    ends = [
        length(frames, loops)
        for loops in (1, MOST_LOOPS)
        for frames in model.lengths
        if frames > (overlap if extending or loops > 1 else 1)
    ]
    lowest, highest = min(ends, default=0.0), max(ends, default=0.0)
    close = max(CLOSE_SECONDS, CLOSE_SHARE * seconds)
    if seconds <= 0 or not lowest - close <= seconds <= highest + close:
        raise UserError(
            "http.seconds_range",
            field="seconds",
            model=model.title,
            value=f"{seconds:g}",
            nearest=f"{lowest if seconds < lowest else highest:.4g}",
            lowest=float(f"{lowest:.4g}"),
            highest=float(f"{highest:.4g}"),
        )
    best: tuple[float, Passes] | None = None
    for loops in range(1, MOST_LOOPS + 1):
        least = overlap if extending or loops > 1 else 1
        usable = [frames for frames in model.lengths if frames > least]
        for frames in usable:
            off = abs(length(frames, loops) - seconds)
            if best is None or off < best[0]:
                best = (off, Passes(frames=frames, loops=loops))
        if best is not None and best[0] <= min(close, CLOSEST_SECONDS):
            return best[1]
    if best is not None and best[0] <= close:
        return best[1]
    nearest = f"{length(best[1].frames, best[1].loops):.4g}" if best else "0"
    raise UserError(
        "http.seconds", field="seconds", model=model.title, value=f"{seconds:g}", nearest=nearest
    )


def picture_names(known: OptionSet) -> frozenset[str]:
    """Return the names of the options that are pictures, but the first frame's.

    They are the last frame and the pictures of effects.
    """
    return known.pictures - {IMAGE.name}


def pictures_of(rushes: Own, known: OptionSet) -> dict[str, bytes]:
    """Take the pictures out of what is under `rushes`.

    Each is a `data:` address, a file of a form, or null as if it were absent.

    Raises:
        UserError: `http.picture` or `image.too_large`.
    """
    names = picture_names(known) & rushes.keys()
    given = {name: value for name in names if (value := rushes.pop(name)) is not None}
    return {
        name: image_bytes(
            value if isinstance(value, Upload) else ImageReference(image_url=str(value)),
            f"rushes.{name}",
        )
        for name, value in given.items()
    }


def image_bytes(reference: Upload | ImageReference, field: str = "input_reference") -> bytes:
    """Return the bytes of a reference image.

    Raises:
        UserError: `http.reference`, `http.picture` or `image.too_large`.
    """
    limit = ImageLimits().file_bytes
    wrong = UserError("http.picture", field=field)
    if field == "input_reference":
        wrong = UserError("http.reference", field=field)
    if isinstance(reference, Upload):
        data = reference.data
    else:
        head, comma, body = reference.image_url.partition(",")
        head = head.lower()
        if not head.startswith("data:image/") or not head.endswith(";base64") or not comma:
            raise wrong
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise wrong from None
    if len(data) > limit:
        raise UserError("image.too_large", field=field, limit_mb=limit // 2**20)
    if not data:
        raise wrong
    return data


def _once(asked: Mapping[str, Value], name: str, field: str, within: str) -> None:
    if name in asked:
        raise UserError("http.twice", field=field, first=field, second=f"{within}{name}")


def _of_size(size: str, model: Capabilities) -> dict[str, Value]:
    width, height = (int(side) for side in size.split("x"))
    for (resolution, aspect), known in model.sizes.items():
        if (known.width, known.height) == (width, height):
            return {RESOLUTION.name: resolution.value, ASPECT.name: aspect.value}
    nearest = min(
        model.sizes.values(),
        key=lambda known: (abs(known.width - width) + abs(known.height - height), known.width),
    )
    legal = [str(known) for known in model.sizes.values()]
    raise UserError(
        "http.size", field="size", model=model.title, value=size, nearest=str(nearest), legal=legal
    )
