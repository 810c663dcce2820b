"""Language detection for prompts."""

from __future__ import annotations

import asyncio
import functools
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped] # has no types

FOREIGN_LETTERS = 0.2
"""Share of letters that are not Latin from which on no statistics are needed."""

LEAST_WORDS = 4
"""Of a Latin text that is judged at all: "sushi chef" and "tango" are no evidence."""

SURE = 0.88
"""Probability of another language, all others considered."""

UNLIKELY = 0.02
"""Probability of English above which a prompt counts as English."""

LANGUAGES = frozenset(  # ISO 639-1
    "ca cs da de en es et fi fr hr hu id is it lt lv nl nn no pl pt ro sk sl sv tr vi".split()  # noqa: SIM905 - a line, not thirty
)
"""In Latin letters and likely to be typed; the rest would only blur the verdict on short texts."""

_WORD = re.compile(r"[^\W\d_]+")


class Languages:
    """Language detector; the process loads its model on first use.

    The verdict is careful: a foreign prompt taken for English is no worse than before, an English
    one taken for foreign confuses people.
    """

    def __init__(self) -> None:
        self._loading = asyncio.Lock()

    async def is_foreign(self, text: str) -> bool:
        """Return whether a text is certainly not English."""
        letters = [letter for letter in text if letter.isalpha()]
        foreign = sum(not _is_latin(letter) for letter in letters)
        if letters and foreign / len(letters) >= FOREIGN_LETTERS:
            return True
        if len(_WORD.findall(text)) < LEAST_WORDS:
            return False
        async with self._loading:
            return await asyncio.to_thread(self._judge, text)

    def _judge(self, text: str) -> bool:
        scores = _identifier().rank(text)
        (best, probability), english = scores[0], dict(scores)["en"]
        return bool(best != "en" and probability >= SURE and english < UNLIKELY)


@functools.cache
def _identifier() -> LanguageIdentifier:
    """Load the model, without the tables of languages that are not asked about: 50 MB, 1 s."""
    import numpy as np  # noqa: PLC0415 - most processes never need either
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier  # noqa: PLC0415
    from py3langid.modelio import load_model  # type: ignore[import-untyped] # noqa: PLC0415

    features, priors, names, next_states, rows, outputs = load_model(MODEL_DIR / MODEL_FILE)
    kept = [index for index, name in enumerate(names) if name in LANGUAGES]
    return LanguageIdentifier(
        np.asarray(features)[:, kept],
        np.asarray(priors)[kept],
        [names[index] for index in kept],
        next_states,
        outputs,
        norm_probs=True,
        tk_row=rows,
    )


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH LATIN"))
