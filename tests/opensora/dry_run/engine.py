"""The engine of the official models, run dry: its own code from loading to the last frame.

Only files are missing: networks get weights without numbers, a tokenizer that counts words, and
latents of the right shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import T5Config

from inference.domain.spec import Spec
from inference.engines.base import Inputs, Monitor
from inference.engines.entry import ModelOptions
from inference.engines.memory_plan import (
    ClipShape,
    Saving,
    plan,
    stage_bytes,
)
from inference.engines.meter import Meter
from inference.engines.opensora_adapter import engine, models, stages
from inference.engines.opensora_adapter.engine import OpenSoraEngine
from inference.opensora import checkpoint, weight_swap
from inference.opensora.checkpoint import Placement
from inference.opensora.config import CoderConfig, TransformerConfig, VaeConfig
from inference.opensora.controls import Speed
from inference.opensora.geometry import PixelSize, latent_frames, latent_size, official_size
from inference.opensora.networks import switch
from inference.opensora.networks.vae import VideoVae
from inference.opensora.preview import LatentPreview
from tests.fakes.models import MODELS
from tests.fakes.orders import a_spec, with_options
from tests.opensora.dry_run.card import Card
from tests.opensora.dry_run.ledger import Ledger

CAPABILITIES = MODELS.capabilities("opensora")

LONG = " ".join(f"word{number}" for number in range(400))
"""More than the text encoder reads."""

STEPS = 12
"""From the tenth on, every other one goes without guidance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Shapes of the three networks."""

    transformer: TransformerConfig
    vae: VaeConfig
    text: T5Config

    def of(self, kind: type) -> Any:
        """Return the shape of one of them."""
        known = {TransformerConfig: self.transformer, VaeConfig: self.vae, T5Config: self.text}
        return known[kind]


def _vae(base_channels: int) -> VaeConfig:
    coder = {"base_channels": base_channels}
    return VaeConfig(
        encoder=CoderConfig(**coder, temporal_levels=frozenset({1, 2})),
        decoder=CoderConfig(**coder, temporal_levels=frozenset({2, 3})),
    )


FULL = Networks(
    transformer=TransformerConfig(),
    vae=_vae(128),
    text=T5Config(
        d_model=4096,
        d_kv=64,
        d_ff=10240,
        num_layers=24,
        num_heads=64,
        vocab_size=32128,
        feed_forward_proj="gated-gelu",
    ),
)
"""The official ones."""

SMALL = Networks(
    transformer=TransformerConfig(hidden_size=288, num_heads=4, depth=2, caption_channels=64),
    vae=_vae(32),
    text=T5Config(d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, vocab_size=999),
)
"""As quick as they get: 288 channels are heads of 72, as the official ones have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A render, and what it is given."""

    spec: Spec
    image: bool = False
    last: bool = False

    @property
    def shape(self) -> ClipShape:
        """What the planner knows of it."""
        return ClipShape.of(self.spec, CAPABILITIES)


def case(
    *,
    image: bool = False,
    last: bool = False,
    steps: int = STEPS,
    speed: Speed = Speed.EXACT,
    **changes: Any,
) -> Case:
    """Return a render of a small clip with changes."""
    given = {"image": "x"} if image else {}
    given |= {"last": "y"} if last else {}
    changes = {"prompt": LONG, "model": "opensora", "seed": 7, "steps": steps} | given | changes
    spec = with_options(a_spec(**changes), speed=speed.value)
    return Case(spec=spec, image=image, last=last)


@dataclass(slots=True, kw_only=True)
class Report:
    """What a dry run found."""

    saving: Saving
    """That the engine planned with."""
    planned: dict[str, int]
    """Bytes by stage."""
    peaks: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Most bytes alive by stage, and where."""
    waits: Counter[str] = field(default_factory=Counter)
    leaks: Counter[str] = field(default_factory=Counter)
    overlong: Counter[str] = field(default_factory=Counter)
    seconds: Counter[tuple[str, str]] = field(default_factory=Counter)
    launches: Counter[str] = field(default_factory=Counter)
    """Of kernels of our own."""
    savings: list[Saving] = field(default_factory=list)
    """That were fallen back to when memory ran out."""
    ahead: int = 0
    """Most steps that the host was ahead of the GPU when it told of one."""
    frames: int = 0
    forwards: int = 0
    stills: int = 0

    @property
    def peak(self) -> int:
        """Most bytes alive at once."""
        return max(size for size, _ in self.peaks.values())

    @property
    def plan(self) -> int:
        """Most bytes that the planner expected."""
        return max(self.planned.values())


class DryEngine:
    """The engine, loaded on a card that is not there."""

    def __init__(
        self,
        networks: Networks = SMALL,
        memory_bytes: int = 10**12,
        *,
        with_kernels: bool = False,
    ) -> None:
        """Load it; with stand-ins of the Triton kernels if that is what the card is to have."""
        self.networks = networks
        self._with_kernels = with_kernels
        self.kernels: ModuleType | None = None
        """What the engine chose for this card, which is a choice of the process elsewhere."""
        self.card = Card(memory_bytes)
        self.ledger = self.card.ledger
        self._size = PixelSize(0, 0)
        self._engine = models.official(ModelOptions(capabilities=CAPABILITIES))
        with self._present():
            self._engine.load(lambda *_: None)
            loaded = self._engine._loaded
            assert loaded is not None
            self.footprint, self.text = loaded.footprint(), loaded.text
            channels = loaded.pipeline.transformer.config.in_channels
            preview = LatentPreview(weight=torch.zeros(48, channels), bias=torch.zeros(48))
        self._engine._loaded, self._engine._preview = replace(loaded, preview=preview), preview

    def render(
        self, case: Case, saving: Saving | None = None, *, chunks: int | None = None
    ) -> Report:
        """Render; what fails raises.

        Args:
            case: What to render.
            saving: How memory is saved; None: as the engine plans.
            chunks: Of frames to look at; None: all.
        """
        ledger, spec = self.ledger, case.spec
        self._size = official_size(spec.resolution, spec.aspect)
        found = plan(self.footprint, case.shape, ledger.memory_bytes) if saving is None else saving
        assert found is not None, "it does not fit"
        planned = stage_bytes(self.footprint, case.shape, found)
        report = Report(saving=found, planned=planned)
        ledger.clear()

        def on_step(done: int, _total: int, still: Callable[[], object] | None) -> None:
            ledger.steps += 1
            report.ahead = max(report.ahead, ledger.steps - ledger.awaited)
            if still is not None and done == spec.steps // 2:
                still()
                report.stills += 1

        monitor = Monitor(on_step=on_step, meter=_Stages(ledger))
        picture = Path("picture")
        inputs = Inputs(
            image=picture if case.image else None,
            last=picture if case.last else None,
            latents=picture if spec.latents is not None else None,
        )
        with self._present(), _watched_retries(report), _planned(saving):
            for chunk in islice(self._engine.render(spec, inputs, monitor), chunks):
                report.frames += len(chunk.frames)
        report.forwards = monitor.meter.forwards
        # outside the stages it is only asked whether the card multiplies FP8
        report.peaks = {stage: peak for stage, peak in ledger.peaks.items() if stage}
        report.waits = ledger.waits.copy()
        report.leaks, report.overlong = ledger.leaks.copy(), ledger.overlong.copy()
        report.seconds, report.launches = ledger.seconds.copy(), ledger.launches.copy()
        return report

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Let the card be there, and stand in for whatever is read from files or written to one."""

        def kept(*_: object, channels: int, **__: object) -> Tensor:
            shape = (1, channels, latent_frames(49), *latent_size(self._size))
            return torch.zeros(shape, dtype=torch.bfloat16)

        def pack(latents: Tensor) -> bytes:
            latents.to("cpu", torch.bfloat16)
            return b""

        with ExitStack() as stack:
            stack.enter_context(self.card.present())
            stack.enter_context(_without_weights(self.networks, self.ledger))
            if self._with_kernels:
                from tests.opensora.dry_run import launches

                stack.enter_context(launches.stood_in(self.ledger))
            stack.enter_context(mock.patch.object(switch, "_kernels", self.kernels))
            picture = Image.new("RGB", (640, 360), "orange")
            for owner, name, stand_in in (
                (stages, "_opened", lambda path: path and picture),
                (stages, "unpack", kept),
                (engine, "pack", pack),
            ):
                stack.enter_context(mock.patch.object(owner, name, stand_in))
            yield
            self.kernels = switch._kernels


@contextmanager
def dry_vae(networks: Networks) -> Iterator[tuple[VideoVae, Ledger]]:
    """Load the VAE alone."""
    card = Card()
    with card.present(), _without_weights(networks, card.ledger):
        vae = checkpoint.load_vae(Path(), Placement(dtype=torch.bfloat16))
        weight_swap.Resident(vae, torch.device("cuda")).bring()
        vae.work_in_slices(frames=None, rows=models._ATTENTION_ROWS)
        card.ledger.clear()
        with torch.inference_mode():
            yield vae, card.ledger


class _Stages(Meter):
    """Tells the ledger in which stage the engine is."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        # weights are swapped within another stage, and the planner counts them there
        outer = self._ledger.stage if name == "swap" else name
        with self._ledger.during(outer), super().stage(name):
            yield


@contextmanager
def _watched_retries(report: Report) -> Iterator[None]:
    """Note what the engine falls back to when memory runs out."""
    run = stages.MemoryRetry.run

    def watched(retry: Any, stage: Any) -> Any:
        before = retry._saving
        try:
            return run(retry, stage)
        finally:
            report.savings += list(Saving)[before + 1 : retry._saving + 1]

    with mock.patch.object(stages.MemoryRetry, "run", watched):
        yield


@contextmanager
def _planned(saving: Saving | None) -> Iterator[None]:
    """Let the engine plan with a saving."""
    with ExitStack() as stack:
        if saving is not None:
            stack.enter_context(mock.patch.object(OpenSoraEngine, "_plan", return_value=saving))
        yield


@contextmanager
def _without_weights(networks: Networks, ledger: Ledger) -> Iterator[None]:
    """Let networks be loaded without files."""

    def fill(model: nn.Module, _folder: Path, placement: Placement, *_: object) -> None:
        fixed = checkpoint._FIXED_PRECISION
        types = dict.fromkeys(fixed, torch.float32)
        state = {
            name: torch.empty(tensor.shape, dtype=types.get(name, placement.dtype))
            for name, tensor in model.state_dict().items()
        }
        model.load_state_dict(state, assign=True)
        model.requires_grad_(requires_grad=False).eval()

    def pin_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: ledger.pin(tensor.detach()) for name, tensor in weights.items()}

    stand_ins: list[tuple[object, str, object]] = [
        (checkpoint, "read_config", lambda _folder, parse: networks.of(parse.__self__)),
        (checkpoint, "fill", fill),
        (checkpoint, "_tokenizer", lambda _folder: _Words(networks.text.vocab_size)),
        (models, "folder_of", lambda *_: Path()),
        (weight_swap, "pin_tensors", pin_tensors),
    ]
    with ExitStack() as stack:
        for owner, name, stand_in in stand_ins:
            stack.enter_context(mock.patch.object(owner, name, stand_in))
        yield


class _Words:
    """A tokenizer without a file: a token for each word, and one for the end."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def __call__(self, text: str, **_options: bool) -> SimpleNamespace:
        ids = [1 + len(word) % (self._tokens - 1) for word in text.split()]
        return SimpleNamespace(input_ids=[*ids, 1])
