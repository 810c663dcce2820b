import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.domain.errors import UserError
from inference.engines import registry
from inference.engines.registry import ModelOptions

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


def test_data_of_every_model_is_had_without_the_heavy_libraries():
    done = run(
        "import sys\n"
        "from inference.engines import registry\n"
        "for name in registry.names(): assert registry.capabilities(name).name == name\n"
        "print({'torch', 'av', 'PIL', 'numpy', 'transformers'} & set(sys.modules))"
    )

    assert done.stdout.strip() == "set()", done.stderr


def test_an_unknown_model_is_the_persons_error_and_names_the_known_ones():
    for ask in (registry.capabilities, lambda name: registry.create(name, ModelOptions())):
        with pytest.raises(UserError) as caught:
            ask("sora-9000")
        assert caught.value.code == "model.unknown"
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
        "from dataclasses import replace\n"
        "from inference.engines.registry import ModelEntry, capabilities\n"
        "ENTRY = ModelEntry(capabilities=replace(capabilities('testcard'), name='extra'),\n"
        "                   factory=lambda options: ('engine', dict(options.values)))\n"
        "WRONG = 42\n"
    )
    return tmp_path


def test_a_third_party_model_is_listed_without_being_imported(third_party):
    done = run(
        "import sys\n"
        "from inference.engines import registry\n"
        "print(registry.names().count('testcard'), 'extra' in registry.names())\n"
        "print('extra' in sys.modules)",
        third_party,
    )

    assert done.stdout.split() == ["1", "True", "False"], done.stderr


def test_a_third_party_model_is_made_from_its_entry(third_party):
    done = run(
        "from inference.engines import registry\n"
        "print(registry.capabilities('extra').name, registry.capabilities('testcard').name)\n"
        "print(registry.create('extra', registry.ModelOptions(values={'a': 1})))",
        third_party,
    )

    assert done.stdout.splitlines() == ["extra testcard", "('engine', {'a': 1})"], done.stderr


def test_an_entry_point_that_is_no_model_says_so(third_party):
    done = run(
        "from inference.engines import registry\nregistry.capabilities('wrong')", third_party
    )

    assert "entry point 'wrong' of rushes.models is not a ModelEntry" in done.stderr
