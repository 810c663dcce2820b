"""Prompt cleaning and caption suffixes, in the form of the training captions. No torch."""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence

from inference.domain.untrusted_text import beginning

_AESTHETIC_STEPS = (4, 4.5, 5, 5.5, 6, 6.5)
_AESTHETIC_LABELS = ("terrible", "very poor", "poor", "fair", "good", "very good", "excellent")
_MOTION_STEPS = (0.5, 2, 5, 10, 20)
_MOTION_LABELS = ("very low", "low", "fair", "high", "very high", "extremely high")

Score = float | str
"""A number on the original's scale, or a label."""


def aesthetic_label(score: Score) -> str:
    """Return the label of an aesthetic score; labels are returned unchanged."""
    return _label(score, _AESTHETIC_STEPS, _AESTHETIC_LABELS)


def motion_label(score: Score) -> str:
    """Return the label of a motion strength; labels are returned unchanged."""
    return _label(score, _MOTION_STEPS, _MOTION_LABELS)


def _label(score: Score, steps: Sequence[float], labels: Sequence[str]) -> str:
    return score if isinstance(score, str) else labels[bisect_right(steps, score)]


def suffix(
    prompt: str,
    *,
    aesthetic: Score | None = None,
    motion: Score | None = None,
    camera: str | None = None,
) -> str:
    """Build the suffix of a prompt, with a leading space; empty without options.

    Phrases that the prompt already contains are left out. Images take neither motion nor camera.
    """
    parts = []
    if aesthetic is not None and "aesthetic score is" not in prompt:
        parts.append(f" The aesthetic score is {aesthetic_label(aesthetic)}.")
    if motion is not None and "motion strength is" not in prompt:
        parts.append(f" The motion strength is {motion_label(motion)}.")
    if camera is not None and "camera motion:" not in prompt:
        parts.append(f" camera motion: {camera}.")
    return "".join(parts)


def clean(text: str) -> str:
    """Clean a caption like the training captions, which includes lower case.

    The original applies its cleaning twice, and so does this, with diffusers' copy of the same
    function. The import is local because it takes half a second.
    """
    from bs4 import MarkupResemblesLocatorWarning  # noqa: PLC0415 - see above
    from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import PixArtAlphaPipeline  # noqa: PLC0415

    pipeline = PixArtAlphaPipeline.__new__(PixArtAlphaPipeline)  # without its models
    once: Callable[[str], str] = pipeline._clean_caption  # noqa: SLF001 - the public way loads models
    with warnings.catch_warnings():
        # BeautifulSoup warns of prompts that look like a file name or a URL
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        return once(once(text))


def shorten_text(text: str, characters: int) -> str:
    """Cut a text to at most `characters`, at the end of a word if possible."""
    if len(text) <= characters:
        return text
    head = beginning(text, characters)
    if not text[len(head)].isspace():
        head = re.sub(r"(?<=\s)\S*$", "", head)
    return head.rstrip()
