"""`python -m bot` is `rushes`."""

import sys
from pathlib import Path

# Python puts the working folder first, where anybody may have left a `numpy.py`.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from bot.cli.parser import main

sys.exit(main())
