"""Traits of model families and presets, as frozen data. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

DENOISERS = ("transformer", "transformer_2")
"""Names of parts that denoise; the second is for low noise."""


class Layout(StrEnum):
    """Axis order of a pipeline's latents during sampling."""

    CHANNELS_FIRST = "batch, channels, frames, height, width"
    FRAMES_FIRST = "batch, frames, channels, height, width"
    CHANNELS_LAST = "batch, frames, height, width, channels"
    TOKENS = "batch, tokens, channels"
    TOKENS_LAST = "batch, tokens, channels; the tokens of given frames come first"


PLAIN_LEVELS: Mapping[str, Any] = MappingProxyType(
    {
        "use_flow_sigmas": True,
        "use_karras_sigmas": False,
        "use_exponential_sigmas": False,
        "use_beta_sigmas": False,
        "use_dynamic_shifting": False,
        "shift_terminal": None,
        "final_sigmas_type": "zero",
        "predict_x0": True,
        "thresholding": False,
        "stochastic_sampling": False,
    }
)
"""Scheduler settings of flow matching with noise levels as they are, but for the flow shift."""


class Images(StrEnum):
    """How a pipeline takes reference frames."""

    ARGUMENTS = "image, last_image"
    CONDITIONS = "conditions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Widths that determine the memory needed besides weights."""

    hidden: int
    """Hidden size of the transformer."""
    tokens_per_pixel: float
    """Transformer tokens per pixel of a latent frame: 1 / (VAE factor x patch size)^2."""
    decoder: int
    """Channels of the VAE's decoder per pixel of the clip."""
    frames_at_once: int | None = None
    """Frames that the VAE decodes at a time; None is all."""
    batched: bool = False
    """Whether both guidance branches are evaluated in one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Input channels of a transformer: `times` x the latents' channels `+ plus`."""

    times: int = 1
    plus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model family: its pipeline classes, and how to call them."""

    name: str
    text: str | None
    """Pipeline class for clips from text alone."""
    transformer: str
    """Class of its transformers."""
    vae: str
    """Class of its VAE."""
    image: str | None = None
    """Pipeline class for clips from a first frame."""
    ends: str | None = None
    """Pipeline class for clips between a first and a last frame."""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Parts that a pipeline class requires, besides those of all classes."""
    channels: Mapping[str, Channels] = field(default_factory=lambda: MappingProxyType({}))
    """Input channels of the transformer, by pipeline class."""
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Name prefixes of supported classes of other parts, by part."""
    widths_of: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Keys of the transformer's config with the widths of encoders, by part."""
    inverts: bool = False
    """Whether its scheduler inverts the noise levels."""
    schedulers: tuple[str, ...] = ("FlowMatch",)
    """Name prefixes of supported scheduler classes, besides those configured for flow matching."""
    prediction: str | None = None
    """What its transformers predict, if a scheduler's config must say so."""
    distilled_scheduler: str | None = None
    """Name prefix of the scheduler of distilled weights, if no others use it."""
    ends_scheduler: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Scheduler settings that `ends` requires, which replace the checkpoint's."""
    shared: bool = False
    """Whether all pipeline classes use the same weights."""
    shared_if: str | None = None
    """Config key that is true if a checkpoint serves all pipeline classes."""
    given: Images = Images.ARGUMENTS
    layout: Layout = Layout.CHANNELS_FIRST
    multiple: int = 16
    """Width and height are multiples of it."""
    pixels_per_latent: int = 8
    frames_per_latent: int = 4
    """Frames per latent frame, but for the first, which is one frame."""
    latents_at_once: int = 1
    """Latent frames after the first that the VAE decodes together; also the fewest it can."""
    lead_frames: int = 1
    """Frames that the next pass repeats from the end of a clip, if the model takes images."""
    stills: bool = True
    """Whether the model makes usable images (clips of one frame)."""
    least_steps: int = 1
    sound: bool = False
    streams: bool = False
    """Whether the VAE decodes one latent frame at a time, each final."""
    caches: bool = False
    """Whether diffusers' FirstBlockCache supports its blocks and pipelines."""
    fp32_vae: bool = False
    """Whether the VAE needs fp32, because it loses quality in bfloat16."""
    call: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Arguments of every call, besides those of the request."""
    compiles: bool = False
    """Whether the transformer's class lists blocks to compile one by one."""
    gguf: bool = False
    """Whether the transformer can be read from a GGUF file."""
    references: bool = False
    """Whether clips can follow reference images that are not frames of them."""
    widths: Widths

    @property
    def length_step(self) -> int:
        """Step of legal lengths, which are a multiple of it plus one."""
        return self.frames_per_latent * self.latents_at_once

    @property
    def classes(self) -> frozenset[str]:
        """Names of the family's pipeline classes."""
        return frozenset(name for name in (self.text, self.image, self.ends) if name is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository on the Hugging Face hub in Diffusers layout."""

    source: str
    revision: str | None = None
    """Commit or tag; None is the newest."""
    size_bytes: int
    """Approximate download size."""
    gated: bool = False
    """Whether its terms must be accepted on the hub first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA of one transformer for sampling in few steps."""

    source: str
    file: str
    transformer: str
    """Name of the part that it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    """Settings for sampling in few steps with LoRAs, enabled by `few` in the config."""

    loras: Mapping[str, tuple[Lora, ...]]
    """LoRAs by the source of the repository that they are for."""
    steps: int
    guidance: float
    shift: float
    scheduler: Mapping[str, Any]
    """Scheduler settings that replace the checkpoint's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Legal lengths in frames: `step` x n + 1, up to `most`."""

    step: int
    most: int
    usual: int
    """Default length."""

    def nearest(self, frames: int) -> tuple[int, ...]:
        """Return the legal lengths next to an illegal one, or a legal length itself."""
        if self.legal(frames):
            return (frames,)
        below = min(max((frames - 1) // self.step, 0) * self.step + 1, self.longest)
        return tuple(dict.fromkeys((below, min(below + self.step, self.longest))))

    def legal(self, frames: int) -> bool:
        """Return whether a length is legal."""
        return 1 <= frames <= self.most and (frames - 1) % self.step == 0

    @property
    def longest(self) -> int:
        """The longest legal length."""
        return (self.most - 1) // self.step * self.step + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A supported model: its family, weights, and settings that its checkpoint does not hold."""

    name: str
    title: str
    family: Family
    repositories: Mapping[str, Repository]
    """Repositories by the input of clips: "text" and "image", or "any" for both."""
    licence: str
    """One line with the licence and its exclusions."""
    fps: int
    sizes: Mapping[tuple[str, str], tuple[int, int]]
    """Width and height by resolution ("480p") and aspect ("16:9")."""
    lengths: Lengths
    steps: int
    sigmas: tuple[float, ...] | None = None
    """Noise levels of a distilled model, in place of a number of steps."""
    guidance: float
    guidance_low: float | None = None
    """Guidance scale of the second transformer, for low noise."""
    guidance_image: float | None = None
    """Guidance scale of clips from an image, if different."""
    negative: str | None = None
    """The model's default negative prompt; None if negative prompts have no effect."""
    shift: float | None = None
    """Flow shift of the scheduler, if different from the checkpoint's."""
    shift_image: float | None = None
    """Flow shift for clips from an image, if different."""
    scheduler: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Scheduler settings that replace the checkpoint's: the noise levels of its training."""
    few: Few | None = None
    advice: str
    """Instructions for the prompt assistant."""
    parameters: Mapping[str, float]
    """Billions of parameters by part, for the memory plan before weights are downloaded."""
    widths: Widths | None = None
    """Widths, if different from the family's."""
    petaflops: float
    """Operations of one evaluation (10^15) at the largest size and default length, for time
    estimates until it is measured."""

    def in_few_steps(self, few: Few) -> Preset:
        """Return the preset with the weights for few steps."""
        return replace(
            self,
            title=f"{self.title} ({few.steps} steps)",
            steps=few.steps,
            guidance=few.guidance,
            guidance_low=None,
            guidance_image=None,
            negative=None,
            shift=few.shift,
            shift_image=None,
        )

    @property
    def distilled(self) -> bool:
        """Whether steps and guidance are fixed."""
        return self.sigmas is not None or self.guidance == 1
