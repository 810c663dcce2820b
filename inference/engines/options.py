"""Option tables of models: the keys of `[models.<name>]`, validated by bot and worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from inference.domain.capabilities import Lengths
from inference.domain.errors import EngineError
from inference.engines.faults import Fault


def _fault(value: str) -> str:
    try:
        Fault.parse(value)
    except EngineError:
        raise ValueError("there is no such failure") from None
    return value


class ModelTable(BaseModel):
    """Base of option tables: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    FILES: ClassVar[frozenset[str]] = frozenset()
    """Keys that hold paths. They are made absolute, because workers run in another folder."""

    TABLES: ClassVar[Mapping[str, type[BaseModel]]] = MappingProxyType({})
    """Members that are tables, or lists of them."""


def _whole(path: str) -> str:
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111 - pathlib raises where a home is unknown


ConfiguredPath = Annotated[str, AfterValidator(_whole)]
"""Path of a file or folder, made absolute."""


class NanoTable(ModelTable):
    """Options of the bundled nano model."""

    speed: Literal["exact", "balanced"] = "exact"
    """The default of `--speed`."""


class OpensoraTable(ModelTable):
    """Options of the official Open-Sora."""

    speed: Literal["exact", "balanced", "fast"] = "exact"
    """The default of `--speed`."""
    attention_rows: Annotated[int, Field(ge=0)] | None = None
    """Queries of the VAE's attention at a time; 0 is all, None depends on the device."""


class LengthRule(ModelTable):
    """Lengths of one pass by rule: `offset + step * n` frames, within bounds."""

    offset: int = 1
    step: Annotated[int, Field(ge=1)]
    shortest: Annotated[int, Field(ge=2)]
    longest: int
    image: bool = True
    """Whether images, of one frame, are legal too."""


def _lengths(value: object) -> object:
    """Parse a rule or a list of lengths; invalid values are reported by pydantic."""
    if isinstance(value, dict):
        return Lengths.rule(**LengthRule.model_validate(value).model_dump())
    if isinstance(value, list) and all(type(item) is int for item in value):
        return Lengths(tuple(value))
    if value is None or isinstance(value, Lengths):
        return value
    raise ValueError(
        "write frame counts such as [1, 49, 97], or a table of step, shortest and longest"
    )


ConfiguredLengths = Annotated[Lengths, BeforeValidator(_lengths)]
"""A list such as `[1, 49, 97]`, or a table with the keys of `LengthRule`."""


class TestcardTable(ModelTable):
    """Options of the test card."""

    TABLES = MappingProxyType({"lengths": LengthRule})

    lengths: ConfiguredLengths | None = None
    """Legal frame counts, to imitate other models."""
    file_fps: Annotated[int, Field(ge=1, le=60)] | None = None
    """Frames per second of the file."""

    step_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """Simulated seconds per step."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of every render; None: as in the spec."""
    fail: Annotated[str, AfterValidator(_fault)] = ""
    """Fault to inject; see `inference.engines.faults`."""
