"""Which installed distributions have something for Rushes."""

from __future__ import annotations

import pytest

from inference.plugins.package import find_installed_packages
from tests.fakes import packages


def versions():
    return {package.name: package.version for package in find_installed_packages()}


def test_a_distribution_for_other_programs_is_none_of_ours(tmp_path, monkeypatch):
    packages.make(tmp_path, "mine", "", effects={"mine": "effect"})
    packages.make(tmp_path, "theirs", "")
    info = tmp_path / "theirs-1.0.dist-info" / "entry_points.txt"
    info.write_text("[console_scripts]\nrushes.theirs = theirs:main\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = versions()
    assert found.get("mine") == "1.0"
    assert "theirs" not in found


def test_of_two_distributions_with_one_name_the_first_on_the_path_counts(tmp_path, monkeypatch):
    for folder, version, groups in (
        ("old", "1.0", {"effects": {"mine": "effect"}}),
        ("new", "2.0", {}),
    ):
        (tmp_path / folder).mkdir()
        packages.make(tmp_path / folder, "mine", "", version=version, **groups)
        monkeypatch.syspath_prepend(tmp_path / folder)
    assert "mine" not in versions()
    monkeypatch.syspath_prepend(tmp_path / "old")
    assert versions().get("mine") == "1.0"


@pytest.mark.parametrize("folder", ["~ine-1.0.dist-info", "other-1.0.dist-info"])
def test_a_distribution_in_a_folder_of_another_name_is_found(tmp_path, monkeypatch, folder):
    packages.make(tmp_path, "mine", "", effects={"mine": "effect"})
    (tmp_path / "mine-1.0.dist-info").rename(tmp_path / folder)
    monkeypatch.syspath_prepend(tmp_path)
    assert versions().get("mine") == "1.0"


def test_what_an_interrupted_upgrade_left_is_not_what_counts(tmp_path, monkeypatch):
    packages.make(tmp_path, "mine", "", effects={"mine": "effect"})
    (tmp_path / "mine-1.0.dist-info").rename(tmp_path / "~ine-1.0.dist-info")
    packages.make(tmp_path, "mine", "", version="2.0", effects={"mine": "effect"})
    monkeypatch.syspath_prepend(tmp_path)
    assert versions().get("mine") == "2.0"


def test_a_distribution_without_metadata_breaks_nothing(tmp_path, monkeypatch):
    packages.make(tmp_path, "mine", "", effects={"mine": "effect"})
    (tmp_path / "mine-1.0.dist-info" / "METADATA").unlink()
    packages.make(tmp_path, "other", "", effects={"other": "effect"})
    monkeypatch.syspath_prepend(tmp_path)
    assert versions().get("other") == "1.0"
