"""Which installed distributions have something for Rushes."""

from __future__ import annotations

from inference.plugins.package import installed_packages
from tests.fakes import packages


def versions():
    return {package.name: package.version for package in installed_packages()}


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
