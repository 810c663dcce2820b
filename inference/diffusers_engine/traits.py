"""Traits of model families and of presets, as frozen data without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Layout(StrEnum):
    """Order of the axes of a pipeline's latents while it samples."""

    CHANNELS_FIRST = "batch, channels, frames, height, width"
    FRAMES_FIRST = "batch, frames, channels, height, width"
    CHANNELS_LAST = "batch, frames, height, width, channels"
    TOKENS = "batch, tokens, channels"
    TOKENS_LAST = "batch, tokens, channels; the tokens of given frames come first"


class Images(StrEnum):
    """How a pipeline takes given frames."""

    ARGUMENTS = "image, last_image"
    CONDITIONS = "conditions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Widths that decide how much memory is needed beside the weights."""

    hidden: int
    """Of the transformer."""
    tokens_per_pixel: float
    """Of the transformer, per pixel of a latent frame: 1 / (VAE's factor x patch)^2."""
    decoder: int
    """Channels of the VAE's decoder per pixel of the clip."""
    frames_at_once: int | None = None
    """Frames that the VAE decodes at a time; None: all."""
    batched: bool = False
    """Whether both branches of the guidance are evaluated in one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Channels that a transformer takes in, from those of the latents."""

    times: int = 1
    plus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model family: which pipeline classes it has, and how they are called."""

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
    """Parts that a pipeline class cannot do without, beside those that all have."""
    channels: Mapping[str, Channels] = field(default_factory=lambda: MappingProxyType({}))
    """What a transformer takes in, by pipeline class."""
    text_width: str | None = None
    """Member of the transformer's config that is the width of its text encoder."""
    schedulers: tuple[str, ...] = ("FlowMatch",)
    """How names of classes begin that are schedulers for it, beside those told to do flow."""
    ends_scheduler: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Settings of the scheduler that `ends` needs, where checkpoints may have others."""
    shared: bool = False
    """Whether all classes run on the same weights."""
    shared_if: str | None = None
    """The config setting that says that a checkpoint serves all classes, if not all do."""
    given: Images = Images.ARGUMENTS
    layout: Layout = Layout.CHANNELS_FIRST
    multiple: int = 16
    """Sides of a clip are multiples of it."""
    pixels_per_latent: int = 8
    frames_per_latent: int = 4
    """The first latent frame is one frame, each other one so many."""
    latents_at_once: int = 1
    """How many latent frames after the first its VAE decodes together: no fewer."""
    lead_frames: int = 1
    """Frames at the end of a clip that the next pass begins with, where it takes images at all."""
    stills: bool = True
    """Whether a clip of one frame is an image worth having."""
    least_steps: int = 1
    sound: bool = False
    streams: bool = False
    """Whether its VAE decodes latent frame by latent frame, each final at once."""
    caches: bool = False
    """Whether FirstBlockCache knows its blocks and its pipelines say which branch they are in."""
    fp32_vae: bool = False
    """Whether its VAE loses quality in bfloat16."""
    call: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Arguments of every call beside those of the request."""
    compiles: bool = False
    """Whether its transformer names the blocks that can be compiled one by one."""
    gguf: bool = False
    """Whether its transformer can be read from a GGUF file."""
    references: bool = False
    """Whether clips can be made after reference images, which need not be frames of them."""
    widths: Widths

    @property
    def length_step(self) -> int:
        """Lengths are a multiple of it plus one."""
        return self.frames_per_latent * self.latents_at_once

    @property
    def classes(self) -> frozenset[str]:
        """Names of its pipeline classes."""
        return frozenset(name for name in (self.text, self.image, self.ends) if name is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository on the Hugging Face hub in Diffusers layout."""

    source: str
    revision: str | None = None
    """Commit or tag; None: the newest."""
    size_bytes: int
    """Of what is downloaded, about."""
    gated: bool = False
    """Whether its terms must be accepted on the hub first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Weights that make a model need few steps, for one transformer."""

    source: str
    file: str
    transformer: str
    """Name of the part that they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    """Sampling in few steps, with weights of its own; a switch in the config."""

    loras: Mapping[str, tuple[Lora, ...]]
    """By the source of the repository that they belong to."""
    steps: int
    guidance: float
    shift: float
    scheduler: Mapping[str, Any]
    """Settings of the scheduler that differ from the checkpoint's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Legal lengths: `step` x n + 1 frames up to `most`."""

    step: int
    most: int
    usual: int
    """The default."""

    def nearest(self, frames: int) -> tuple[int, ...]:
        """Return the legal lengths around an illegal one, or the one itself."""
        if self.legal(frames):
            return (frames,)
        below = min(max((frames - 1) // self.step, 0) * self.step + 1, self.longest)
        return tuple(dict.fromkeys((below, min(below + self.step, self.longest))))

    def legal(self, frames: int) -> bool:
        """Return whether the model makes clips of this length."""
        return 1 <= frames <= self.most and (frames - 1) % self.step == 0

    @property
    def longest(self) -> int:
        """The longest legal length."""
        return (self.most - 1) // self.step * self.step + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model as it is served: a family, weights, and what the checkpoint does not say."""

    name: str
    title: str
    family: Family
    repositories: Mapping[str, Repository]
    """By what a clip is made from: "text", "image"; "any" where one serves both."""
    licence: str
    """One line: licence, and where or for whom it does not hold."""
    fps: int
    sizes: Mapping[tuple[str, str], tuple[int, int]]
    """Width and height by resolution ("480p") and aspect ("16:9")."""
    lengths: Lengths
    steps: int
    sigmas: tuple[float, ...] | None = None
    """Noise levels of a distilled model, which replace the number of steps."""
    guidance: float
    guidance_low: float | None = None
    """Of the second transformer, for low noise."""
    guidance_image: float | None = None
    """Of clips from an image, where it is another."""
    negative: str | None = None
    """The model's own negative prompt; None where negative prompts do nothing."""
    shift: float | None = None
    """Flow shift of the scheduler, where the checkpoint has another."""
    shift_image: float | None = None
    """The same for clips from an image, where it is another."""
    few: Few | None = None
    advice: str
    """What the prompt assistant is told."""
    parameters: Mapping[str, float]
    """Billions of numbers by part; what the memory plan counts with until the weights are there."""
    widths: Widths | None = None
    """Where they are not those of the family."""
    petaflops: float
    """Of one forward at the largest size and the usual length, for a first guess of the time."""

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
