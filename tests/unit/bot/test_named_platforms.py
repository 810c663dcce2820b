"""Every platform that tests, examples and docs name as `module:factory` would pass a start.

A start refuses a platform that lacks a member of `Platform`, and then no test has a bot.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from bot.config.sources import load_config
from bot.registry import Registry
from tests.chaos.platform import ADDRESS

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
LISTS = re.compile(r"platforms[\"']?\s*[=:]\s*\[([^\]]*)\]")
FACTORY = re.compile(r"[\"']([\w.]+:\w+)[\"']")
NAMES = sorted(
    {
        name
        for folder in (ROOT / "tests", EXAMPLES, ROOT / "docs")
        for path in folder.rglob("*")
        if path.suffix in {".py", ".md", ".toml"}
        for found in LISTS.findall(path.read_text(encoding="utf-8"))
        for name in FACTORY.findall(found)
    }
)
NO_MODULES = {"mattermost.bridge:make", "My.module:Make", "no.such:module"}
"""Named where a test wants a name and nothing else, or a mistake."""


def test_those_that_are_known_are_found():
    chaos = {"tests.chaos.platform:nonce", "tests.chaos.platform:upload"}
    assert {*chaos, "line_chat:make"} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_MODULES])
def test_it_has_all_that_a_platform_has(name, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("LINE_CHAT_PORT", "0")
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:1")
    assert find_spec(name.partition(":")[0]), name
    config = load_config(None, overrides={"bot": {"data_dir": tmp_path}})
    assert Registry.load().platform(name, config) is not None
