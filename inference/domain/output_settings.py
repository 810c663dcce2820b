"""Per-job output settings, copied from the guild when the job is accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inference.domain.untrusted_text import beginning
from inference.domain.verdict import Outcome
from inference.domain.watermark import MAXIMUM_TEXT, Corner, WatermarkSettings

MAXIMUM_SUFFIX = 20
"""Characters behind the installation's own word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """Watermark, recipe privacy, moderation outcome, language and time zone of a job."""

    corner: Corner | None = None
    """Where the mark sits, if not where the installation puts it."""
    suffix: str = ""
    """Written behind the installation's word; a logo stands alone."""
    mark_images: bool = True
    """Whether images carry the mark, as clips do."""
    prompt_in_recipe: bool = True
    """Whether the words that made the file can be read in it."""
    flagged: Outcome = Outcome.DENY
    """What to do with it when a safety check flags it."""
    language: str | None = None
    """Of its card and of the message that brings it, if not the installation's."""
    zone: str | None = None
    """IANA time zone of the times on its card, if the guild set one."""

    def apply_to_watermark(self, settings: WatermarkSettings) -> WatermarkSettings:
        """Return the installation's watermark settings with this job's changes."""
        text = beginning(f"{settings.text} {self.suffix}".strip(), MAXIMUM_TEXT)
        corner = self.corner or settings.corner
        return replace(settings, text=text, corner=corner, images=self.mark_images)
