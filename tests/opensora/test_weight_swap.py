"""Page-locked weights: one piece of memory, no larger than they are."""

import gc
import weakref
from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from inference.opensora import weight_swap  # noqa: E402
from inference.opensora.weight_swap import Resident, pin_tensors  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402

pytestmark = pytest.mark.model


@pytest.fixture
def locked(monkeypatch):
    """Sizes of what was page-locked; there is no GPU to do it."""
    sizes = []
    monkeypatch.setattr(weight_swap, "lock", lambda piece: sizes.append(piece.nbytes))
    return sizes


def network():
    made = nn.Sequential(nn.Conv3d(24, 70, 3), nn.Linear(300, 1025), nn.LayerNorm(1025))
    made[0].weight.data = made[0].weight.contiguous(memory_format=torch.channels_last_3d)
    return made.requires_grad_(requires_grad=False)


def test_weights_take_little_more_page_locked_memory_than_they_need(locked):
    weights = network().state_dict()
    pin_tensors(weights)
    needed = sum(tensor.nbytes for tensor in weights.values())
    assert len(locked) == 1
    assert needed <= locked[0] <= 1.05 * needed


def test_the_official_weights_take_little_more_than_they_need(locked):
    """All five sets as a GPU gets them: in bf16, and T5's embedding under both of its names."""
    sets = ["keys_stdit_v4"] * 3 + ["keys_vae_v1_3", "keys_t5_xxl_encoder"]
    needed = 0
    with torch.device("meta"):
        for keys in sets:
            shapes = vectors.read_json(vectors.COPIED / f"{keys}.json")
            weights = {
                key: torch.empty(shape, dtype=torch.bfloat16) for key, shape in shapes.items()
            }
            if "shared.weight" in weights:
                weights["encoder.embed_tokens.weight"] = weights["shared.weight"]
            needed += sum({id(tensor): tensor.nbytes for tensor in weights.values()}.values())
            copies = pin_tensors(weights)
            assert {key: list(copy.shape) for key, copy in copies.items()} == shapes
    assert 17e9 < needed <= sum(locked) <= 1.001 * needed


def test_parts_of_one_tensor_are_copied_apart(locked):
    table = torch.randn(100, 64)
    before = table.clone()
    copies = pin_tensors({"whole": table, "head": table[:10], "turned": table.t()})
    assert torch.equal(copies["whole"], before)
    assert torch.equal(copies["head"], before[:10])
    assert torch.equal(copies["turned"], before.t())
    assert len(locked) == 1


@pytest.mark.usefixtures("locked")
def test_values_and_layouts_are_kept():
    module = network()
    before = deepcopy(module).state_dict()
    copies = pin_tensors(module.state_dict(keep_vars=True))
    for key, tensor in before.items():
        assert torch.equal(copies[key], tensor)
        assert copies[key].stride() == tensor.stride()
    assert len({copy.untyped_storage().data_ptr() for copy in copies.values()}) == 1


def test_what_two_names_share_is_copied_once(locked):
    table = torch.randn(100, 64)
    copies = pin_tensors({"shared": table, "encoder": table})
    assert locked == [table.nbytes]
    assert copies["shared"].data_ptr() == copies["encoder"].data_ptr()


class Alive(TorchDispatchMode):
    """How many of some memories there still are at each copy."""

    def __init__(self, memories):
        super().__init__()
        self._memories, self.counts = memories, []

    def count(self, *_):
        self.counts.append(sum(memory() is not None for memory in self._memories))

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten.copy_.default:
            self.count()
        return operation(*args, **(kwargs or {}))


def test_the_memory_that_weights_were_read_into_is_let_go_one_by_one(monkeypatch):
    """Otherwise a text encoder of 9.5 GB takes 19 while it is loaded."""
    module = network()
    read = [weakref.ref(parameter.data.untyped_storage()) for parameter in module.parameters()]
    alive = Alive(read)
    monkeypatch.setattr(weight_swap, "lock", alive.count)
    with alive:
        resident = Resident(module, torch.device("cuda"))
    assert alive.counts == [*range(len(read), 0, -1), 0]
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
    copies = pin_tensors(network().state_dict())
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
    module = network()
    before = deepcopy(module).state_dict()
    copies = pin_tensors(module.state_dict())
    assert all(torch.equal(copies[key], tensor) for key, tensor in before.items())
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

    pin_tensors(network().state_dict())

    launched(device="cuda")
