"""The prompt assistant as a port: words in, a prompt for a video model out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inference.domain.spec import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Words that are to become a prompt."""

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
    """Writes prompts. One implementation talks to any server that speaks OpenAI's protocol."""

    @property
    def name(self) -> str:
        """Tells assistants apart whose answers may differ."""
        ...

    async def refine(self, draft: Draft) -> str:
        """Return one line of English: at most six sentences, one scene, all that was asked for.

        Raises:
            AssistantError: There is no usable answer, after all retries and within the time-out.
        """
        ...
