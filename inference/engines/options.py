"""Options of models, the keys of `[models.<name>]`, validated by bot and worker."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


class NoTable(ModelTable):
    """For models without options."""


class OpensoraTable(ModelTable):
    """Options of the official Open-Sora."""

    compile: bool = False
    """Compile the transformer's blocks."""
    attention_rows: Annotated[int, Field(ge=0)] | None = None
    """Queries of the VAE's attention at a time; 0: all; None: as the device needs."""


class TestcardTable(ModelTable):
    """Options of the test card."""

    step_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """How long a step pretends to take."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of every render, whatever was asked for; None: as asked."""
    fail: Annotated[str, AfterValidator(_fault)] = ""
    """The failure to show; see `inference.engines.faults`."""
