"""Recorded evaluations give what the network gives, and keep no more memory than they may.

A stand-in records by running the same function again on the same inputs, as a GPU does.
"""

import gc

import pytest

torch = pytest.importorskip("torch")

from dataclasses import replace  # noqa: E402

from inference.opensora.geometry import timesteps  # noqa: E402
from inference.opensora.graphs import GraphCache, Recording  # noqa: E402
from inference.opensora.networks.transformer import Conditions  # noqa: E402
from inference.opensora.presets import OFFICIAL_I2V, OFFICIAL_T2V  # noqa: E402
from inference.opensora.sampler import References, Sampler, branch_conditions  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402
from tests.opensora.test_sampler import SHAPE, SIZE, noise  # noqa: E402

pytestmark = pytest.mark.model

GRAPH_BYTES = 10_000_000


class Replayed:
    """Records by keeping the function; counts, and fails on request."""

    def __init__(self, fails_with=None):
        self.recorded = self.replayed = 0
        self._fails_with = fails_with

    def record(self, run):
        if self._fails_with is not None:
            raise self._fails_with
        self.recorded += 1
        output = run().clone()

        def replay():
            self.replayed += 1
            output.copy_(run())

        return Recording(replay=replay, output=output.fill_(0), nbytes=GRAPH_BYTES)


@pytest.fixture(scope="module")
def model():
    return vectors.random_transformer()


def caption(tokens, seed):
    return noise(tokens, 12, seed=seed)


@torch.inference_mode()
def sample(model, graphs, *, text=None, given=False, shape=SHAPE, steps=14):
    references = References(latents=noise(*shape, seed=5), frames=(0,)) if given else None
    preset = replace(OFFICIAL_I2V if given else OFFICIAL_T2V, steps=steps)
    conditions = branch_conditions(
        model,
        shape,
        [caption(4, 3) if text is None else text],
        fps=24,
        size=SIZE,
        references=references,
    )
    sampler = Sampler(model, conditions, preset, references=references, graphs=graphs)
    source = torch.Generator().manual_seed(1)
    return sampler.run(
        noise(*shape), timesteps(steps), lambda: torch.randn(shape, generator=source)
    )


@pytest.mark.parametrize("given", [False, True])
def test_replayed_runs_give_the_same_whatever_they_are_about(model, given):
    graphs = GraphCache(Replayed())

    for seed in (3, 4, 3):
        text = caption(4, seed)
        found = sample(model, graphs, text=text, given=given)
        assert torch.equal(found, sample(model, None, text=text, given=given))


def test_each_shape_and_number_of_branches_is_recorded_once(model):
    gpu = Replayed()
    graphs = GraphCache(gpu)

    for seed in (3, 4):
        sample(model, graphs, text=caption(4, seed))
    assert gpu.recorded == 2  # both branches, and the prompt alone at the steps without guidance
    assert gpu.replayed == 2 * 14 - 2  # all but the first of each

    sample(model, graphs, text=caption(6, 3))
    assert gpu.recorded == 4


def test_a_single_evaluation_is_not_recorded(model):
    gpu = Replayed()
    sample(model, GraphCache(gpu), steps=1)
    assert not gpu.recorded


def test_the_graphs_that_were_not_used_for_longest_go_first(model):
    gpu = Replayed()
    graphs = GraphCache(gpu, limit_bytes=int(2.5 * GRAPH_BYTES))
    shapes = [(*SHAPE[:3], 4, width) for width in (6, 8, 10)]

    for shape in (*shapes[:2], shapes[0], shapes[2]):  # the second is the oldest then
        sample(model, graphs, shape=shape, steps=4)
        assert graphs.nbytes <= 2.5 * GRAPH_BYTES
    assert (len(graphs), gpu.recorded) == (2, 3)

    sample(model, graphs, shape=shapes[0], steps=4)
    assert gpu.recorded == 3
    sample(model, graphs, shape=shapes[1], steps=4)
    assert gpu.recorded == 4


def test_a_graph_beyond_the_limit_is_tried_once_and_not_kept(model):
    gpu = Replayed()
    graphs = GraphCache(gpu, limit_bytes=GRAPH_BYTES)

    for _ in range(2):
        found = sample(model, graphs, steps=5)
    assert torch.equal(found, sample(model, None, steps=5))
    assert (len(graphs), gpu.recorded) == (0, 1)


def test_large_shapes_run_without_and_get_the_memory(model):
    graphs = GraphCache(Replayed(), most_tokens=100)
    sample(model, graphs, steps=4)
    assert len(graphs) == 1

    wide = (*SHAPE[:3], 8, 12)
    assert torch.equal(
        sample(model, graphs, shape=wide, steps=4), sample(model, None, shape=wide, steps=4)
    )
    assert (len(graphs), graphs.nbytes) == (0, 0)


@pytest.mark.parametrize(
    ("error", "kept"),
    [(RuntimeError("operation not permitted when stream is capturing"), 1), (MemoryError(), 0)],
)
def test_what_cannot_be_recorded_runs_as_usual(model, error, kept):
    gpu, refused = Replayed(), []
    graphs = GraphCache(gpu, on_refused=refused.append)
    sample(model, graphs, steps=4)
    gpu._fails_with = torch.OutOfMemoryError("out of memory") if not kept else error

    text = caption(6, 3)
    for _ in range(2):
        found = sample(model, graphs, text=text, steps=4)

    assert torch.equal(found, sample(model, None, text=text, steps=4))
    assert len(refused) == 1
    assert len(graphs) == kept


def test_weights_that_moved_are_recorded_anew():
    model = vectors.random_transformer()
    gpu = Replayed()
    graphs = GraphCache(gpu)
    sample(model, graphs, steps=4)

    with torch.no_grad():
        for weight in model.parameters():
            weight.data = weight.data * 0.9
    found = sample(model, graphs, steps=4)

    assert torch.equal(found, sample(model, None, steps=4))
    assert gpu.recorded == 2


def test_weights_that_changed_in_place_count_at_once():
    model = vectors.random_transformer()
    gpu = Replayed()
    graphs = GraphCache(gpu)
    sample(model, graphs, steps=4)

    with torch.no_grad():
        for weight in model.parameters():
            weight.data.mul_(0.9)
    found = sample(model, graphs, steps=4)

    assert torch.equal(found, sample(model, None, steps=4))
    assert gpu.recorded == 1


def test_nothing_of_a_finished_job_is_kept_beside_the_copies_that_are_counted(model):
    gc.collect()
    before = sum(type(each) is Conditions for each in gc.get_objects())
    graphs = GraphCache(Replayed())

    sample(model, graphs, steps=4)

    gc.collect()
    kept = sum(type(each) is Conditions for each in gc.get_objects()) - before
    assert kept == len(graphs) == 1
