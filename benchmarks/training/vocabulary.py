"""Writes the vocabulary file of trained weights.

    python -m benchmarks.training.vocabulary RUN/weights --without rocket "plain brown"

Training writes it too. Run it by hand to leave out names that, by the evaluation, the weights do
not draw. The file of the bundled weights does not change when scenes are added here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.training.reporting import say
from benchmarks.training.world import korean
from benchmarks.training.world.backgrounds import COLOURS
from benchmarks.training.world.emoji import EMOJI
from benchmarks.training.world.scenes import HIDING, Move
from benchmarks.training.world.words import MOVES, SILENT, THINGS, WHERE, plural

FILE_NAME = "vocabulary.json"

_CAMERA = (
    *("pan right", "pan left", "tilt up", "tilt down", "zoom in", "zoom out", "static"),
    *("camera motion", "motion strength", "aesthetic score"),
)
_EXAMPLES = MappingProxyType(
    {
        "fox": ("foxes", "여우"),
        "cat": ("cats", "고양이"),
        "car": ("cars", "자동차"),
        "ball": ("balls", "공"),
        "star": ("stars", "별"),
        "fish": ("fish", "물고기"),
        "boat": ("boats", "배"),
        "house": ("houses", "집"),
    }
)
"""Lists of what nano draws, shown to people, in English and Korean."""


def words(*, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the vocabulary of all scenes, as written to the file.

    Args:
        without: Names of things and places that the weights do not draw.
    """

    def said(names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        each = {str(name): list(dict.fromkeys(ways)) for name, ways in names.items()}
        return {name: ways for name, ways in each.items() if name not in without}

    things = {name: (*nouns, *map(plural, nouns)) for name, nouns in THINGS.items()}
    examples = [told for name, told in _EXAMPLES.items() if name not in without]
    kinds = {
        "colours": said({colour: (colour,) for colour in COLOURS}),
        "things": said(things),
        "moves": said({move.value: ways for move, ways in MOVES.items()}),
        "places": said(WHERE),
    }
    names = {
        kind: {name: list(stems) for name, stems in each.items() if name in kinds[kind]}
        for kind, each in korean.KOREAN.items()
    }
    emoji = {
        kind: {name: list(shown) for name, shown in each.items() if name in kinds[kind]}
        for kind, each in EMOJI.items()
    }
    hiding = [list(pair) for pair in sorted(HIDING) if pair[1] in kinds["places"]]
    return {
        "draws": {"en": [english for english, _ in examples], "ko": [one for _, one in examples]},
        **kinds,
        "camera": list(_CAMERA),
        "hiding": hiding,
        "still": Move.STILL.value,
        "silent": {"en": list(SILENT), "ko": list(korean.SILENT)},
        "emoji": emoji,
        "korean": {"names": names, "endings": list(korean.ENDINGS)},
    }


def write(folder: Path, *, without: Collection[str] = ()) -> None:
    """Write the vocabulary file to a folder of weights."""
    text = json.dumps(words(without=without), ensure_ascii=False, indent=1)
    (folder / FILE_NAME).write_text(text + "\n", "utf-8")


def main() -> None:
    """Write a vocabulary from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path, help="folder of the weights")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=[*THINGS, *WHERE], metavar="NAME"
    )
    options = parser.parse_args()
    write(options.weights, without=options.without)
    say(str(options.weights / FILE_NAME))


if __name__ == "__main__":
    main()
