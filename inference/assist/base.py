"""The prompt assistant port."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inference.domain.errors import AssistantError
from inference.domain.spec import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementRequest:
    """Input of a prompt refinement: the person's text and what it is for."""

    words: str
    """In any language."""
    mode: Mode
    drawn: bool = False
    """The words were drawn by lot: a prompt is to be invented from them, not to keep to them."""
    image: Path | None = None
    """The clean PNG that the clip begins with."""
    advice: str | None = None
    """What prompts the model understands, where that is special (`Capabilities.prompt_advice`)."""


class PromptAssistant(Protocol):
    """Port of prompt assistants. Implemented for any server with OpenAI's API."""

    @property
    def name(self) -> str:
        """Part of the cache key: assistants whose answers may differ have different names."""
        ...

    async def refine(self, request: RefinementRequest) -> str:
        """Return one line of English: at most six sentences, one scene, all that was asked for.

        Raises:
            AssistantError: There is no usable answer, after all retries and within the time-out.
        """
        ...


class UnavailableAssistant:
    """Placeholder for an assistant that could not be made: prompts are not refined."""

    name = "unavailable"

    async def refine(self, request: RefinementRequest) -> str:  # noqa: ARG002 - the port's signature
        """Raise; see `PromptAssistant`."""
        raise AssistantError("assistant.unavailable")
