import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from inference.domain.errors import UserError
from inference.engines import built_in
from inference.engines.registry import Models

ROOT = Path(__file__).parents[3]


def run(code, *extra_paths):
    """Run code in a fresh interpreter, with more places to find packages in."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *extra_paths)))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_data_of_every_model_is_had_without_the_heavy_libraries():
    done = run(
        "import sys\n"
        "from inference.engines.registry import Models\n"
        "models = Models()\n"
        "for name in models.names(): assert models.capabilities(name).name == name\n"
        "print({'torch', 'av', 'PIL', 'numpy', 'transformers'} & set(sys.modules))"
    )

    assert done.stdout.strip() == "set()", done.stderr


def test_an_unknown_model_is_the_persons_error_and_names_the_known_ones():
    for ask in (Models().capabilities, Models().create):
        with pytest.raises(UserError) as caught:
            ask("sora-9000")
        assert caught.value.code == "model.not_known"
        assert caught.value.params["name"] == "sora-9000"
        assert "testcard" in caught.value.params["known"]


@pytest.fixture
def third_party(tmp_path):
    """An installed package that offers a model and does not hide that it was imported."""
    metadata = tmp_path / "extra-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[rushes.models]\nextra = extra:ENTRY\nwrong = extra:WRONG\ntestcard = extra:ENTRY\n"
    )
    (tmp_path / "extra.py").write_text(
        "from inference.engines.built_in import TESTCARD\n"
        "from inference.engines.registry import ModelEntry\n"
        "ENTRY = ModelEntry(capabilities=TESTCARD.with_name('extra').capabilities,\n"
        "                   factory=lambda options: ('engine', dict(options.values)))\n"
        "WRONG = 42\n"
    )
    return tmp_path


@pytest.mark.process
def test_a_third_party_model_is_listed_without_being_imported(third_party):
    done = run(
        "import sys\n"
        "from inference.engines.registry import Models\n"
        "print(Models().names().count('testcard'), 'extra' in Models().names())\n"
        "print('extra' in sys.modules)",
        third_party,
    )

    assert done.stdout.split() == ["1", "True", "False"], done.stderr


@pytest.mark.process
def test_a_third_party_model_is_made_from_its_entry(third_party):
    done = run(
        "from inference.engines.registry import Models\n"
        "models = Models({'extra': {'a': 1}})\n"
        "print(models.capabilities('extra').name, models.capabilities('testcard').name)\n"
        "print(models.create('extra'))",
        third_party,
    )

    log, *printed = done.stdout.splitlines()
    assert "plugin=testcard" in log, "the name is taken"
    assert printed == ["extra testcard", "('engine', {'a': 1})"], done.stderr


@pytest.mark.process
def test_an_entry_point_that_is_no_model_says_so(third_party):
    done = run(
        "from inference.engines.registry import Models\nModels().capabilities('wrong')", third_party
    )

    assert "extra:WRONG is not a ModelEntry" in done.stderr


def test_an_entry_of_the_config_is_made_like_its_engine():
    models = Models(
        {
            "quick": {"engine": "testcard", "steps": 4, "file_fps": 30, "lengths": [5, 10]},
            "long": {
                "engine": "testcard",
                "lengths": {"offset": 2, "step": 5, "shortest": 7, "longest": 102},
            },
        }
    )

    assert models.names() == (*built_in.ENTRIES, "quick", "long")
    quick, long = models.capabilities("quick"), models.capabilities("long")
    assert (quick.name, quick.file_fps, [*quick.lengths]) == ("quick", 30, [5, 10])
    assert (long.lengths.values[:3], max(long.lengths)) == ((1, 7, 12), 102)
    assert long.defaults["frames"] in long.lengths
    assert models.entry("quick").values["steps"] == 4
    for name in ("quick", "long"):
        models.create(name).load(lambda _done, _part: None)


@pytest.mark.parametrize(
    "table",
    [
        {"lengths": {"offset": 2, "step": 5, "shortest": 8, "longest": 9}},
        {"lengths": []},
        {"lengths": [97, 49]},
        {"lengths": {"step": 0, "shortest": 8, "longest": 90}},
        {"file_fps": 0},
        {"setps": 4},
    ],
)
def test_a_table_that_gives_no_model_is_refused(table):
    with pytest.raises(ValidationError):
        Models({"mine": {"engine": "testcard", **table}}).entry("mine")


def test_an_engine_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UserError) as caught:
        Models({"mine": {"engine": "sora"}}).entry("mine")
    assert caught.value.code == "model.unknown_engine"
    assert caught.value.params["known"][:3] == ["nano", "opensora", "testcard"]


def test_a_model_that_ships_may_be_changed_by_its_own_name_but_not_be_another_one():
    changed = Models({"wan": {"engine": "diffusers", "preset": "wan-small"}}).entry("wan")
    assert changed.capabilities.title == Models().capabilities("wan-small").title
    with pytest.raises(UserError) as caught:
        Models({"nano": {"engine": "testcard"}}).entry("nano")
    assert caught.value.code == "model.taken"


def test_the_config_sets_the_default_speed_of_an_open_sora_model():
    models = Models({"opensora": {"speed": "fast"}, "nano": {"speed": "balanced"}, "plain": {}})

    assert models.capabilities("opensora").option("speed").default == "fast"
    assert models.capabilities("nano").option("speed").default == "balanced"
    assert Models().capabilities("opensora").option("speed").default == "exact"
    with pytest.raises(ValidationError, match="exact"):
        Models({"nano": {"speed": "fast"}}).entry("nano")  # it runs on the CPU
