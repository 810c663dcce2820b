"""Compiled blocks: the same clip, hooks as ever; without a compiler a warning, once."""

from dataclasses import replace

import numpy as np
import pytest
import structlog
import torch

from inference.diffusers_pipelines import compilation
from inference.diffusers_pipelines.families import FAMILIES
from inference.diffusers_pipelines.memory_plan import Placement, Plan
from inference.diffusers_pipelines.pipeline import Settings
from inference.domain.errors import Cancelled
from inference.domain.reference import Prepared
from inference.domain.render import LATENTS_NAME
from inference.domain.spec import Resolution
from inference.engines.registry import Models
from inference.media.provenance import read_recipe
from inference.workers.render import Engines, render_task
from tests.diffusers import tiny_models
from tests.diffusers.renders import load, render, request
from tests.process.worker_samples import task

pytestmark = pytest.mark.slow


@pytest.fixture
def graphs(monkeypatch):
    """Trace without a compiler, and return the graphs."""
    found = []

    def backend(graph, _inputs):
        found.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(compilation, "BACKEND", backend)
    yield found
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wan-5b", "ltx2"])
def test_a_compiled_clip_is_the_same(folders, models, graphs, name):
    model = load(folders(name), Settings(compiled=True))
    plain = render(models(name), request(name)).frames
    for _ in range(2):
        frames = render(model, request(name)).frames
        assert np.abs(frames.astype(int) - plain).max() <= 1
    first = len(graphs)
    assert first
    checks = []

    def check():
        checks.append(1)
        if len(checks) == 40:
            raise Cancelled

    with pytest.raises(Cancelled):
        render(model, request(name, seed=9), check=check)
    assert np.array_equal(frames, render(model, request(name)).frames)
    assert len(graphs) == first  # another render compiles nothing anew
    transformer = model.pipeline_for(request(name)).transformer
    assert not [one for one in transformer.modules() if "forward" in vars(one)]


def test_a_compiler_that_fails_is_a_warning_once(folders, models, monkeypatch):
    def backend(_graph, _inputs):
        raise RuntimeError("no C++ compiler was found")

    torch._dynamo.reset()
    monkeypatch.setattr(compilation, "BACKEND", backend)
    model = load(folders("wan-5b"), Settings(compiled=True))
    with structlog.testing.capture_logs() as logs:
        clips = [render(model, request("wan-5b")).frames for _ in range(2)]
    assert [one["event"] for one in logs] == ["compile.not_used"]
    assert logs[0]["log_level"] == "warning"
    plain = render(models("wan-5b"), request("wan-5b")).frames
    assert all(np.array_equal(clip, plain) for clip in clips)
    torch._dynamo.reset()


def test_a_block_of_too_many_graphs_runs_eagerly_with_a_warning(graphs):
    """torch gives a block up after so many graphs, and only its own log says so."""

    class Block(torch.nn.Module):
        def forward(self, x):
            return x * 2

    class Network(torch.nn.Module):
        _repeated_blocks = ("Block",)

        def __init__(self):
            super().__init__()
            self.block = Block()

    network, compiler = Network(), compilation.BlockCompiler(wanted=True)
    types = [torch.float32, torch.float64, torch.int32]
    with (
        torch._dynamo.config.patch(recompile_limit=2),
        structlog.testing.capture_logs() as logs,
        compiler.over([network]),
    ):
        for dtype in (*types, *types):
            assert torch.equal(
                network.block(torch.ones(2, dtype=dtype)), torch.full((2,), 2.0).to(dtype)
            )
    assert [one["event"] for one in logs] == ["compile.not_used"]
    assert not compiler.active
    assert len(graphs) == 2


def test_a_class_without_such_blocks_runs_as_it_is(folders, models, graphs):
    model = load(folders("cogvideox"), Settings(compiled=True))
    with structlog.testing.capture_logs() as logs:
        clips = [render(model, request("cogvideox")).frames for _ in range(2)]
    assert [one["error"] for one in logs] == ["no_blocks"]
    assert not graphs
    assert np.array_equal(clips[0], render(models("cogvideox"), request("cogvideox")).frames)


def test_layers_that_come_one_by_one_are_not_compiled(folders, graphs):
    model = load(folders("wan-5b"), Settings(compiled=True))
    render(model, request("wan-5b"), plan=Plan(placement=Placement.GROUP_OFFLOAD))
    assert not graphs


def test_families_say_whether_their_classes_name_blocks(models):
    for name in tiny_models.BUILDERS:
        transformer = models(name).pipeline_for(request(name)).transformer
        family = models(name).folder.family
        assert family.compiles == bool(compilation.find_repeated_blocks(transformer)), name
        assert family in FAMILIES


def test_the_recipe_names_it_where_it_does_something(folders):
    assert Models({"wan": {"compile": True}}).entry("wan").recipe == {"compile": True}
    table = {"engine": "diffusers", "path": str(folders("cogvideox")), "compile": True}
    assert Models({"mine": table}).entry("mine").recipe == {}


@pytest.fixture
def files(folders, tmp_path, graphs):
    """Render a clip to a file with a compiler, and return what its recipe says of its making."""
    table = {"engine": "diffusers", "path": str(folders("wan-5b")), "compile": True}
    made = []

    def file(engines=None, **changes):
        values = {"resolution": Resolution.P360, "frames": 5, "steps": 1, "overlap_frames": 1}
        job = task(tmp_path, f"job{len(made)}", model="mine", options={}, **values | changes)
        if changes:
            job = replace(job, latents=made[0] / LATENTS_NAME)
        manifest = render_task(job, engines or Engines(Models({"mine": table})), lambda _: None)
        made.append(job.directory)
        return read_recipe(job.directory / manifest.name).get("made_with")

    return file


@pytest.mark.slow
def test_a_file_names_it_only_where_it_worked(files, monkeypatch):
    assert files() == {"compile": True}

    def backend(_graph, _inputs):
        raise RuntimeError("no C++ compiler was found")

    torch._dynamo.reset()
    monkeypatch.setattr(compilation, "BACKEND", backend)
    assert files(latents=Prepared(LATENTS_NAME), after_frames=5) is None
    assert files() is None


@pytest.mark.slow
def test_a_file_does_not_name_it_where_layers_came_one_by_one(files, monkeypatch):
    plan = Plan(placement=Placement.GROUP_OFFLOAD)
    monkeypatch.setattr("inference.engines.diffusers_adapter.engine._on_cpu", lambda *_: plan)
    assert files() is None
