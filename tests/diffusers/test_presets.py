"""Presets are data that fits the models: sizes on the grid, legal lengths, one line of licence."""

import inspect
import shutil

import pytest

from bot import factories
from bot.cli.models import list_models
from bot.config.sources import load_config
from bot.doctor import storage
from commands.text.messages import error_text
from inference.diffusers_pipelines.families import FAMILIES, PRESETS, family_of
from inference.domain.errors import UserError
from inference.domain.spec import Mode, Resolution
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.registry import Models
from inference.opensora.files import CheckpointError, find_folder
from inference.workers.device_report import DeviceReport
from tests.diffusers import tiny_models
from tests.process.worker_samples import spec


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_sizes_and_lengths_are_on_the_grid(preset):
    multiple = 32 if preset.name == "wan" else preset.family.multiple
    for width, height in preset.sizes.values():
        assert width % multiple == height % multiple == 0
        assert width % 2 == height % 2 == 0
    assert preset.lengths.step == preset.family.length_step
    assert (preset.lengths.usual - 1) % preset.lengths.step == 0
    assert "\n" not in preset.licence
    assert preset.sigmas is None or len(preset.sigmas) == preset.steps


@pytest.mark.parametrize(
    ("name", "steps", "guidance", "low", "of_images", "shift", "shift_of_images"),
    [
        ("wan", 50, 5.0, None, None, 5.0, None),
        ("wan-14b", 40, 4.0, 3.0, 3.5, 12.0, 5.0),
        ("wan-small", 50, 6.0, None, None, 8.0, None),
        ("wan-vace", 50, 5.0, None, None, 16.0, None),
        ("ltx", 8, 1.0, None, None, 1.0, None),
        ("kandinsky", 10, 1.0, None, None, 5.0, None),
    ],
)
def test_sampling_is_as_the_makers_of_the_models_do_it(  # noqa: PLR0917 - a table
    name, steps, guidance, low, of_images, shift, shift_of_images
):
    """Not as the checkpoints say: the converter of Wan's wrote the same shift into nearly all."""
    found = PRESETS[name]
    assert (found.steps, found.guidance, found.guidance_low) == (steps, guidance, low)
    assert (found.guidance_image, found.shift, found.shift_image) == (
        of_images,
        shift,
        shift_of_images,
    )


@pytest.mark.parametrize(
    ("name", "steps", "guidance"),
    [
        ("wan-14b", 50, 5.0),
        ("ltx-video", 50, 3.0),
        ("ltx2", 30, 3.0),
        ("kandinsky", 10, 1.0),  # its scheduler is that of distilled weights
        ("hunyuan-1.5", 50, 6.0),
        ("cogvideox", 50, 6.0),
        ("mochi", 64, 4.5),
    ],
)
def test_a_folder_is_sampled_as_its_class_is_made_for(folders, name, steps, guidance):
    found = capabilities_of(entry_of("mine", DiffusersTable(path=str(folders(name)))))
    assert (found.steps.default, found.cfg.default) == (steps, guidance)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_class_is_one_of_diffusers(family):
    import diffusers

    for name in family.classes:
        assert hasattr(diffusers, name)
        assert family_of(name) is family
        wanted = inspect.signature(getattr(diffusers, name)).parameters
        optional = getattr(diffusers, name)._optional_components
        assert set(family.needs.get(name, ())) <= wanted.keys() - set(optional)
    for name in (family.vae, family.transformer):
        assert hasattr(diffusers, name)
    assert {*family.channels, *family.needs} <= family.classes


def test_the_distilled_sigmas_are_those_of_the_library():
    from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

    assert list(PRESETS["ltx"].sigmas) == DISTILLED_SIGMA_VALUES


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_presets_name_is_enough(name):
    capabilities = capabilities_of(entry_of(name, DiffusersTable(), name))

    text_only = {"wan-small", "wan-vace"}
    assert capabilities.name == name
    assert capabilities.file_fps == (16 if name in {"wan-14b", *text_only} else 24)
    assert Mode.TEXT_TO_VIDEO in capabilities.modes
    assert (Mode.IMAGE_TO_VIDEO in capabilities.modes) == (name not in text_only)
    assert capabilities.references == (name == "wan-vace")
    assert capabilities.last_image == (name in {"ltx", "wan-14b"})
    assert capabilities.negative == name.startswith("wan")
    assert capabilities.sound == (name in {"ltx", "kandinsky"})
    assert capabilities.steps.is_fixed == capabilities.cfg.is_fixed == (not capabilities.negative)
    assert capabilities.defaults["frames"] in capabilities.lengths
    assert capabilities.extends == (name not in text_only)


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_a_path_is_enough(folders, name):
    entry = entry_of("mine", DiffusersTable(path=str(folders(name))))
    capabilities = capabilities_of(entry)

    multiple = entry.folder.multiple
    assert all(
        size.width % multiple == size.height % multiple == 0 for size in capabilities.sizes.values()
    )
    assert capabilities.defaults["frames"] in capabilities.lengths
    assert Resolution.P480 in capabilities.resolutions
    assert capabilities.modes


@pytest.mark.parametrize(
    ("name", "table", "code"),
    [
        ("mine", {}, "model.no_preset"),
        ("mine", {"preset": "wam"}, "model.unknown_preset"),
        ("mine", {"path": "/nowhere"}, "folder.missing"),
    ],
)
def test_wrong_entries_are_named(name, table, code):
    with pytest.raises(Exception, match=code) as caught:
        entry_of(name, DiffusersTable(**table))
    assert caught.value.code == code
    assert isinstance(caught.value, UserError) == code.startswith("model")


def test_config_entries_are_models_of_their_own(folders):
    from inference.engines.registry import Models

    models = Models(
        {
            "quick": {"engine": "wan-14b"},
            "mine": {"engine": "diffusers", "path": str(folders("mochi"))},
            "other": {"engine": "diffusers", "preset": "ltx"},
        }
    )
    assert {"quick", "mine", "other", "kandinsky"} <= set(models.names())
    assert "diffusers" not in models.names()
    assert models.capabilities("quick").name == "quick"
    assert len(models.checkpoints("quick")) == 2
    assert models.capabilities("mine").title == "mine"
    assert not models.checkpoints("mine")
    assert models.capabilities("other").sound


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ({"engine": "diffusers"}, "model.no_preset"),
        ({"engine": "diffusers", "preset": "wam"}, "model.unknown_preset"),
        ({"engine": "diffusers", "path": "/nowhere"}, "folder.missing"),
        ({"engine": "difusers"}, "model.unknown_engine"),
    ],
)
def test_wrong_config_entries_are_user_errors(table, code):
    from inference.engines.registry import Models

    with pytest.raises(UserError) as caught:
        Models({"mine": table}).entry("mine")
    assert caught.value.code == code


def test_a_broken_folder_leaves_the_other_models_and_is_noted(tmp_path):
    from inference.engines.registry import Models

    models = Models({"mine": {"engine": "diffusers", "path": str(tmp_path)}})
    assert [entry.capabilities.name for entry in models.usable(["mine", "nano"])] == ["nano"]
    assert models.problems["mine"].code == "folder.no_index"

    config = load_config(
        None,
        overrides={
            "models": {"installed": ["nano", "mine"], **models.tables},
            "bot": {"data_dir": tmp_path / "data"},
        },
    )
    [found] = [one for one in storage.model_weights(config) if one.check == "weights.mine"]
    assert found.code == "error.config.model"
    assert found.params["problem"].code == "folder.no_index"
    report = DeviceReport(name="cpu", memory_bytes=10**10)
    lines = [line for line in list_models(config, report, "en") if line.startswith("mine")]
    [line] = lines
    assert "models.mine.path: " in line
    assert line.endswith(
        f"{tmp_path} does not hold a model in Diffusers layout: model_index.json is missing."
    )


def test_files_that_have_gone_since_are_said_before_a_job_is_taken(folders, tmp_path):
    place, lora = shutil.copytree(folders("wan-5b"), tmp_path / "model"), tmp_path / "a.safetensors"
    lora.touch()
    table = {"engine": "diffusers", "path": str(place), "loras": [str(lora)]}
    config = load_config(
        None,
        overrides={"models": {"installed": ["mine"], "mine": table}, "bot": {"data_dir": tmp_path}},
    )
    check, asked = factories.make_installation(config).check, spec(model="mine")
    check(asked)
    lora.unlink()
    with pytest.raises(UserError, match=r"lora\.missing"):
        check(asked)
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"folder\.missing"):
        check(asked)
    lora.touch()
    (tmp_path / "elsewhere").rename(place)
    check(asked)


def test_a_machine_without_a_gpu_is_told_that_it_needs_one(monkeypatch):
    from inference.domain.device import CPU, Device
    from inference.engines.registry import Models

    monkeypatch.setattr(
        "inference.engines.diffusers_adapter.memory_check.host_memory", lambda: 64 * 10**9
    )
    entry = Models().entry("wan")
    asked = spec(model="wan", resolution=Resolution.P480, options={})
    with pytest.raises(UserError, match=r"gpu\.needed") as caught:
        entry.check_memory(asked, Device(name=CPU, memory_bytes=16 * 10**9))
    assert caught.value.params["needed"] < 12  # as the layers can come one by one
    entry.check_memory(asked, Device(name="gpu", memory_bytes=80 * 10**9))


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_assistant_is_told_what_the_model_was_trained_on(name):
    advice = capabilities_of(entry_of(name, DiffusersTable(), name)).prompt_advice
    assert "60 to 120 words" in advice.replace("\n", " ")
    assert "one continuous shot" in advice
    assert "camera" in advice
    assert "light" in advice
    assert ("Chinese" in advice) == name.startswith("wan")
    assert ("makes sound" in advice) == PRESETS[name].family.sound


def test_a_folder_gets_the_advice_of_its_family(folders):
    entry = entry_of("mine", DiffusersTable(path=str(folders("wan-5b"))))
    assert capabilities_of(entry).prompt_advice == PRESETS["wan"].advice
    other = entry_of("mine", DiffusersTable(path=str(folders("mochi"))))
    assert capabilities_of(other).prompt_advice is None


@pytest.mark.parametrize(
    ("name", "table", "code", "key"),
    [
        ("wan", {"path": "/there", "revision": "v1"}, "model.no_revision", "revision"),
        ("wan", {"path": "/there", "revision_image": "v1"}, "model.no_revision", "revision_image"),
        ("wan", {"revision_image": "v1"}, "model.no_revision", "revision_image"),
        ("wan", {"revision": ""}, "model.bad_revision", "revision"),
        ("wan", {"revision": "../../etc"}, "model.bad_revision", "revision"),
        ("wan", {"revision": "/etc"}, "model.bad_revision", "revision"),
        ("wan", {"revision": "a/../../b"}, "model.bad_revision", "revision"),
        ("wan-14b", {"revision_image": "a b"}, "model.bad_revision", "revision_image"),
    ],
)
def test_a_revision_of_no_download_is_refused(name, table, code, key):
    with pytest.raises(UserError) as caught:
        Models({name: table}).entry(name)
    assert (caught.value.code, caught.value.params["key"]) == (code, key)
    assert key in error_text(caught.value, "en")


def test_a_revision_of_the_config_is_what_is_pulled_and_found(tmp_path, monkeypatch):
    commits = {"revision": "a" * 40, "revision_image": "b" * 40}
    models = Models({"wan-14b": commits, "wan": {"revision": "v1"}})
    assert [one.revision for one in models.checkpoints("wan-14b")] == list(commits.values())
    assert [one.revision for one in models.checkpoints("wan")] == ["v1"]
    assert [one.revision for one in models.checkpoints("wan-small")] == [None]

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--a--b"
    for commit in ("1" * 40, "2" * 40):
        (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("1" * 40)
    (place / "refs" / "v1").write_text("2" * 40)
    assert find_folder("a/b", None).name == "1" * 40
    assert find_folder("a/b", None, "v1").name == "2" * 40
    assert find_folder("a/b", None, "2" * 40).name == "2" * 40
    with pytest.raises(CheckpointError, match=r"checkpoint\.missing"):
        find_folder("a/b", None, "3" * 40)
