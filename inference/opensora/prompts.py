"""Captions: prompt cleaning and suffixes, as the model was trained with. No torch.

Besides plain prompts the original knows two notations: prompts per pass (`|0|text|2|text`) and a
JSON suffix with references. Both are here for parity; the suffix names files and URLs, so nothing
that takes text from strangers may use `split_json_suffix`.
"""

from __future__ import annotations

import json
import re
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_AESTHETIC_STEPS = (4, 4.5, 5, 5.5, 6, 6.5)
_AESTHETIC_LABELS = ("terrible", "very poor", "poor", "fair", "good", "very good", "excellent")
_MOTION_STEPS = (0.5, 2, 5, 10, 20)
_MOTION_LABELS = ("very low", "low", "fair", "high", "very high", "extremely high")

Score = float | str
"""A number on the original's scales, or the label itself."""


def aesthetic_label(score: Score) -> str:
    """Word for an aesthetic score; labels pass through."""
    return _label(score, _AESTHETIC_STEPS, _AESTHETIC_LABELS)


def motion_label(score: Score) -> str:
    """Word for a motion strength; labels pass through."""
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
    """Build what is appended to a prompt, with its leading space; empty when nothing is asked.

    A phrase that the prompt already has is left out. For images pass neither motion nor camera.
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
    """Clean a caption the way the training captions were, which includes lower case.

    The original applies its cleaning twice; so does this, through the same function as diffusers
    ships it. The import takes half a second, hence here.
    """
    from bs4 import MarkupResemblesLocatorWarning  # noqa: PLC0415 - see above
    from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import (  # noqa: PLC0415
        PixArtAlphaPipeline,
    )

    pipeline = PixArtAlphaPipeline.__new__(PixArtAlphaPipeline)  # its models are not needed
    once: Callable[[str], str] = pipeline._clean_caption  # noqa: SLF001 - the public way loads models
    with warnings.catch_warnings():
        # the HTML stripper remarks on prompts that look like a file name or a URL
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        return once(once(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPrompts:
    """One text for a clip of many passes, or several that take over from each other."""

    texts: tuple[str, ...]
    starts: tuple[int, ...] | None
    """First pass of each text; None for a plain prompt."""

    @classmethod
    def parse(cls, prompt: str) -> LoopPrompts:
        """Read `|0|text|2|text`; anything that does not start with `|0|` is plain."""
        if not prompt.startswith("|0|"):
            return cls(texts=(prompt,), starts=None)
        fields = prompt.split("|")[1:]
        return cls(
            texts=tuple(text.strip() for text in fields[1::2]),
            starts=tuple(int(start) for start in fields[::2]),
        )

    def merge(self) -> str:
        """Write the notation that `parse` reads."""
        if self.starts is None:
            return self.texts[0]
        return "".join(
            f"|{start}|{text}" for start, text in zip(self.starts, self.texts, strict=True)
        )

    def at(self, loop: int) -> str:
        """Return the text of a pass: the last one that has started."""
        if self.starts is None:
            return self.texts[0]
        return self.texts[bisect_right(self.starts, loop) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSuffix:
    """A prompt and what its JSON suffix said."""

    text: str
    reference_path: str = ""
    mask_strategy: str | None = None


def split_json_suffix(prompt: str) -> JsonSuffix:
    """Split `text{"reference_path": ..., "mask_strategy": ...}`. Not for untrusted text.

    Raises:
        ValueError: More than one brace opens, the JSON is broken, or it has other keys.
    """
    text, brace, rest = prompt.partition("{")
    if not brace:
        return JsonSuffix(text=prompt)
    if "{" in rest:
        raise ValueError("a prompt has at most one JSON suffix")
    values = json.loads(brace + rest)
    if unknown := values.keys() - {"reference_path", "mask_strategy"}:
        raise ValueError(f"unknown keys in the JSON suffix: {sorted(unknown)}")
    return JsonSuffix(text=text, **values)


def shortened(text: str, characters: int) -> str:
    """Cut to at most `characters`, at the end of a word where there is one."""
    if len(text) <= characters:
        return text
    head = text[:characters]
    if not text[characters].isspace():
        head = re.sub(r"(?<=\s)\S*$", "", head)
    return head.rstrip()
