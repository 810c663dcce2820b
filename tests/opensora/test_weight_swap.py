"""Page-locked weights: one piece of memory, no larger than they are."""

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from inference.opensora import weight_swap  # noqa: E402
from inference.opensora.weight_swap import Resident, page_locked  # noqa: E402

pytestmark = pytest.mark.model


@pytest.fixture
def locked(monkeypatch):
    """Sizes of what was page-locked; there is no card to do it."""
    sizes = []
    monkeypatch.setattr(weight_swap, "lock", lambda piece: sizes.append(piece.nbytes))
    return sizes


def network():
    made = nn.Sequential(nn.Conv3d(24, 70, 3), nn.Linear(300, 1025), nn.LayerNorm(1025))
    made[0].weight.data = made[0].weight.contiguous(memory_format=torch.channels_last_3d)
    return made.requires_grad_(requires_grad=False)


def test_weights_take_little_more_page_locked_memory_than_they_need(locked):
    weights = network().state_dict()
    page_locked(weights)
    needed = sum(tensor.nbytes for tensor in weights.values())
    assert len(locked) == 1
    assert needed <= locked[0] <= 1.05 * needed


@pytest.mark.usefixtures("locked")
def test_values_and_layouts_are_kept():
    weights = network().state_dict()
    copies = page_locked(weights)
    for key, tensor in weights.items():
        assert torch.equal(copies[key], tensor)
        assert copies[key].stride() == tensor.stride()
        assert copies[key].data_ptr() != tensor.data_ptr()


def test_what_two_names_share_is_copied_once(locked):
    table = torch.randn(100, 64)
    copies = page_locked({"shared": table, "encoder": table})
    assert locked == [table.nbytes]
    assert copies["shared"].data_ptr() == copies["encoder"].data_ptr()


def test_the_memory_that_weights_were_read_into_is_let_go(locked):
    module = network()
    read = [weakref.ref(parameter.data.untyped_storage()) for parameter in module.parameters()]
    resident = Resident(module, torch.device("cuda"))
    gc.collect()
    assert len(locked) == 1
    assert not any(storage() for storage in read)
    assert resident.sets == ("weights",)


class Cudart:
    """The calls that lock pages, and what is locked."""

    def __init__(self, error=0):
        self.error, self.locked, self.unlocked = error, [], []

    def cudaHostRegister(self, pointer, _size, _flags):  # noqa: N802 - CUDA's name
        self.locked.append(pointer)
        return self.error

    def cudaHostUnregister(self, pointer):  # noqa: N802 - CUDA's name
        self.unlocked.append(pointer)


def test_pages_are_unlocked_when_their_weights_go(monkeypatch):
    cudart = Cudart()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cudart)
    copies = page_locked(network().state_dict())
    some = copies.pop("1.weight")
    del copies
    gc.collect()
    assert (len(cudart.locked), cudart.unlocked) == (1, [])
    del some
    gc.collect()
    assert cudart.unlocked == cudart.locked


def test_memory_that_cannot_be_locked_serves_all_the_same(monkeypatch):
    cudart = Cudart(error=1)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cudart)
    monkeypatch.setattr(weight_swap, "forget_error", lambda: None)
    weights = network().state_dict()
    copies = page_locked(weights)
    assert all(torch.equal(copies[key], tensor) for key, tensor in weights.items())
    del copies
    gc.collect()
    assert cudart.unlocked == []


def test_an_error_that_was_dealt_with_is_not_told_of_the_next_kernel(monkeypatch):
    """CUDA keeps what a call returned, and a launch reports it as its own; once."""
    left = []
    cudart = Cudart(error=1)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cudart)

    def register(pointer, _size, _flags):
        left.append(pointer)
        return 1

    def launched(*_shape, device):
        assert device == "cuda"
        if left:
            left.clear()
            raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(cudart, "cudaHostRegister", register)
    monkeypatch.setattr(torch, "ones", launched)

    page_locked(network().state_dict())

    launched(device="cuda")
