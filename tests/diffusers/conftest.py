"""Folders with tiny models, written once, and models loaded from them once."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from inference.domain.spec import Aspect, Resolution, Size, Spec  # noqa: E402
from inference.engines.diffusers_adapter.capabilities import capabilities_of  # noqa: E402
from inference.engines.diffusers_adapter.engine import DiffusersEngine  # noqa: E402
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of  # noqa: E402
from tests.diffusers import tiny_models  # noqa: E402
from tests.diffusers.renders import load  # noqa: E402


def pytest_collection_modifyitems(items):
    """Every test here loads the libraries; the names of those from elsewhere are not ours."""
    for item in items:
        if "tests/diffusers/" in str(item.path):
            item.add_marker(pytest.mark.model)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """On toys of this size two threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Return the folder of a tiny model by its name; nobody writes into it."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tiny_models.saved(name, tmp_path_factory.mktemp(name) / "model")
        return made[name]

    return folder


@pytest.fixture
def folder(folders, tmp_path):
    """Return a copy of a model's folder that a test may damage."""
    return shutil.copytree(folders("wan-14b"), tmp_path / "model")


@pytest.fixture(scope="session")
def models(folders):
    """Return a loaded tiny model by its name, the same one for every test."""
    made = {}

    def model(name):
        if name not in made:
            made[name] = load(folders(name))
        return made[name]

    return model


@pytest.fixture
def wan_14b(folders):
    """Return a loaded engine with a folder for text and one for images, and a spec for it."""
    entry = entry_of("wan-14b", DiffusersTable(), "wan-14b")
    key = (Resolution.P360, Aspect.WIDE)
    known = replace(capabilities_of(entry), sizes={key: Size(32, 16)})
    places = {"text": folders("wan-14b"), "image": folders("wan-14b-image")}
    engine = DiffusersEngine(entry, places, known)
    engine.load(lambda *_: None)
    return engine, Spec(
        prompt="a fox",
        model="wan-14b",
        resolution=key[0],
        aspect=key[1],
        frames=9,
        refine=False,
        seed=3,
        steps=2,
        cfg=4.0,
        loops=1,
        overlap_frames=1,
    )
