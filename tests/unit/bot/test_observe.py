from __future__ import annotations

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
