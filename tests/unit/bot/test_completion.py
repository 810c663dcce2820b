"""Tab completion of the terminal chat."""

from __future__ import annotations

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from bot.chat.completion import CommandCompleter
from bot.control.client import Words
from commands.installation import Installation
from inference.engines.built_in import NANO, TESTCARD
from tests.fakes.commands import COMMANDS


@pytest.fixture(scope="module")
def completed():
    """Return the lines that Tab makes of a line."""
    models = (NANO.capabilities, TESTCARD.capabilities)
    installation = Installation(models=models, default_model="nano")
    words = Words(jobs=("7Q2FK9XD", "7Q2FK9XE"), presets=("tall", "tidy"))
    completer = CommandCompleter(COMMANDS, installation, lambda: words)

    def complete(line):
        found = completer.get_completions(Document(line), CompleteEvent())
        return [line[: len(line) + each.start_position] + each.text for each in found]

    return complete


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("/gen", ["/generate"]),
        ("/rushes fin", ["/rushes finish"]),
        ("/generate a ball --asp", ["/generate a ball --aspect"]),
        ("/generate a ball --see", ["/generate a ball --seed"]),
        ("/generate a ball --aspect 9", ["/generate a ball --aspect 9:16"]),
        ("/generate a ball --aspect=9", ["/generate a ball --aspect=9:16"]),
        ("/generate a ball --model t", ["/generate a ball --model testcard"]),
        ("/generate a ball --preset ti", ["/generate a ball --preset tidy"]),
        ("/generate a ball --preset no", ["/generate a ball --preset none"]),
        ("/generate t", []),
        ("/rushes show 7q", ["/rushes show 7Q2FK9XD", "/rushes show 7Q2FK9XE"]),
        ("/rushes finish 7Q2FK9XD", []),
        ("/rushes preset u", ["/rushes preset use"]),
        ("/rushes preset use ta", ["/rushes preset use tall"]),
        ("/rushes settings set default.as", ["/rushes settings set default.aspect"]),
        ("/rushes settings set quota", []),
        (
            "/rushes-admin settings set quota.u",
            ["/rushes-admin settings set quota.user"],
        ),
        ("/rushes help gen", ["/rushes help generate"]),
        ("a ball", []),
        ("", []),
    ],
)
def test_what_can_stand_there_is_offered(completed, line, wanted):
    assert completed(line) == wanted


def test_paths_of_pictures_are_completed(completed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my pictures").mkdir()
    for name in ("fox.png", "fox.txt", "my pictures/owl.HEIC"):
        (tmp_path / name).touch()
    assert completed("/animate it runs --image f") == ["/animate it runs --image fox.png"]
    assert completed("/animate it --image m") == ['/animate it --image "my pictures']
    inside = '/animate it --image "my pictures/'
    assert completed(inside) == [inside + "owl.HEIC"]
    assert completed(f"/animate it --last {tmp_path}/fox.p") == [
        f"/animate it --last {tmp_path}/fox.png"
    ]
