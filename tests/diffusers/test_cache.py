"""FirstBlockCache as an option of a clip: another clip, and the next one as without it."""

import numpy as np
import pytest

from inference.diffusers_pipelines import hooks
from inference.diffusers_pipelines.families import FAMILIES
from inference.diffusers_pipelines.memory_plan import Placement, Plan
from inference.domain.errors import Cancelled
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from tests.diffusers.renders import load, render, request

pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
    pytest.mark.filterwarnings("ignore:CPU Autocast:UserWarning"),
    pytest.mark.slow,
]


@pytest.fixture
def greedy(monkeypatch):
    """Leave out whatever can be, for on noise nothing is nearly the same."""
    monkeypatch.setattr(hooks, "CACHE_THRESHOLD", 1e9)


@pytest.mark.usefixtures("greedy")
@pytest.mark.parametrize("name", ["wan-5b", "wan-14b", "ltx-video", "cogvideox", "mochi"])
def test_with_a_cache_another_clip_comes_out_and_the_next_is_as_ever(models, name):
    model = models(name)
    plain = render(model, request(name)).frames
    first, again = (render(model, request(name, cache=True)).frames for _ in range(2))
    assert not np.array_equal(plain, first)
    assert np.array_equal(first, again)

    def cancel(done):
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        render(model, request(name, cache=True, seed=9), on_step=cancel)
    assert np.array_equal(plain, render(model, request(name)).frames)


@pytest.mark.usefixtures("greedy")
@pytest.mark.parametrize("placement", list(Placement))
def test_a_cache_goes_with_every_plan(folders, models, placement):
    wanted = request("wan-14b", cache=True)
    expected = render(models("wan-14b"), wanted).frames
    model = load(folders("wan-14b"))
    for _ in range(2):
        frames = render(model, wanted, plan=Plan(placement=placement)).frames
        assert np.abs(frames.astype(int) - expected).max() <= 1


def test_it_is_offered_where_it_does_something():
    offered = {
        name
        for name in ("wan", "wan-14b", "wan-small", "wan-vace", "ltx", "kandinsky")
        if capabilities_of(entry_of(name, DiffusersTable(), name)).option("cache")
    }
    assert offered == {"wan", "wan-14b", "wan-small"}
    assert {family.name for family in FAMILIES if family.caches} == {
        "wan",
        "ltx-video",
        "cogvideox",
        "mochi",
    }
