"""Measurement of one job of the Open-Sora networks with random weights, by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from benchmarks.opensora import flops, slow
from benchmarks.opensora.flops import LatentShape
from inference.opensora.conditioning import continue_clip
from inference.opensora.config import CoderConfig, TransformerConfig, VaeConfig
from inference.opensora.geometry import (
    PixelSize,
    latent_frames,
    latent_size,
    schedule_ratio,
    timesteps,
)
from inference.opensora.graphs import GraphCache
from inference.opensora.networks import switch
from inference.opensora.networks.transformer import STDiT3
from inference.opensora.networks.vae import VideoVae
from inference.opensora.presets import NANO, OFFICIAL_I2V, OFFICIAL_T2V, SamplingPreset
from inference.opensora.sampler import Hooks, References, Sampler, branch_conditions

ATTENTION_ROWS = 1024
"""Queries of the VAE's attention at a time, on a GPU."""

TEXT_TOKENS = 60
"""Tokens of a prompt of two sentences with its suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kind of job to measure."""

    name: str
    size: PixelSize
    frames: int
    image: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The three networks, and how they are run."""

    transformer: STDiT3
    vae: VideoVae
    text: T5EncoderModel
    steps: int
    sampler: type[Sampler] = Sampler
    prepare_each_time: bool = False
    skips: bool = False
    sequential: bool = False
    """Whether guidance branches are evaluated one after the other."""
    turns: bool = False
    """Whether only the network in use is on the GPU."""
    graphs: GraphCache | None = None
    preset: SamplingPreset = OFFICIAL_T2V
    reference_preset: SamplingPreset = OFFICIAL_I2V


@dataclass(slots=True, kw_only=True)
class Measured:
    """Seconds, bytes and FLOPs of the stages of a job."""

    seconds: dict[str, float]
    peak_bytes: int
    """Peak memory allocated for tensors."""
    reserved_bytes: int
    """Peak memory reserved on the GPU."""
    operations: dict[str, float]
    forwards: int

    @property
    def total(self) -> float:
        """Total seconds of all stages."""
        return sum(self.seconds.values())


def measure(
    model: Model, case: Case, *, check: Callable[[], None] = lambda: None, decodes: bool = True
) -> Measured:
    """Run a job once.

    Args:
        model: The networks, and how to run them.
        case: The job.
        check: Called before every evaluation and chunk; raises to stop.
        decodes: Whether the latents are decoded.

    Raises:
        ArithmeticError: Latents or pixels are not finite.
    """
    device = model.transformer.device
    shape = _latents(model, case)
    forwards = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def count(branches: int) -> None:
        nonlocal forwards
        forwards += branches

    clock = Clock(device)
    with torch.inference_mode():
        _bring(model, "text", device)
        with clock.stage("text"):
            ids = torch.randint(0, 99, (1, TEXT_TOKENS), device=device)
            tokens = model.text(input_ids=ids).last_hidden_state[0].to(model.transformer.dtype)
        _bring(model, "transformer", device)
        with clock.stage("sample"):
            hooks = Hooks(on_forwards=count, check=check)
            latents = _sample(model, case, shape, tokens, hooks)
        _check_finite(latents)
        _bring(model, "vae", device)
        with clock.stage("decode"):
            finite = True
            for chunk in model.vae.decode_chunks(latents) if decodes else ():
                check()
                pixels = chunk.to(torch.float16).cpu()
                finite = finite and bool(pixels.isfinite().all())
        if not finite:
            raise ArithmeticError("pixels are not finite")
    if model.turns:
        for network in (model.text, model.transformer, model.vae):
            network.to(device)
    return Measured(
        seconds=clock.seconds,
        peak_bytes=torch.cuda.max_memory_allocated() if device.type == "cuda" else 0,
        reserved_bytes=torch.cuda.max_memory_reserved() if device.type == "cuda" else 0,
        operations=operations(model, case, forwards, decodes=decodes),
        forwards=forwards,
    )


def _bring(model: Model, name: str, device: torch.device) -> None:
    """Move a network to the device, and the others off it if only one may be there."""
    if not model.turns:
        return
    networks = {"text": model.text, "transformer": model.transformer, "vae": model.vae}
    for other in networks.keys() - {name}:
        networks[other].to("cpu")
    networks[name].to(device)


def operations(
    model: Model, case: Case, forwards: int, *, decodes: bool = True
) -> dict[str, float]:
    """Return the FLOPs of each stage of a job."""
    _, _, frames, height, width = _latents(model, case)
    latent = LatentShape(frames=frames, height=height, width=width)
    text, config = model.text.config, model.transformer.config
    return {
        "text": flops.t5_encode(
            TEXT_TOKENS, width=text.d_model, inner=text.d_ff, layers=text.num_layers
        ),
        "sample": forwards * flops.transformer_forward(config, latent, TEXT_TOKENS),
        "decode": flops.vae_decode(model.vae.config.decoder, latent) if decodes else 0,
    }


def _check_finite(values: Tensor) -> None:
    if not values.isfinite().all():
        raise ArithmeticError("latents are not finite")


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
    preset = model.preset
    if case.image:
        clip = torch.randn((*shape[:2], 5, *shape[3:]), generator=generator)
        references = replace(continue_clip(clip, shape[2]), frames=(0,))
        preset = model.reference_preset
    network = model.transformer
    if model.prepare_each_time:
        network = slow.PreparedEachTime(model.transformer)  # type: ignore[assignment]  # same interface
    conditions = branch_conditions(
        network, shape, [tokens], fps=24, size=case.size, references=references
    )
    sampler = model.sampler(
        network,
        conditions,
        preset,
        references=references,
        sequential=model.sequential,
        skips=model.skips,
        graphs=model.graphs,
        hooks=hooks,
    )
    ratio = preset.timestep_shift or schedule_ratio(case.size, case.frames)
    levels = timesteps(model.steps, ratio)
    return sampler.run(noise(), levels, noise)


class Clock:
    """Timer of stages, which synchronises with the device at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Context manager that measures a stage."""
        self._settle()
        begun = time.perf_counter()
        yield
        self._settle()
        self.seconds[name] = time.perf_counter() - begun

    def _settle(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def build_nano() -> Model:
    """Load the bundled nano model, for the CPU.

    Raises:
        ImportError: transformers is not installed.
    """
    from inference.opensora.pipeline import OpenSoraPipeline  # noqa: PLC0415 - needs transformers

    folder = resources.files("inference").joinpath("weights", "nano")
    pipeline = OpenSoraPipeline.load_nano(Path(str(folder)))
    return Model(
        transformer=pipeline.transformer,
        vae=pipeline.vae,
        text=pipeline.text_encoder.model,
        steps=NANO.steps,
        preset=NANO,
        reference_preset=NANO,
    )


def build(device: torch.device, dtype: torch.dtype, *, small: bool, steps: int) -> Model:
    """Build the networks on the device, with random weights as after initialisation."""
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
    usual_layout(model.vae)
    usual_slices(model.vae)
    if on_gpu(model):
        _choose_kernels(device, network)
    return model


def _ready(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return network.to(dtype).requires_grad_(requires_grad=False).eval()


def usual_layout(vae: VideoVae) -> None:
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)


def usual_slices(vae: VideoVae) -> None:
    on_gpu = vae.device.type == "cuda"
    vae.work_in_slices(frames=None, rows=ATTENTION_ROWS if on_gpu else None)


def _choose_kernels(device: torch.device, config: TransformerConfig) -> None:
    """Use Triton kernels as the engine does; without structlog, without comparing them first."""
    if find_spec("structlog") is not None:
        from inference.opensora.networks.backends import choose_kernels  # noqa: PLC0415 - logs

        choose_kernels(device, config)
    elif find_spec("triton") is not None:
        switch.use_kernels(on=True)


def uses_triton(model: Model) -> bool:
    """Return whether fused operations run as Triton kernels."""
    with torch.no_grad():
        return switch.kernels(model.transformer.null_caption) is not None


def on_gpu(model: Model) -> bool:
    return bool(model.transformer.device.type == "cuda")


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large matrix product, the best of several runs."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        clock = Clock(device)
        with clock.stage("product"):
            left @ right
        best = min(best, clock.seconds["product"])
    return float(2 * side**3 / best)
