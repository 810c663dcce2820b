"""Writes docs/commands.md from the schema: `python -m docs.reference`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from commands.catalog import built_in_commands
from commands.handlers.help import usage
from commands.option_set import OptionSet
from commands.policy.settings import SettingSet
from commands.schema import Option
from commands.text.messages import text
from commands.text.option_texts import option_help
from inference.engines.registry import Models

TARGET = Path(__file__).parent / "commands.md"

_HEAD = """# Commands, options and settings

Written from the schema by `python -m docs.reference`. `/rushes help` says the same in your
language, for the models that are installed.
"""


def reference() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    models = Models()
    options = OptionSet(models.capabilities(name) for name in models.names())
    yield _HEAD
    yield "## Commands\n"
    yield "| command | does |"
    yield "| --- | --- |"
    for command in built_in_commands(options):
        taken = " ".join(
            usage(option)
            for option in command.options
            if option.flag is None and option.name not in command.fixed
        )
        typed = f"{command.typed} {taken}".strip()
        yield f"| `{typed}` | {command.help('en')} |"
    yield "\n## Options of a clip\n"
    yield "| option | does | values | default |"
    yield "| --- | --- | --- | --- |"
    for option in options.order:
        if option.flag is not None:
            default = "" if option.default is None else str(option.default)
            yield f"| `{usage(option)}` | {_help(option)} | {_values(option)} | {default} |"
    yield "\n## Settings\n"
    yield "Admins set them, for the server, a channel or a role:"
    yield "`/rushes-admin settings set KEY VALUE`.\n"
    yield "| key | is | values | default |"
    yield "| --- | --- | --- | --- |"
    for setting in SettingSet(options).by_key.values():
        default = "" if setting.default is None else str(setting.default)
        about = _help(setting.sets) if setting.sets else text(setting.help_key, "en")
        yield f"| `{setting.key}` | {about} | {_values(setting.option)} | {default} |"


def _help(option: Option) -> str:
    return option_help(option, "en").replace("|", "\\|")


def _values(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    if option.range is not None:
        return f"{option.range.lowest} to {option.range.highest}"
    return ""


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
