"""Which kernels are used is chosen once, and said in the log."""

import pytest
from structlog.testing import capture_logs

torch = pytest.importorskip("torch")

from inference.domain.errors import EngineError  # noqa: E402
from inference.opensora.config import TransformerConfig  # noqa: E402
from inference.opensora.networks import backends, switch  # noqa: E402

pytestmark = pytest.mark.model

CPU = torch.device("cpu")
SMALL = TransformerConfig(hidden_size=48, depth=1, num_heads=2)


@pytest.fixture(autouse=True)
def plain():
    yield
    switch.use_kernels(on=False)


def chosen():
    with capture_logs() as logs:
        backends.choose_kernels(CPU, SMALL)
    (entry,) = logs
    return entry["used"], entry.get("reason")


def test_without_cuda_the_definitions_run(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert chosen() == ("torch", "torch was built without CUDA")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(backends, "find_spec", lambda _name: None)
    assert chosen() == ("torch", "Triton is not installed")
    assert switch.kernels(torch.zeros(1)) is None


@pytest.fixture
def with_triton(monkeypatch):
    """A machine that has Triton; the CPU plays the GPU."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(backends, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: None)
    monkeypatch.setattr(switch, "use_kernels", lambda **_how: None)


@pytest.mark.usefixtures("with_triton")
def test_kernels_that_do_not_compile_or_compute_something_else_are_not_used(monkeypatch):
    def no_compiler(*_given):
        raise RuntimeError("Failed to find C compiler.\nmore")

    assert chosen() == ("triton", None)
    with monkeypatch.context() as patched:
        patched.setattr(backends, "_difference", no_compiler)
        assert chosen() == ("torch", "the kernels failed with RuntimeError")
    answers = iter([1.0, 1.1])
    monkeypatch.setattr(backends, "_samples", lambda *_: {"add_gated": torch.tensor(next(answers))})
    used, reason = chosen()
    assert used == "torch"
    assert reason == "add_gated is 0.1 away from its definition"


@pytest.mark.parametrize(
    ("capability", "backend", "warned"),
    [
        ((9, 0), "CUDNN_ATTENTION", False),
        ((9, 0), "FLASH_ATTENTION", True),
        ((8, 6), "FLASH_ATTENTION", False),
        ((7, 5), "MATH", None),
    ],
)
def test_the_attention_is_named_and_a_slow_one_too(monkeypatch, capability, backend, warned):
    number = int(getattr(backends.SDPBackend, backend))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "_fused_sdp_choice", lambda *_parts: number)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    with capture_logs() as logs:
        if warned is None:
            with pytest.raises(EngineError) as refused:
                backends.require_fused_attention(CPU, SMALL)
            assert refused.value.code == "gpu.no_fused_attention"
        else:
            backends.require_fused_attention(CPU, SMALL)
    assert logs[0]["event"] == "attention.backend"
    assert logs[0]["backend"] == backend.lower()
    assert [log["event"] for log in logs[1:]] == ["attention.slow_backend"] * bool(warned)
