"""`python -m bot` is `rushes`."""

import sys

from bot.cli import main

sys.exit(main())
