"""The switch for few steps of wan-14b: other weights, times and guidance, from the config."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from inference.diffusers_pipelines.call import ClipRequest
from inference.diffusers_pipelines.families import PRESETS
from inference.diffusers_pipelines.pipeline import Settings
from inference.domain.errors import UserError
from inference.domain.spec import Aspect, Resolution, Size, Spec
from inference.engines import weights
from inference.engines.base import Inputs, Monitor
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.engine import DiffusersEngine
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.registry import Models
from inference.opensora.files import CheckpointError
from tests.diffusers.renders import load, picture, render, request

pytestmark = pytest.mark.slow

FEW = PRESETS["wan-14b"].few
KEY = (Resolution.P360, Aspect.WIDE)


def test_the_config_switches_it_on():
    models = Models({"wan-14b": {"few": True}})
    known, plain = models.entry("wan-14b"), Models().entry("wan-14b")
    few, many = known.capabilities, plain.capabilities
    assert few.steps.is_fixed
    assert few.steps.default == 4
    assert few.cfg.is_fixed
    assert few.cfg.default == 1
    assert not few.negative
    assert few.option("cache") is None
    assert few.title != many.title
    assert (
        10
        < (many.cost.seconds_per_megapixel_frame_step * many.steps.default)
        / (few.cost.seconds_per_megapixel_frame_step * few.steps.default)
        < 30
    )
    assert known.recipe["few"] is True
    assert set(known.recipe["loras"]) == {"transformer", "transformer_2"}
    for name in ("wan", "ltx"):
        with pytest.raises(UserError, match=r"model\.no_few"):
            Models({name: {"few": True}}).entry(name)


@pytest.mark.parametrize(("name", "wanted"), [("wan-14b", "T2V"), ("wan-14b-image", "I2V")])
def test_a_folder_needs_and_names_the_loras_of_what_it_makes(folders, name, wanted):
    table = {"few": True, "path": str(folders(name))}
    known = Models({"wan-14b": table}).entry("wan-14b")
    [loras] = known.checkpoints
    named = [one["file"] for files in known.recipe["loras"].values() for one in files]
    assert sorted(named) == sorted(loras.files)
    assert all(wanted in file for file in named)


def test_its_loras_are_pulled_with_the_model(tmp_path):
    [*repositories, loras] = Models({"wan-14b": {"few": True}}).checkpoints("wan-14b")
    assert [one.kind for one in repositories] == [weights.CheckpointKind.PIPELINE] * 2
    assert len(Models().checkpoints("wan-14b")) == 2
    assert loras.kind is weights.CheckpointKind.LORAS
    assert len(loras.files) == 4
    place = tmp_path / loras.source.rpartition("/")[2]
    for name in loras.files:
        with pytest.raises(CheckpointError, match=r"checkpoint\.missing"):
            weights.folder(loras, tmp_path)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({"a": torch.zeros(1)}, place / name)
    assert weights.folder(loras, tmp_path) == place
    assert weights.is_installed(place)
    assert weights.size_bytes(place) == sum((place / name).stat().st_size for name in loras.files)
    weights.verify(loras, place)


def test_steps_are_taken_at_the_times_of_the_training(folders):
    """Plain Euler: the clean clip as it is predicted, and noise between the two levels."""
    model = load(folders("wan-14b"), Settings(shift=FEW.shift, scheduler=FEW.scheduler))
    scheduler = model.pipeline_for(request("wan-14b")).scheduler
    scheduler.set_timesteps(FEW.steps)
    times = scheduler.timesteps.tolist()
    assert np.allclose(times, [1000, 937.5, 833.3, 625], atol=1.5)
    state = torch.randn(1, 16, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for index, time in enumerate(scheduler.timesteps):
        velocity = torch.sin(state)
        before, after = scheduler.sigmas[index : index + 2]
        expected = state + (after - before) * velocity
        state = scheduler.step(velocity, time, state, return_dict=False)[0]
        assert torch.allclose(state, expected, atol=1e-4)


@pytest.fixture
def engine(folders, models, tmp_path):
    """wan-14b with the switch on, tiny, with LoRAs where they are downloaded to."""
    entry = entry_of("wan-14b", DiffusersTable(few=True), "wan-14b")
    random = torch.Generator().manual_seed(1)
    for source, name in zip(FEW.loras, ("wan-14b", "wan-14b-image"), strict=True):
        pipeline = models(name).pipeline_for(request(name))
        for lora in FEW.loras[source]:
            tensors = {
                f"diffusion_model.{path}.lora_{half}.weight": torch.randn(shape, generator=random)
                for path in ("blocks.0.self_attn.q", "blocks.1.cross_attn.v")
                for half, shape in (("down", (2, 24)), ("up", (24, 2)))
            }
            file = tmp_path / lora.source.rpartition("/")[2] / lora.file
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, file)
        assert pipeline.transformer.config.num_attention_heads * 12 == 24
    known = replace(capabilities_of(entry), sizes={KEY: Size(32, 16)})
    places = {"text": folders("wan-14b"), "image": folders("wan-14b-image")}
    return DiffusersEngine(entry, places, known, tmp_path)


def test_a_clip_in_four_steps_from_text_and_from_an_image(engine, models, tmp_path):
    engine.load(lambda *_: None)
    spec = Spec(
        prompt="a red ball",
        model="wan-14b",
        resolution=KEY[0],
        aspect=KEY[1],
        frames=9,
        refine=False,
        seed=7,
        steps=4,
        cfg=1.0,
        loops=1,
    )
    picture().save(tmp_path / "a.png")
    for inputs in (Inputs(), Inputs(image=tmp_path / "a.png")):
        steps, monitor = [], None
        monitor = Monitor(
            on_step=lambda done, total, _still, steps=steps: steps.append((done, total))
        )
        frames = np.concatenate([one.frames for one in engine.render(spec, inputs, monitor)])
        assert steps == [(done, 4) for done in range(1, 5)]
        assert monitor.meter.forwards == 4  # no second branch
        assert len(frames) == 9
        if inputs.image is None:
            text = frames
    wanted = request("wan-14b", width=32, guidance=1.0, steps=4)
    assert isinstance(wanted, ClipRequest)
    assert not np.array_equal(text, render(models("wan-14b"), wanted).frames)


def test_loras_that_are_not_downloaded_are_said(folders, tmp_path):
    entry = entry_of("wan-14b", DiffusersTable(few=True), "wan-14b")
    places = {"text": folders("wan-14b"), "image": folders("wan-14b-image")}
    engine = DiffusersEngine(entry, places, capabilities_of(entry), tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"checkpoint\.missing"):
        engine.load(lambda *_: None)
