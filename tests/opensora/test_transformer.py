"""Properties of the transformer that must hold for every shape, not only the recorded ones."""

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

from inference.opensora.config import TransformerConfig  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402
from inference.opensora.networks.attention import attend  # noqa: E402
from inference.opensora.networks.regions import (  # noqa: E402
    frame_by_frame,
    window_by_window,
)
from tests.opensora import opensora_vectors as vectors  # noqa: E402 - needs torch
from tests.opensora.original_notation import evaluate  # noqa: E402

pytestmark = pytest.mark.model

SIZE = PixelSize(96, 160)
CLOSE = {"rtol": 0, "atol": 1e-4}


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def attended(regions, *parts):
    """Attend among tokens [B, T, H, W, heads, C], and return them where they were."""

    def ordered(x):
        boxes = [region.boxes(x.flatten(-2)).flatten(0, -2) for region in regions]
        return torch.cat(boxes).unflatten(-1, parts[0].shape[-2:])

    grid = torch.empty_like(parts[0]).flatten(-2)
    for region, found in zip(regions, attend(*map(ordered, parts), regions), strict=True):
        boxes = region.boxes(grid)
        boxes.copy_(found.view(boxes.shape))
    return grid.view(parts[0].shape)


def padded_and_masked(query, key, value):
    """The original's windows: pad the grid with zeros to whole windows, mask the padding."""
    batch, frames, height, width, heads, _ = query.shape
    rows, columns = -height % 8, -width % 8

    def windows(x):
        x = functional.pad(x, (0, 0, 0, 0, 0, columns, 0, rows))
        x = x.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).permute(0, 2, 4, 6, 3, 5, 1, 7)
        return x.flatten(4, 6)

    real = windows(torch.ones(batch, frames, height, width, heads, 1))[..., 0] > 0
    out = functional.scaled_dot_product_attention(
        *(windows(x) for x in (query, key, value)), attn_mask=real[..., None, :]
    )
    out = out.unflatten(4, (8, 8, frames)).permute(0, 6, 1, 4, 2, 5, 3, 7)
    out = out.flatten(4, 5).flatten(2, 3)
    return out[:, :, :height, :width]


@pytest.mark.parametrize(
    "grid", [(8, 8), (16, 8), (5, 3), (9, 8), (8, 15), (23, 17), (1, 1), (7, 16)]
)
@pytest.mark.parametrize("frames", [1, 3])
def test_ragged_windows_equal_padded_and_masked_ones(grid, frames):
    query, key, value = (noise(2, frames, *grid, 2, 6, seed=seed) for seed in range(3))

    torch.testing.assert_close(
        attended(window_by_window(frames, *grid), query, key, value),
        padded_and_masked(query, key, value),
        **CLOSE,
    )


def test_frames_attend_within_themselves():
    query, key, value = (noise(1, 3, 4, 5, 2, 6, seed=seed) for seed in range(3))

    frame = frame_by_frame(4, 5)
    together = attended(frame, query, key, value)

    for index in range(3):
        cut = slice(index, index + 1)
        alone = attended(frame, query[:, cut], key[:, cut], value[:, cut])
        torch.testing.assert_close(together[:, cut], alone, **CLOSE)


SHAPES = {
    "three heads": {"hidden_size": 72, "num_heads": 3},
    "one wide head": {"hidden_size": 48, "num_heads": 1},
    "deep": {"depth": 3},
    "wide mlp": {"mlp_ratio": 2.5},
    "no sigma": {"pred_sigma": False},
    "eight channels": {"in_channels": 8},
}


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_rows_of_a_batch_do_not_see_each_other(config):
    model = vectors.random_transformer(**config)
    x = noise(3, model.config.in_channels, 5, 7, 18)
    captions = [noise(tokens, 12, seed=tokens) for tokens in (2, 9, 5)]
    times = torch.tensor([900.0, 20.0, 431.5])
    fps = torch.tensor([24.0, 8.0, 120.0])

    together = model.denoise(x, times, model.prepare(x.shape, captions, fps=fps, size=SIZE))

    assert together.shape == (3, model.config.out_channels, 5, 7, 18)
    for row, caption in enumerate(captions):
        cut = slice(row, row + 1)
        conditions = model.prepare(x[cut].shape, [caption], fps=fps[cut], size=SIZE)
        torch.testing.assert_close(
            together[cut], model.denoise(x[cut], times[cut], conditions), **CLOSE
        )


def conditioned(model, x, frames, captions=None):
    batch = len(x)
    cond, mask = torch.zeros_like(x), torch.zeros_like(x)
    cond[:, :, list(frames)] = 0.5
    mask[:, :, list(frames)] = 1
    return model.prepare(
        x.shape,
        captions or [noise(4, 12, seed=row) for row in range(batch)],
        fps=torch.tensor([24.0]),
        size=SIZE,
        cond=cond,
        cond_mask=mask,
        mask_index=frames,
        empty_captions=[model.null_caption[:4]] * batch,
    )


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(2, 3)])
def test_part_of_the_conditions_equals_preparing_that_part(rows):
    model = vectors.random_transformer()
    x = noise(3, 16, 5, 6, 8)
    times = torch.tensor([500.0, 400.0, 300.0])
    captions = [noise(tokens, 12, seed=tokens) for tokens in (4, 2, 7)]

    whole = conditioned(model, x, [0, 3], captions)

    part = conditioned(model, x[rows], [0, 3], captions[rows])
    torch.testing.assert_close(
        model.denoise(x[rows], times[rows], whole.part(rows)),
        model.denoise(x[rows], times[rows], part),
        **CLOSE,
    )


def test_given_frames_look_only_at_the_empty_caption():
    """With every frame given the caption has no way in; with one free frame it has."""
    model = vectors.random_transformer()
    x, time = noise(1, 16, 3, 6, 8), torch.tensor([500.0])
    captions = [noise(4, 12, seed=1)], [noise(6, 12, seed=2)]

    closed = [model.denoise(x, time, conditioned(model, x, [0, 1, 2], text)) for text in captions]
    opened = [model.denoise(x, time, conditioned(model, x, [0, 2], text)) for text in captions]

    assert torch.equal(*closed)
    assert not torch.allclose(*opened, atol=1e-3)


def test_active_frames_and_references_go_together():
    model = vectors.random_transformer()
    x, time = noise(2, 16, 5, 6, 8), torch.tensor([500.0, 500.0])
    conditions = conditioned(model, x, [1])

    plain = model.denoise(x, time, conditions)
    all_active = model.denoise(x, time, conditions, torch.ones(2, 5, dtype=torch.bool))
    some = torch.ones(2, 5, dtype=torch.bool)
    some[0, 2] = False
    partly = model.denoise(x, time, conditions, some)

    torch.testing.assert_close(plain, all_active, **CLOSE)
    torch.testing.assert_close(partly[1], plain[1], **CLOSE)
    assert not torch.allclose(partly[0], plain[0], atol=1e-3)


@pytest.mark.parametrize("frames", [[-1], [5], [0, 7]])
def test_a_given_frame_outside_the_clip_is_refused(frames):
    model = vectors.random_transformer()
    x = noise(1, 16, 5, 4, 4)
    with pytest.raises(ValueError, match="no such frames"):
        model.prepare(
            x.shape,
            [noise(2, 12)],
            fps=torch.tensor([24.0]),
            size=SIZE,
            cond=x,
            cond_mask=x,
            mask_index=frames,
            empty_captions=[noise(2, 12)],
        )


def test_references_without_latents_are_refused():
    model = vectors.random_transformer()
    with pytest.raises(ValueError, match="cond"):
        model.prepare(
            (1, 16, 5, 4, 4), [noise(2, 12)], fps=torch.tensor([24.0]), size=SIZE, mask_index=[]
        )


def test_self_attention_needs_no_mask_and_no_matrix():
    """Windows of 2,240 tokens at 720p: only the fused kernel is allowed here."""
    model = vectors.random_transformer()
    x, time = noise(1, 16, 3, 19, 18), torch.tensor([500.0])
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        model.denoise(x, time, conditioned(model, x, [0]))


def test_a_text_mask_may_have_holes():
    model = vectors.random_transformer()
    x, time = noise(2, 16, 1, 6, 4), torch.tensor([500.0, 10.0])
    padded = noise(2, 1, 6, 12)
    mask = torch.tensor([[1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 1]])

    out = evaluate(model, x, time, padded, mask, fps=torch.tensor([24.0]), size=SIZE)

    rows = [padded[0, 0][[0, 2, 3]], padded[1, 0][[1, 5]]]
    conditions = model.prepare(x.shape, rows, fps=torch.tensor([24.0]), size=SIZE)
    torch.testing.assert_close(out, model.denoise(x, time, conditions), **CLOSE)


def test_half_precision_stays_close():
    model = vectors.random_transformer()
    x, time = noise(1, 16, 5, 6, 8), torch.tensor([500.0])
    exact = model.denoise(x, time, conditioned(model, x, [0]))

    halved = model.to(torch.bfloat16)
    rough = halved.denoise(x, time, conditioned(halved, x, [0]))

    assert rough.dtype == torch.float32
    assert (rough - exact).std() / exact.std() < 0.05


@pytest.mark.parametrize(
    "config", [{"hidden_size": 50}, {"hidden_size": 1152, "num_heads": 18}, {"num_heads": 5}]
)
def test_widths_without_position_tables_are_refused(config):
    with pytest.raises(ValueError, match="hidden_size"):
        TransformerConfig(**config)


@pytest.mark.parametrize(
    "data", [{"patch_size": [2, 2, 2]}, {"skip_temporal": True}, {"skip_y_embedder": True}]
)
def test_other_variants_are_refused(data):
    with pytest.raises(ValueError, match="not supported"):
        TransformerConfig.from_dict(data)


def test_the_config_takes_defaults_for_absent_null_and_unknown_keys():
    data = {"model_type": "STDiT3", "hidden_size": None, "kernel_size": None, "depth": 2}
    assert TransformerConfig.from_dict(data) == TransformerConfig(depth=2)
