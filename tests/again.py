"""Runs the few tests again that failed in `make test-all`, alone and three times each.

Eight thousand tests with real processes share two cores there, and on a machine that others use
too one may miss its turn. What passes alone is named at the end, to be mended; what fails again,
and more than a few failures, fail the run as before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".venv/.pytest/v/cache/lastfailed")
FEW = 3
TIMES = 3


def main() -> int:
    """Run the tests again that pytest's cache calls failed."""
    failed = sorted(json.loads(FAILED.read_text()))
    if not 0 < len(failed) <= FEW:
        print(f"{len(failed)} tests failed: too many to run again.")
        return 1
    for name in failed:
        for time in range(TIMES):
            print(f"\nAgain, {time + 1} of {TIMES}: {name}", flush=True)
            command = [sys.executable, "-m", "pytest", "--hypothesis-profile", "thorough", name]
            if subprocess.call(command) != 0:
                return 1
    print(f"\nFailed once beside others, and passed {TIMES} times alone. Mend them:")
    print("\n".join(failed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
