"""Watermark check, `python -m inference.media.watermark_check`: draws one and prints the error.

Reads settings as JSON from standard input; prints the error, if any, as JSON to standard output.
"""

from __future__ import annotations

import json
import sys

from pydantic import TypeAdapter

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.media.watermark import Stamp

SMALLEST = Size(width=360, height=640)
"""Size of a portrait 360p clip, the narrowest; a mark that fits it fits all others."""


def main() -> None:
    """Draw the mark, and print the error if it cannot be drawn."""
    # Not `validate_json`: it refuses paths that are not UTF-8.
    data = json.loads(sys.stdin.read())
    settings = TypeAdapter(WatermarkSettings).validate_python(data, extra="forbid")
    try:
        Stamp.draw(settings, SMALLEST)
    except EngineError as error:
        sys.stdout.write(json.dumps(error.params))


if __name__ == "__main__":
    main()
