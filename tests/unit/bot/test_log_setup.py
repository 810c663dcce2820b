from __future__ import annotations

import contextlib
import logging

import pytest

from inference.log_setup import LogStyle, configure_logging


@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_traceback_shows_no_local_variables(format_, capsys):
    configure_logging(LogStyle(format=format_))

    def fails():
        prompt = "my secret " + "prompt"
        raise ValueError(len(prompt))

    try:
        fails()
    except ValueError:
        logging.getLogger("test").exception("failed")

    written = capsys.readouterr().err
    assert "ValueError" in written
    assert "secret prompt" not in written


def test_a_log_file_on_a_full_disk_adds_nothing_to_standard_error(capsys):
    configure_logging(LogStyle(format="json", file="/dev/full"))
    logging.getLogger("test").error("failed")
    assert capsys.readouterr().err.count("\n") == 1
    with contextlib.suppress(OSError):
        logging.getLogger().handlers[-1].close()
    configure_logging(LogStyle())
