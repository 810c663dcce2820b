"""Synonyms of flags and commands in other tools, and the names that bundled plugins add."""

from __future__ import annotations

from collections.abc import Mapping

BUNDLED_OPTIONS: Mapping[str, str] = {
    "style": "examples/plugins/style",
    "style-strength": "examples/plugins/style",
}
"""Options of plugins that come with the source, and their folders."""

BUNDLED_COMMANDS: Mapping[str, str] = {"style": "examples/plugins/style"}
"""Commands of bundled plugins, and their folders."""

_NAMES = {
    "frames": "seconds duration length time sec secs",
    "resolution": "size quality width height",
    "aspect": "ratio format orientation",
    "count": "n number amount variations versions copies",
    "cfg": "guidance guidance-scale scale",
    "negative": "without exclude",
    "image": "picture photo pic start init file input",
    "last": "end",
    "model": "engine checkpoint",
}

OPTION_NAMES: Mapping[str, str] = {
    word: flag for flag, words in _NAMES.items() for word in words.split()
}
"""Flags by the words that other tools have for them."""

BUTTONS = frozenset({"extend", "reroll", "edit", "retry", "info", "larger", "delete", "remove"})
"""Words for buttons of a clip, which are not commands."""

COMMANDS: Mapping[str, str] = {
    "models": "/rushes settings default.model",
    "model": "/rushes settings default.model",
    "options": "/rushes help generate",
    "jobs": "/rushes history",
    "clips": "/rushes history",
}
"""Commands here by the names that other tools have for them."""
