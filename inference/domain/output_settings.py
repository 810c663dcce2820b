"""Per-job output settings, copied from the guild when the job is accepted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from inference.domain.verdict import Outcome
from inference.domain.watermark import MAXIMUM_TEXT, Corner, WatermarkSettings

MAXIMUM_SUFFIX = 20
"""Characters behind the installation's own word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """Watermark, recipe privacy, moderation outcome and language of a job."""

    corner: Corner | None = None
    """Where the mark sits, if not where the installation puts it."""
    suffix: str = ""
    """Written behind the installation's word; a logo stands alone."""
    prompt_in_recipe: bool = True
    """Whether the words that made the file can be read in it."""
    flagged: Outcome = Outcome.DENY
    """What becomes of it when a safety check flags it."""
    language: str | None = None
    """Of its card and of the message that brings it, if not the installation's."""

    def marked(self, settings: WatermarkSettings) -> WatermarkSettings:
        """Return the installation's watermark settings with this job's changes."""
        text = f"{settings.text} {self.suffix}".strip()[:MAXIMUM_TEXT]
        return replace(settings, text=text, corner=self.corner or settings.corner)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `as_dict`; missing keys take the defaults.

        Raises:
            TypeError: A member is unknown.
            ValueError: There is no such corner or outcome.
        """
        corner = data.get("corner")
        flagged = Outcome(data.get("flagged", Outcome.DENY))
        return cls(
            **data | {"corner": None if corner is None else Corner(corner), "flagged": flagged}
        )
