"""FP8: what is computed from rounded numbers, and where it is used."""

import pytest

torch = pytest.importorskip("torch")

from inference.opensora.networks import fp8  # noqa: E402
from inference.opensora.networks.fp8 import FP8Linear, is_supported, quantize_rows, use_fp8  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402

pytestmark = pytest.mark.model


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_rows_keep_their_numbers_within_what_three_bits_can_say():
    rows = numbers(64, 48) * torch.logspace(-6, 6, 64)[:, None]

    small, scale = quantize_rows(rows)

    assert small.dtype is torch.float8_e4m3fn
    back = small.float() * scale
    peak = rows.abs().amax(dim=1, keepdim=True)
    assert ((back - rows).abs() <= (rows.abs() / 16).maximum(peak / 448 / 512)).all()


def test_rows_without_numbers_stay_so():
    small, scale = quantize_rows(torch.zeros(4, 16))
    assert torch.equal(small.float() * scale, torch.zeros(4, 16))
    assert scale.isfinite().all()


def test_torch_multiplies_as_defined():
    left, right = (quantize_rows(numbers(rows, 64, seed=rows).bfloat16()) for rows in (40, 32))
    expected = fp8.multiply_rows_reference(*left, *right, torch.float32)

    found = fp8.multiply_rows(*left, *right, torch.bfloat16)

    assert found.shape == (40, 32)
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("rows", [5, 40, 41])
def test_a_layer_is_nearly_the_same_in_fp8(monkeypatch, rows):
    monkeypatch.setattr(fp8, "_LEAST_ROWS", 1)
    monkeypatch.setattr(fp8, "FP8_ROWS", 20)
    layer = FP8Linear(96, 64).requires_grad_(requires_grad=False)
    x = numbers(rows, 2, 96)
    expected = layer(x)

    use_fp8(layer, on=True)
    found = layer(x)

    assert found.shape == expected.shape
    error = (found - expected).norm() / expected.norm()
    assert 0.001 < error < 0.05
    use_fp8(layer, on=False)
    assert torch.equal(layer(x), expected)


def test_few_rows_are_not_worth_it():
    layer = FP8Linear(96, 64).requires_grad_(requires_grad=False)
    x = numbers(50, 96)
    expected = layer(x)
    use_fp8(layer, on=True)
    assert torch.equal(layer(x), expected)


def test_the_four_large_layers_of_every_block_can_and_nothing_else_is_changed():
    model = vectors.random_transformer()
    names = [name for name, module in model.named_modules() if isinstance(module, FP8Linear)]

    blocks = len(model.spatial_blocks) + len(model.temporal_blocks)
    assert sum("blocks" in name for name in names) == 4 * blocks
    assert not [name for name in names if "cross_attn" in name]


def test_a_cpu_does_not_multiply_it():
    assert not is_supported(torch.device("cpu"))


@pytest.mark.parametrize("error", [RuntimeError, ValueError, NotImplementedError])
def test_a_gpu_whose_library_refuses_does_not_multiply_it(monkeypatch, error):
    def refused(*_args, **_how):
        raise error("scaling by rows is not for this GPU")

    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *shape, **how: randn(*shape, dtype=how["dtype"]))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 9))
    monkeypatch.setattr(fp8, "multiply_rows", refused)
    assert not is_supported(torch.device("cuda"))
