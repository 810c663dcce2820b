"""Training runs, resumes exactly, and writes weights that the product loads."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from benchmarks.training.batches import Batches  # noqa: E402
from benchmarks.training.latents import (  # noqa: E402
    ClipShape,
    Shard,
    build_pool,
    encode_scenes,
    load_pool,
)
from benchmarks.training.objective import caption_gaps  # noqa: E402
from benchmarks.training.train import Recipe, Trainer, train  # noqa: E402
from benchmarks.training.world.backgrounds import PLAIN  # noqa: E402
from benchmarks.training.world.captions import draw_scene  # noqa: E402
from benchmarks.training.world.scenes import Move, cover  # noqa: E402
from inference.opensora.checkpoint import (  # noqa: E402
    Placement,
    load_text_encoder,
    load_transformer,
    load_vae,
)
from inference.opensora.controls import Camera  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402
from inference.opensora.pipeline import ClipRequest, OpenSoraPipeline  # noqa: E402

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "inference/weights/nano"
SMALL = PixelSize(32, 48)
RECIPE = Recipe(steps=2, tokens=60, warm_up=1, save_every=1, gaps_every=100)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Two shards, through the disk."""
    folder = tmp_path_factory.mktemp("pool")
    vae = load_vae(WEIGHTS / "vae")
    random = np.random.default_rng(0)
    for number, (frames, fps) in enumerate([(17, 8), (1, 120)]):
        scenes = [draw_scene(random) for _ in range(3)]
        shape = ClipShape(size=SMALL, frames=frames, fps=fps)
        encode_scenes(vae, scenes, shape, random).save(folder / f"{number}.safetensors")
    return load_pool(folder)


def trained(pool, recipe=RECIPE):
    return Trainer(recipe, pool, WEIGHTS, Placement())


def same(one, other):
    """Whether two states hold the same numbers."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_shard_survives_the_disk(pool, tmp_path):
    pool[0].save(tmp_path / "shard.safetensors")
    again = Shard.load(tmp_path / "shard.safetensors")
    assert (again.shape, again.scenes, again.captions) == (
        pool[0].shape,
        pool[0].scenes,
        pool[0].captions,
    )
    for name in ("latents", "first", "last", "cover"):
        assert torch.equal(getattr(again, name), getattr(pool[0], name))
    assert pool[0].latents.shape == (3, 16, 5, 4, 6)
    assert pool[0].cover.shape == (3, 5, 4, 6)


def test_the_cover_of_a_latent_is_that_of_the_frames_it_stands_for():
    moving = replace(draw_scene(np.random.default_rng(2)), move=Move.RIGHT, camera=Camera.NONE)
    shape = ClipShape(size=PixelSize(64, 112), frames=33, fps=8)
    shard = encode_scenes(load_vae(WEIGHTS / "vae"), [moving], shape, np.random.default_rng(0))
    hidden = cover(moving, shape.size, 33, 8)
    moments = [slice(0, 1), *(slice(at, at + 4) for at in range(1, 17, 4))]
    moments += [slice(16, 17), *(slice(at, at + 4) for at in range(17, 33, 4))]
    for latent, moment in zip(shard.cover[0], moments, strict=True):
        cells = hidden[moment].max(0).reshape(8, 8, 14, 8).max((1, 3))
        assert np.allclose(latent, cells, atol=1e-3)


def test_a_pool_of_plain_backgrounds_has_no_others(tmp_path):
    shapes = (ClipShape(size=SMALL, frames=1, fps=120),)
    (path,) = build_pool(
        load_vae(WEIGHTS / "vae"), tmp_path, seed=0, shards=1, clips=4, shapes=shapes, plain=True
    )
    places = [scene.place for scene in Shard.load(path).scenes]
    assert len(places) == 4
    assert PLAIN.keys() >= set(places)


def test_latents_count_more_where_the_thing_is(pool):
    for batch in drawn(pool, 5, thing_weight=3.0):
        rows = batch.weights.flatten(1)
        assert rows.mean() == pytest.approx(1)
        assert rows.amax() / rows.amin() == pytest.approx(3)


def drawn(pool, count, **changes):
    encoder = load_text_encoder(WEIGHTS / "text_encoder")
    how = {"tokens": 60, "image_share": 0.4, "thing_weight": 4.0} | changes
    how["random"] = torch.Generator().manual_seed(1)
    batches = Batches(pool, encoder, **how)
    return [batches.draw() for _ in range(count)]


def test_a_batch_holds_what_its_noise_level_says(pool):
    kinds, dropped = set(), []
    for batch in drawn(pool, 60):
        dropped.extend(batch.dropped.tolist())
        kinds.add((batch.shape.frames, batch.given))
        share = batch.level[:, None, None, None, None]
        clean = batch.noisy + share * batch.target
        known = next(shard for shard in pool if shard.shape == batch.shape).latents.float()
        for clip in clean:
            assert (known - clip).abs().flatten(1).amax(1).min() < 1e-4
    assert kinds == {(17, ()), (17, (0,)), (17, (0, 4)), (1, ())}
    assert 0.02 < np.mean(dropped) < 0.25


def test_images_come_in_the_share_that_was_asked_for(pool):
    found = sum(batch.shape.frames == 1 for batch in drawn(pool, 100, image_share=0.8))
    assert 70 <= found <= 90
    assert all(batch.shape.frames == 1 for batch in drawn(pool[1:], 5, image_share=0.0))


def test_clips_that_begin_later_are_given_their_first_chunk(pool):
    later = replace(pool[0].shape, frames=33, begins=2 / 3)
    latents, hidden = (torch.cat((one, one), dim=-3) for one in (pool[0].latents, pool[0].cover))
    for batch in drawn([replace(pool[0], shape=later, latents=latents, cover=hidden)], 10):
        assert batch.given == (0, 1, 2, 3, 4)
        assert not batch.references[:, :, 5:].any()


@pytest.mark.slow
def test_training_that_was_interrupted_ends_like_one_that_was_not(pool, tmp_path):
    whole = trained(pool)
    list(whole.run())

    first = trained(pool)
    steps = first.run()
    next(steps)
    torch.save(first.state(), tmp_path / "state.pt")
    second = trained(pool)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    list(second.run())

    assert second.step == whole.step == 2
    assert same(second.state(), whole.state())
    assert not same(second.state()["networks"], trained(pool).state()["networks"])


@pytest.mark.slow
def test_a_run_goes_on_from_its_folder_and_leaves_weights_that_load(pool, tmp_path):
    lines = []
    run = tmp_path / "run"
    train(trained(pool), weights=WEIGHTS, run=run, judged=[], report=lines.append)
    train(trained(pool), weights=WEIGHTS, run=run, judged=[], report=lines.append)
    assert lines[-1] == "going on at step 2"

    pipeline = OpenSoraPipeline.load_nano(run / "weights")
    asked = ClipRequest(prompt="a red ball", size=SMALL, frames=1, seed=1, steps=1)
    assert np.concatenate(list(pipeline.generate(asked))).shape == (1, 32, 48, 3)
    shipped = OpenSoraPipeline.load_nano(WEIGHTS)
    name = "spatial_blocks.0.attn.qkv.weight"
    change = pipeline.transformer.state_dict()[name] - shipped.transformer.state_dict()[name]
    assert 0 < change.abs().max() < 0.1


@pytest.mark.slow
def test_learning_a_few_clips_by_heart_lowers_the_loss(pool):
    trainer = trained(pool[1:], Recipe(steps=12, tokens=60, warm_up=1, cool_down=0.1))
    losses = list(trainer.run())
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


@pytest.mark.slow
def test_a_wrong_place_explains_clips_worse_than_the_right_one():
    model = load_transformer(WEIGHTS / "transformer")
    encoder = load_text_encoder(WEIGHTS / "text_encoder")
    random = np.random.default_rng(2)
    scenes = [replace(draw_scene(random), camera=Camera.STATIC) for _ in range(3)]
    shape = ClipShape(size=PixelSize(64, 112), frames=17, fps=8)
    shard = encode_scenes(load_vae(WEIGHTS / "vae"), scenes, shape, random)

    gaps = caption_gaps(model, encoder, [shard])

    assert gaps["place"] > 0.02
    assert "camera" not in gaps


@pytest.mark.slow
def test_the_smoke_run_goes_through_everything(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.train", "--smoke"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "step 2 loss" in done.stdout
    assert "gaps %" in done.stdout
    assert list(tmp_path.glob("**/*.safetensors")) == []  # torch leaves a folder of its own
