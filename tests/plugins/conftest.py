"""A place for distributions, and a config that finds them."""

from __future__ import annotations

import sys

import pytest

from bot.config.effective import toml
from bot.config.sources import load_config
from bot.plugins import trial
from inference.store.sqlite import migrate


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where distributions are installed, found by this process and its children."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_tried", {})
    migrate._steps.cache_clear()
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def config_of(tmp_path, place):
    """Return what reads a config file with the usual sections, and more of them."""

    def made(**sections):
        bot = {"data_dir": str(tmp_path / "data"), "platforms": ["terminal"]}
        models = {"installed": ["testcard"], "testcard": {"step_seconds": 0, "steps": 2}}
        file = tmp_path / "config.toml"
        tables = {"bot": bot, "models": models, **sections}
        file.write_text("\n".join(f"{name} = {toml(table)}" for name, table in tables.items()))
        return load_config(file)

    return made
