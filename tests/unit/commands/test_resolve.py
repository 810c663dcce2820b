from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.installation import Installation
from commands.specs.layers import Layer
from commands.specs.resolve import (
    Resolved,
    enlarge_spec,
    resolve,
)
from inference.domain.errors import UserError
from inference.domain.spec import Aspect, Mode, Resolution, Spec
from inference.engines.geometry import LENGTHS
from inference.opensora.controls import Motion


def typed(**values):
    return Layer(name="typed", values=values, asked=True)


def test_nothing_set_gives_the_built_in_values_and_a_drawn_seed(installation):
    assert resolve("a fox", (), installation, seed=lambda: 7) == Resolved(
        spec=Spec(
            prompt="a fox",
            model="opensora",
            resolution=Resolution.P720,
            aspect=Aspect.WIDE,
            frames=97,
            options={"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
            refine=False,
            seed=7,
            steps=30,
            cfg=7.0,
            loops=1,
        ),
        origins={
            "model": "config",
            "resolution": "built-in",
            "aspect": "built-in",
            "frames": "model",
            "motion": "model",
            "aesthetic": "model",
            "camera": "model",
            "refine": "config",
            "steps": "model",
            "cfg": "model",
            "fps": "model",
            "loops": "built-in",
            "seed": "random",
        },
        capabilities=installation.models[0],
    )


@pytest.mark.parametrize("strongest", range(4))
def test_the_stronger_layer_wins_and_is_named(installation, strongest):
    names = ("guild", "channel", "user", "typed")
    layers = [
        Layer(name=name, values={"steps": 10 + index}, asked=name == "typed")
        for index, name in enumerate(names[: strongest + 1])
    ]
    resolved = resolve("a fox", layers, installation)
    assert resolved.spec.steps == 10 + strongest
    assert resolved.origins["steps"] == names[strongest]


def test_the_models_own_values_override_the_built_in_ones(installation):
    resolved = resolve("a fox", [typed(model="NANO")], installation)
    assert (resolved.spec.model, resolved.spec.resolution) == ("nano", "360p")
    assert (resolved.spec.frames, resolved.spec.steps) == (49, 20)
    assert resolved.origins["frames"] == "model"
    assert resolved.origins["model"] == "typed"


def test_a_preference_overrides_the_model(installation):
    layers = [Layer(name="user", values={"model": "nano", "steps": 5})]
    resolved = resolve("a fox", layers, installation)
    assert (resolved.spec.model, resolved.spec.steps) == ("nano", 5)


def test_a_preference_that_the_model_cannot_follow_is_passed_over(installation):
    layers = [
        Layer(name="guild", values={"frames": 65}),
        Layer(name="user", values={"frames": 113, "resolution": "720p", "negative": "blur"}),
    ]
    resolved = resolve("a fox", [*layers, typed(model="nano")], installation)
    assert (resolved.spec.frames, resolved.origins["frames"]) == (65, "guild")
    assert (resolved.spec.resolution, resolved.origins["resolution"]) == ("360p", "model")
    assert resolved.spec.negative is None


def test_a_preference_for_a_model_that_is_gone_is_passed_over(installation):
    resolved = resolve("a fox", [Layer(name="user", values={"model": "gone"})], installation)
    assert (resolved.spec.model, resolved.origins["model"]) == ("opensora", "config")


def test_without_values_of_its_own_a_model_gets_the_nearest_it_can_do(installation, small):
    bare = Installation(models=(replace(small, defaults={}),), default_model="nano")
    resolved = resolve("a fox", (), bare)
    assert (resolved.spec.frames, resolved.spec.resolution) == (65, "360p")
    assert resolved.origins["frames"] == resolved.origins["resolution"] == "model"


def test_an_image_makes_it_image_to_video(installation):
    resolved = resolve("a fox", [typed(image="https://cdn/fox.png")], installation)
    assert resolved.spec.mode is Mode.IMAGE_TO_VIDEO
    assert resolved.origins["image"] == "typed"


def test_with_an_image_a_preference_for_stills_is_passed_over(installation):
    layers = [Layer(name="channel", values={"frames": 1}), typed(image="fox.png")]
    assert resolve("a fox", layers, installation).spec.frames == 97


def test_an_image_resets_what_only_clips_have(installation):
    layers = [Layer(name="user", values={"motion": "high", "loops": 3}), typed(frames=1)]
    resolved = resolve("a fox", layers, installation)
    assert resolved.spec.mode is Mode.TEXT_TO_IMAGE
    assert (resolved.spec.options["motion"], resolved.spec.loops) == ("fair", 1)


def test_refining_is_on_where_an_assistant_is(installation):
    assisted = replace(installation, assistant=True)
    assert resolve("a fox", (), assisted).spec.refine is True
    assert resolve("a fox", [typed(refine=False)], assisted).spec.refine is False
    assert resolve("a fox", [typed(refine=False)], installation).spec.refine is False


@pytest.mark.parametrize(
    ("values", "code", "params"),
    [
        (
            {"model": "nano", "frames": 97},
            "model.length",
            {"model": "Nano", "option": "--frames", "value": 97, "nearest": [65]},
        ),
        (
            {"model": "nano", "resolution": "720p"},
            "model.cannot_other",
            {"option": "--resolution", "value": "720p", "nearest": "360p"},
        ),
        ({"model": "nano", "image": "x"}, "model.no_animation", {"able": ["opensora"]}),
        ({"model": "nano", "negative": "x"}, "model.no_negative", {"model": "Nano"}),
        ({"model": "nan"}, "model.mistyped", {"suggestion": "nano"}),
        ({"model": "zzzz"}, "model.unknown", {"known": ["opensora", "nano"]}),
        ({"image": "x", "frames": 1}, "image.one_frame", {"shortest": 49}),
        ({"frames": 1, "motion": "high"}, "option.video_only", {"option": "--motion"}),
        ({"frames": 1, "loops": 2}, "option.video_only", {"option": "--loops"}),
        ({"refine": True}, "option.no_assistant", {}),
    ],
)
def test_what_was_asked_and_cannot_be_is_refused_with_what_can(installation, values, code, params):
    with pytest.raises(UserError) as caught:
        resolve("a fox", [typed(**values)], installation)
    assert caught.value.code == code
    assert {name: caught.value.params[name] for name in params} == params


def test_where_no_model_animates_none_is_named(small):
    alone = Installation(models=(small,), default_model="nano")
    with pytest.raises(UserError, match=r"model\.no_animation_at_all"):
        resolve("a fox", [typed(image="fox.png")], alone)


def test_a_default_model_that_is_not_installed_is_said(small):
    with pytest.raises(UserError, match=r"model\.unknown"):
        resolve("a fox", (), Installation(models=(small,), default_model="gone"))


def test_a_model_that_only_animates_asks_for_an_image(big):
    animator = replace(big, modes=frozenset({Mode.IMAGE_TO_VIDEO}))
    with pytest.raises(UserError, match=r"model\.needs_image"):
        resolve("a fox", (), Installation(models=(animator,), default_model="opensora"))


def test_an_aspect_without_a_size_at_that_resolution_is_refused(big):
    sizes = {key: size for key, size in big.sizes.items() if key != ("720p", "1:1")}
    odd = Installation(models=(replace(big, sizes=sizes),), default_model="opensora")
    with pytest.raises(UserError) as caught:
        resolve("a fox", [typed(aspect="1:1")], odd)
    assert caught.value.params["legal"] == ["16:9", "9:16", "4:3", "3:4"]
    assert resolve("a fox", [typed(aspect="1:1", resolution="360p")], odd).spec.aspect == "1:1"


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["nano", "opensora", "gone"]),
        "resolution": st.sampled_from([*Resolution]),
        "aspect": st.sampled_from([*Aspect]),
        "frames": st.sampled_from(LENGTHS.values),
        "motion": st.sampled_from([*Motion]),
        "negative": st.just("blur"),
        "loops": st.integers(1, 20),
        "refine": st.booleans(),
    },
)


@given(st.lists(VALUES, max_size=3), st.booleans(), st.booleans())
def test_preferences_never_stand_in_the_way(installation, preferences, has_image, assistant):
    names = ("guild", "channel", "user")
    layers = [
        *(
            Layer(name=name, values=values)
            for name, values in zip(names, preferences, strict=False)
        ),
        typed(**({"image": "fox.png", "model": "opensora"} if has_image else {})),
    ]
    resolved = resolve("a fox", layers, replace(installation, assistant=assistant))
    spec, model = resolved.spec, resolved.capabilities
    assert spec.mode in model.modes
    assert spec.frames in model.lengths
    assert (spec.resolution, spec.aspect) in model.sizes
    assert Spec.from_dict(spec.as_dict()) == spec


def test_larger_means_the_models_highest_resolution(installation, big, small):
    spec = resolve("a fox", [typed(resolution="360p")], installation).spec
    assert enlarge_spec(spec, big) == replace(spec, resolution=Resolution.P720)
    assert enlarge_spec(spec, small) is None
    assert enlarge_spec(replace(spec, resolution=Resolution.P720), big) is None


def test_a_model_of_what_lies_between_two_images_is_refused_one_alone(installation):
    between = replace(installation.default, last_image=True, needs_last=True)
    there = replace(installation, models=(between,))
    image = typed(image="fox.png")
    with pytest.raises(UserError) as caught:
        resolve("a fox", (image,), there)
    assert caught.value.code == "folder.needs_last"
    resolve("a fox", (image, typed(last="end.png")), there)
