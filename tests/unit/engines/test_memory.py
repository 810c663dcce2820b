from dataclasses import replace

import pytest

from inference.domain.errors import UserError
from inference.domain.spec import Resolution
from inference.engines import registry
from inference.engines.memory import ClipShape, Device, Saving, peak_bytes, saving_for
from tests.fakes.orders import a_spec

MODEL = registry.capabilities("opensora")
SPEC = a_spec(model="opensora", resolution=Resolution.P720, frames=97, seed=1, steps=30)


def card(gigabytes):
    return Device(name="a card", memory_bytes=gigabytes * 10**9)


@pytest.mark.parametrize(
    ("gigabytes", "saving"),
    [(80, Saving.RESIDENT), (40, Saving.TEXT_ASIDE), (24, Saving.ALONE)],
)
def test_a_long_clip_at_720p_goes_on_cards_from_24_gigabytes(gigabytes, saving):
    assert saving_for(SPEC, MODEL, card(gigabytes)) is saving


def test_each_saving_takes_no_more_than_the_one_before():
    for resolution in Resolution:
        for frames in MODEL.frames:
            shape = ClipShape.of(replace(SPEC, resolution=resolution, frames=frames), MODEL)
            peaks = [peak_bytes(MODEL.footprint, shape, saving) for saving in Saving]
            assert peaks == sorted(peaks, reverse=True)


def test_what_does_not_fit_is_refused_with_what_does():
    with pytest.raises(UserError) as caught:
        saving_for(SPEC, MODEL, card(16))
    assert caught.value.code == "memory.too_large"
    params = caught.value.params
    assert (params["resolution"], params["count"], params["there"]) == ("720p", 97, 16)
    fits = replace(SPEC, resolution=Resolution(params["smaller"]), frames=params["longest"])
    assert saving_for(fits, MODEL, card(16)) is not None


def test_a_shorter_clip_is_offered_where_length_decides():
    # a wide transformer before a narrow VAE: sampling decides, and it grows with the frames
    model = replace(MODEL, footprint=replace(MODEL.footprint, base_channels=8, hidden_size=9000))
    with pytest.raises(UserError) as caught:
        saving_for(SPEC, model, card(24))
    assert caught.value.code == "memory.too_long"
    longest = caught.value.params["longest"]
    assert longest < SPEC.frames
    saving_for(replace(SPEC, frames=longest), model, card(24))


def test_a_card_too_small_for_anything_is_told_so():
    with pytest.raises(UserError) as caught:
        saving_for(SPEC, MODEL, card(8))
    assert caught.value.code == "memory.too_small"


def test_a_cpu_keeps_everything_in_fp32():
    with pytest.raises(UserError):
        saving_for(
            replace(SPEC, resolution=Resolution.P360),
            MODEL,
            Device(name="cpu", memory_bytes=32 * 10**9),
        )


def test_models_without_a_footprint_fit_everywhere():
    assert saving_for(SPEC, registry.capabilities("nano"), card(1)) is Saving.RESIDENT
