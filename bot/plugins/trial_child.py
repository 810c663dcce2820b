"""Import trial, the child: imports entry points, and says on its pipe how each went."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from importlib.metadata import EntryPoint

READY = "ready"
"""First line: from here on, time counts."""


def main() -> None:
    """Import the entry points that the command line names; plugins cannot write to the pipe."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # What nearly every plugin imports: that it takes long is not the plugin's fault.
    import commands.context  # noqa: F401, PLC0415
    import inference.effects.base  # noqa: F401, PLC0415
    from inference.plugins.problem import PluginError, Problem  # noqa: PLC0415

    print(READY, file=pipe, flush=True)
    known = set(threading.enumerate())
    for group, name, value in json.loads(sys.argv[1]):
        problem = None
        try:
            EntryPoint(name=name, value=value, group=group).load()
        except BaseException as error:  # noqa: BLE001 - whatever a plugin's module raises
            problem = Problem.of(error)
        threads = {each for each in threading.enumerate() if not each.daemon} - known
        if threads:  # Python waits for them, so Rushes would not stop
            started = PluginError("its import started a thread that is not a daemon")
            problem = problem or Problem.of(started)
            known |= threads
        print(json.dumps([group, name, problem and asdict(problem)]), file=pipe, flush=True)
    os._exit(0)  # threads that a module has started would keep the process


if __name__ == "__main__":
    main()
