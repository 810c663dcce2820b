"""How fast Open-Sora v1.3 renders on this machine, with random weights of the real shapes.

    python -m benchmarks.opensora             seconds, peak memory and TFLOP/s per size and stage
    python -m benchmarks.opensora --ablate    what each short cut is worth, all in one run
    python -m benchmarks.opensora --small     a small model; chosen by itself without a GPU

The figures of a job are those of a warm engine: each case runs once unmeasured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from benchmarks import opensora_slow as slow
from inference.opensora import flops
from inference.opensora.conditioning import continue_clip
from inference.opensora.config import CoderConfig, TransformerConfig, VaeConfig
from inference.opensora.flops import LatentShape
from inference.opensora.geometry import (
    PixelSize,
    latent_frames,
    latent_size,
    official_size,
    schedule_ratio,
    timesteps,
)
from inference.opensora.networks.transformer import STDiT3
from inference.opensora.networks.vae import VideoVae
from inference.opensora.presets import OFFICIAL_I2V, OFFICIAL_T2V, SamplingPreset
from inference.opensora.sampler import Hooks, References, Sampler, branch_conditions

ATTENTION_ROWS = 1024
"""Queries of the VAE's attention at a time, on a GPU."""

TEXT_TOKENS = 60
"""Of a prompt of two sentences with its suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of job."""

    name: str
    size: PixelSize
    frames: int
    image: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The three networks and how they are run."""

    transformer: STDiT3
    vae: VideoVae
    text: T5EncoderModel
    steps: int
    sampler: type[Sampler] = Sampler
    prepare_each_time: bool = False


@dataclass(slots=True, kw_only=True)
class Measured:
    """Seconds, bytes and operations of the stages of a job."""

    seconds: dict[str, float]
    peak_bytes: int
    operations: dict[str, float]
    forwards: int

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ablate", action="store_true", help="turn each short cut off in turn")
    parser.add_argument("--small", action="store_true", help="a small model")
    parser.add_argument("--steps", type=int, help="sampling steps (30; small: 12)")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None)
    options = parser.parse_args()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    small = options.small or not cuda
    dtype = torch.bfloat16 if cuda else torch.float32
    compiled = cuda if options.compile is None else options.compile
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    peak = matmul_peak(device, dtype)

    console = Console(width=120)
    console.print(
        f"{name} · torch {torch.__version__} · {dtype} · {'small' if small else 'full-size'} model"
        f" · blocks {'compiled' if compiled else 'not compiled'}"
        f" · matmul {peak / 1e12:.3g} TFLOP/s"
    )
    model = build(device, dtype, small=small, steps=options.steps or (12 if small else 30))
    if compiled:
        model.transformer.compile_blocks()
    if options.ablate:
        console.print(ablation(model, cases(small=small)[1], compiled=compiled))
    else:
        console.print(overview(model, cases(small=small), peak))


def cases(*, small: bool) -> list[Case]:
    """Return what is measured: the table of the design, or small stand-ins for it."""
    if small:
        size = PixelSize(48, 80)
        return [
            Case(name="small image", size=size, frames=1),
            Case(name="small x 49", size=size, frames=49),
            Case(name="small x 49 from an image", size=size, frames=49, image=True),
        ]
    middle, large = official_size("360p", "16:9"), official_size("720p", "16:9")
    return [
        Case(name="360p image", size=middle, frames=1),
        Case(name="360p x 49", size=middle, frames=49),
        Case(name="360p x 49 from an image", size=middle, frames=49, image=True),
        Case(name="360p x 97", size=middle, frames=97),
        Case(name="720p x 97", size=large, frames=97),
    ]


def overview(model: Model, measured: Sequence[Case], peak: float) -> Table:
    """Measure the cases, each after a warm-up, as rows of a table."""
    table = Table(title=f"A job of {model.steps} steps", title_justify="left")
    for column in ("", "s", "text", "sample", "decode", "forwards", "peak GB", "TFLOP/s", "share"):
        table.add_column(column, justify="left" if not column else "right")
    for case in measured:
        measure(model, case)
        found = measure(model, case)
        rate = sum(found.operations.values()) / found.total
        table.add_row(
            case.name,
            f"{found.total:.2f}",
            *(f"{found.seconds[stage]:.2f}" for stage in ("text", "sample", "decode")),
            str(found.forwards),
            f"{found.peak_bytes / 1e9:.1f}" if found.peak_bytes else "-",
            f"{rate / 1e12:.3g}",
            f"{rate / peak:.0%}",
        )
    return table


def ablation(model: Model, case: Case, *, compiled: bool) -> Table:
    """Measure a case with each short cut turned off, beside the whole before and after it."""
    table = Table(title=f"{case.name}, {model.steps} steps", title_justify="left")
    for column in ("without", "s", "with it", "gain", "peak GB"):
        table.add_column(column, justify="left" if column == "without" else "right")
    for name, without in _variants(model, compiled=compiled):
        measure(model, case)
        before = measure(model, case).total
        with without() as changed:
            measure(changed, case)
            found = measure(changed, case)
        measure(model, case)
        whole = (before + measure(model, case).total) / 2
        table.add_row(
            name,
            f"{found.total:.2f}",
            f"{whole:.2f}",
            f"{found.total / whole:.2f} x",
            f"{found.peak_bytes / 1e9:.1f}" if found.peak_bytes else "-",
        )
    return table


def _variants(model: Model, *, compiled: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a name and a context manager for the model without one short cut."""

    @contextmanager
    def idle() -> Iterator[Model]:
        yield replace(model, sampler=slow.EveryBranch)

    @contextmanager
    def prepared() -> Iterator[Model]:
        yield replace(model, prepare_each_time=True)

    @contextmanager
    def windows() -> Iterator[Model]:
        slow.use_padded_windows(model.transformer, on=True)
        yield model
        slow.use_padded_windows(model.transformer, on=False)

    @contextmanager
    def rows() -> Iterator[Model]:
        model.vae.work_in_slices(frames=None, rows=None if _on_gpu(model) else ATTENTION_ROWS)
        yield model
        _usual_slices(model.vae)

    @contextmanager
    def layout() -> Iterator[Model]:
        slow.use_contiguous_weights(model.vae)
        yield model
        _usual_layout(model.vae)

    @contextmanager
    def text() -> Iterator[Model]:
        model.text.float()
        yield model
        model.text.to(model.transformer.dtype)

    @contextmanager
    def uncompiled() -> Iterator[Model]:
        with torch.compiler.set_stance("force_eager"):
            yield model

    yield "skipping branches whose guidance is 1", idle
    yield "keys, values and tables once a request", prepared
    yield "windows without masks", windows
    yield "VAE attention by rows" if _on_gpu(model) else "VAE attention in one piece", rows
    yield "VAE weights channels last", layout
    if _on_gpu(model):
        yield "T5 in bf16", text
    if compiled:
        yield "compiled blocks", uncompiled


def measure(model: Model, case: Case) -> Measured:
    """Run a job once."""
    device = model.transformer.device
    shape = _latents(model, case)
    forwards = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def count(branches: int) -> None:
        nonlocal forwards
        forwards += branches

    clock = _Clock(device)
    with torch.inference_mode():
        with clock.stage("text"):
            ids = torch.randint(0, 99, (1, TEXT_TOKENS), device=device)
            tokens = model.text(input_ids=ids).last_hidden_state[0].to(model.transformer.dtype)
        with clock.stage("sample"):
            latents = _sample(model, case, shape, tokens, Hooks(on_forwards=count))
        with clock.stage("decode"):
            for chunk in model.vae.decode_chunks(latents):
                chunk.to(torch.float16).cpu()
    _, _, frames, height, width = shape
    latent = LatentShape(frames=frames, height=height, width=width)
    config = model.transformer.config
    return Measured(
        seconds=clock.seconds,
        peak_bytes=torch.cuda.max_memory_allocated() if device.type == "cuda" else 0,
        operations={
            "text": flops.t5_encode(
                TEXT_TOKENS,
                width=model.text.config.d_model,
                inner=model.text.config.d_ff,
                layers=model.text.config.num_layers,
            ),
            "sample": forwards * flops.transformer_forward(config, latent, TEXT_TOKENS),
            "decode": flops.vae_decode(model.vae.config.decoder, latent),
        },
        forwards=forwards,
    )


def _latents(model: Model, case: Case) -> tuple[int, int, int, int, int]:
    height, width = latent_size(case.size)
    channels = model.transformer.config.in_channels
    return (1, channels, latent_frames(case.frames), height, width)


def _sample(
    model: Model, case: Case, shape: tuple[int, ...], tokens: Tensor, hooks: Hooks
) -> Tensor:
    generator = torch.Generator().manual_seed(7)

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator)

    references: References | None = None
    preset: SamplingPreset = OFFICIAL_T2V
    if case.image:
        clip = torch.randn((*shape[:2], 5, *shape[3:]), generator=generator)
        references = replace(continue_clip(clip, shape[2]), frames=(0,))
        preset = OFFICIAL_I2V
    network = model.transformer
    if model.prepare_each_time:
        network = slow.PreparedEachTime(model.transformer)  # type: ignore[assignment]  # plays its part
    conditions = branch_conditions(
        network, shape, [tokens], fps=24, size=case.size, references=references
    )
    sampler = model.sampler(network, conditions, preset, references=references, hooks=hooks)
    levels = timesteps(model.steps, schedule_ratio(case.size, case.frames))
    return sampler.run(noise(), levels, noise)


class _Clock:
    """Takes the time of stages, waiting for the device at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._settle()
        begun = time.perf_counter()
        yield
        self._settle()
        self.seconds[name] = time.perf_counter() - begun

    def _settle(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def build(device: torch.device, dtype: torch.dtype, *, small: bool, steps: int) -> Model:
    """Build the networks on the device, with weights like those after initialisation."""
    torch.manual_seed(1)
    network, coder, text = (
        TransformerConfig(),
        CoderConfig(temporal_levels=frozenset()),
        T5Config(
            d_model=4096,
            d_kv=64,
            d_ff=10240,
            num_layers=24,
            num_heads=64,
            vocab_size=32128,
            feed_forward_proj="gated-gelu",
        ),
    )
    if small:
        network = TransformerConfig(hidden_size=288, depth=4, num_heads=4, caption_channels=64)
        coder = replace(coder, base_channels=32)
        text = T5Config(d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, vocab_size=999)
    vae = VaeConfig(
        encoder=replace(coder, temporal_levels=frozenset({1, 2})),
        decoder=replace(coder, temporal_levels=frozenset({2, 3})),
    )
    with device:
        model = Model(
            transformer=_ready(STDiT3(network), dtype),
            vae=_ready(VideoVae(vae), dtype),
            text=_ready(T5EncoderModel(text), dtype),
            steps=steps,
        )
    model.transformer.rope.float()
    for table in model.transformer.modules():
        if hasattr(table, "scale_shift_table"):
            nn.init.normal_(table.scale_shift_table, std=0.02)
    _usual_layout(model.vae)
    _usual_slices(model.vae)
    return model


def _ready(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return network.to(dtype).requires_grad_(requires_grad=False).eval()


def _usual_layout(vae: VideoVae) -> None:
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)


def _usual_slices(vae: VideoVae) -> None:
    on_gpu = vae.device.type == "cuda"
    vae.work_in_slices(frames=None, rows=ATTENTION_ROWS if on_gpu else None)


def _on_gpu(model: Model) -> bool:
    return bool(model.transformer.device.type == "cuda")


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large matrix product, the best of a few."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        clock = _Clock(device)
        with clock.stage("product"):
            left @ right
        best = min(best, clock.seconds["product"])
    return float(2 * side**3 / best)


if __name__ == "__main__":
    main()
