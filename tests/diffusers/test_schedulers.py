"""Schedulers for other weights: a preset replaces what it knows, and the rest is named."""

import json
import shutil

import diffusers
import pytest

from commands.text.messages import error_text
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.repository import verify_tensors
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.engine import DiffusersEngine
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from tests.diffusers.renders import load


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("value", ["epsilon", "sample", None])
def test_a_scheduler_of_another_training_is_named(folders, tmp_path, value):
    place = shutil.copytree(folders("cogvideox"), tmp_path / "model")
    edit(place / "scheduler" / "scheduler_config.json", prediction_type=value)
    with pytest.raises(FolderError) as caught:
        verify_tensors(inspect_folder(place))
    assert caught.value.code == "folder.bad_value"
    assert caught.value.params["key"] == "prediction_type"


SCHEDULES = [
    ("wan", "wan-5b", {"flow_shift": 3.0}),
    ("wan", "wan-5b", {"use_karras_sigmas": True}),
    ("wan", "wan-5b", {"use_dynamic_shifting": True}),
    ("wan", "wan-5b", {"final_sigmas_type": "sigma_min"}),
    ("ltx", "ltx2", {"use_dynamic_shifting": True, "shift_terminal": 0.1}),  # as before distilling
    ("ltx", "ltx2", {"shift": 3.0}),
    ("ltx", "ltx2", {"stochastic_sampling": True, "use_karras_sigmas": True}),
    ("kandinsky", "kandinsky", {"shift": 1.0}),
]


def _scheduler_of(preset, place):
    entry = entry_of(preset, DiffusersTable(path=str(place)), preset)
    engine = DiffusersEngine(entry, {"any": place}, capabilities_of(entry))
    engine.load(lambda *_: None)
    scheduler = engine._model._parts["scheduler"]
    return {name: value for name, value in scheduler.config.items() if name[0] != "_"}


@pytest.mark.parametrize(("preset", "name", "changes"), SCHEDULES)
@pytest.mark.cases(4)
def test_a_preset_replaces_noise_levels_of_another_training(
    folders, tmp_path, preset, name, changes
):
    """On purpose: a preset's weights are known, and the checkpoint's file may be for others."""
    usual = _scheduler_of(preset, folders(name))
    place = shutil.copytree(folders(name), tmp_path / "model")
    edit(place / "scheduler" / "scheduler_config.json", **changes)
    assert _scheduler_of(preset, place) == usual


def test_without_a_preset_the_scheduler_is_the_checkpoints(folders, tmp_path):
    place = shutil.copytree(folders("wan-5b"), tmp_path / "model")
    edit(place / "scheduler" / "scheduler_config.json", flow_shift=7.0)
    assert load(place)._parts["scheduler"].config.flow_shift == 7.0


def test_a_preset_of_distilled_weights_refuses_others(folders, tmp_path):
    place = shutil.copytree(folders("kandinsky"), tmp_path / "distill")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0).save_pretrained(place / "scheduler")
    edit(place / "model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    edit(place / "transformer" / "config.json", out_visual_dim=4, out_audio_dim=4)
    table = DiffusersTable(path=str(place))
    with pytest.raises(FolderError) as caught:
        entry_of("kandinsky", table, "kandinsky")
    assert caught.value.code == "folder.not_distilled"
    assert "kandinsky" in error_text(caught.value, "en")
    whole = DiffusersTable(path=str(folders("kandinsky")))
    assert capabilities_of(entry_of("mine", table)).steps.default == 50
    assert capabilities_of(entry_of("mine", whole)).steps.default == 10
