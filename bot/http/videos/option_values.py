"""Options of a render, from the fields of a request: ours under `rushes`, and OpenAI's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from bot.http.body import Upload
from bot.http.videos.requests import CreateRequest, Own, picture_names, unknown_field
from commands.installation import Installation
from commands.option_set import OptionSet
from commands.options import ASPECT, COUNT, FRAME_COUNT, IMAGE, LOOPS, MODEL, PROMPT, RESOLUTION
from commands.parsing.quotes import escape
from commands.parsing.values import accept_advising
from commands.schema import Kind, Option, Value
from commands.specs.extension import Passes
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError

CLOSE_SECONDS = 0.5
CLOSE_SHARE = 0.1
"""How far a clip may be from the seconds that were asked for, the larger of both: models know
certain lengths only, and OpenAI's 4, 8 and 12 seconds shall always work."""

CLOSEST_SECONDS = 1.0
"""A clip this close ends the search for a closer one of more loops, which cost time and beauty."""

MOST_LOOPS = 20

WITHIN = "rushes."
"""Prefix of the options that OpenAI's API does not have."""

_SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def options(
    request: CreateRequest, installation: Installation, *, within: str = WITHIN
) -> dict[str, Value]:
    """Return the options that a request sets, all but the pictures.

    Args:
        request: What is asked.
        installation: Its models and options.
        within: What stands before the name of an option where that is wrong.

    Raises:
        UserError: A value is not legal, or the model cannot do it; with the nearest it can.
    """
    named = request.model or request.rushes.get(MODEL.name) or installation.default_model
    works = installation.find_options(str(named))
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
        instead: Fields of the request for values that are not options.

    Raises:
        UserError: `http.field_unknown`, `http.count`, `mcp.count`, `flag.*`, `value.*`.
    """
    asked: dict[str, Value] = {}
    for name, value in rushes.items():
        if value is None:
            continue
        if name == COUNT.name:
            if not within:  # a tool
                raise UserError("mcp.count", field=name)
            raise UserError("http.count", field=f"{within}{name}")
        if (option := _plain_option(name, known)) is None:
            if name in instead:
                known_instead = [instead[name]]
                raise UserError("http.field_unknown", field=f"{within}{name}", known=known_instead)
            names = [*_plain_names(known), *picture_names(known)]
            raise unknown_field(name, names, within=within)
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
    for name in names:
        plain = name == COUNT.name or _plain_option(name, known) is not None
        if not plain and name not in others:
            raise unknown_field(name, [*dict.fromkeys((*others, *_plain_names(known)))])


def _plain_option(name: str, known: OptionSet) -> Option | None:
    option = known.by_name.get(name) or known.by_flag.get(name)
    return None if option is None or not _is_plain(option) else option


def _plain_names(known: OptionSet) -> list[str]:
    return [name for name, option in known.by_name.items() if _is_plain(option)]


def _is_plain(option: Option) -> bool:
    """Whether an option is no file, has no field in OpenAI's API, and is of one video."""
    return option not in (PROMPT, COUNT) and option.kind is not Kind.IMAGE


def passes_for(seconds: float, model: Capabilities, *, extending: bool = False) -> Passes:
    """Return frames and loops for a length: with few loops if that is close, else the closest.

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
