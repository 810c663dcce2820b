"""Watermark check, `python -m inference.media.watermark_check`: draws one, prints what fails.

Settings come as JSON on standard input; the failure, if any, goes as JSON to standard output.
"""

from __future__ import annotations

import json
import sys

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.domain.watermark import WatermarkSettings
from inference.media.watermark import Stamp

SMALLEST = Size(width=360, height=640)
"""An upright 360p clip: what fits on it fits on everything."""


def main() -> None:
    """Draw the mark, and print why it cannot be drawn."""
    settings = WatermarkSettings.from_dict(json.loads(sys.stdin.read()))
    try:
        Stamp.draw(settings, SMALLEST)
    except EngineError as error:
        sys.stdout.write(json.dumps(error.params))


if __name__ == "__main__":
    main()
