from __future__ import annotations

import logging

import pytest

from bot.config.sections import LogSection
from bot.log_setup import configure_logging


@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_traceback_shows_no_local_variables(format_, capsys):
    configure_logging(LogSection(format=format_))

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
