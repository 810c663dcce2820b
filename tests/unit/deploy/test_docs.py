"""Links, commands and tables in the docs are real."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from bot.cli import parser
from bot.config.sections import Config
from docs import which_model
from docs.reference import TARGET, reference

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TYPED = re.compile(r"(?:^\$ |`)(?:[A-Z_]+=\S+ )*rushes ([a-z]+[^`\n]*)", re.MULTILINE)
MADE = re.compile(r"(?:^\$ |`)make ([a-z-]+)", re.MULTILINE)
KEY = re.compile(r"`\[(\w+)\] (\w+)")

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_every_link_leads_somewhere(page):
    for target in LINK.findall(page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text("utf-8")), target


def test_every_verb_that_is_shown_exists(page):
    known = verbs(parser._parser("en", ()))
    for typed in TYPED.findall(page.read_text("utf-8")):
        words = typed.split()
        assert words[0] in known, typed
        inner = known[words[0]]
        if inner and len(words) > 1 and words[1].isalpha() and words[1].islower():
            assert words[1] in inner, typed


def verbs(made: argparse.ArgumentParser) -> dict[str, dict[str, object]]:
    """Return the verbs of a command line, each with its own."""
    found = {}
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found[name] = verbs(inner)
    return found


def test_every_target_of_make_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(MADE.findall(page.read_text("utf-8"))) <= targets | {"sure", "one"}


def test_every_key_of_the_config_exists(page):
    for section, key in KEY.findall(page.read_text("utf-8")):
        assert section in Config.model_fields, section
        fields = Config.model_fields[section].annotation.model_fields
        assert key in fields or section == "models", f"[{section}] {key}"


def test_the_reference_is_what_the_schema_says(page):
    if page == TARGET:
        assert page.read_text("utf-8") == reference(), "run: python -m docs.reference"


def test_the_advice_on_models_is_what_the_presets_say(page):
    if page == which_model.TARGET:
        assert page.read_text("utf-8") == which_model.page(), "run: python -m docs.which_model"
