"""Options of models, the keys of `[models.<name>]`, validated by bot and worker."""

from __future__ import annotations

import os
from pathlib import Path
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
    """Members that name files. Workers run in another folder and get whole paths."""


def _whole(path: str) -> str:
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111 - pathlib raises where a home is unknown


ConfiguredPath = Annotated[str, AfterValidator(_whole)]
"""A file or folder, made whole."""


class NanoTable(ModelTable):
    """Options of the model that ships."""

    speed: Literal["exact", "balanced"] = "exact"
    """The default of `--speed`."""


class OpensoraTable(ModelTable):
    """Options of the official Open-Sora."""

    speed: Literal["exact", "balanced", "fast"] = "exact"
    """The default of `--speed`."""
    attention_rows: Annotated[int, Field(ge=0)] | None = None
    """Queries of the VAE's attention at a time; 0: all; None: as the device needs."""


class LengthRule(ModelTable):
    """Lengths of one pass: `offset + step * n` frames between two bounds."""

    offset: int = 1
    step: Annotated[int, Field(ge=1)]
    shortest: Annotated[int, Field(ge=2)]
    longest: int
    image: bool = True
    """Whether 1 is a length too."""


def _lengths(value: object) -> object:
    """Read a rule or a list as lengths; pydantic says what is wrong with them."""
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
"""`[1, 49, 97]`, or a table with the members of `LengthRule`."""


class TestcardTable(ModelTable):
    """Options of the test card."""

    lengths: ConfiguredLengths | None = None
    """Legal frame counts, for trying what other models have."""
    file_fps: Annotated[int, Field(ge=1, le=60)] | None = None
    """Frames per second of the file."""

    step_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """How long a step pretends to take."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of every render, whatever was asked for; None: as asked."""
    fail: Annotated[str, AfterValidator(_fault)] = ""
    """The failure to show; see `inference.engines.faults`."""
