"""Kept clips: files with the latents of each pass and the sound, which a later clip extends.

A safetensors file with the decoder's inputs, so that decoding them again gives the same frames.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from inference.diffusers_pipelines.sound import Waveform
from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Inputs of one decoder call, in host memory."""

    latents: Tensor
    timestep: Tensor | None = None
    """Noise level for decoders that also denoise."""
    frames: int
    """Number of decoded frames."""
    skipped: int = 0
    """Number of first frames that repeat the end of the pass before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptClip:
    """Latents and sound of a whole clip."""

    passes: tuple[Pass, ...]
    sound: Waveform | None = None

    @property
    def frames(self) -> int:
        """Number of frames, without repeated ones."""
        return sum(one.frames - one.skipped for one in self.passes)

    def pack(self) -> bytes:
        """Serialise to the bytes of a file; `read` is the inverse."""
        tensors: dict[str, Tensor] = {}
        for number, one in enumerate(self.passes):
            tensors[f"latents.{number}"] = one.latents.contiguous()
            if one.timestep is not None:
                tensors[f"timestep.{number}"] = one.timestep.contiguous()
        about: dict[str, object] = {
            "frames": [one.frames for one in self.passes],
            "skipped": [one.skipped for one in self.passes],
        }
        if self.sound is not None:
            # The error of fp16 is far below that of AAC.
            tensors["sound"] = torch.from_numpy(self.sound.samples).half()
            about["rate"] = self.sound.rate
        return save(tensors, {"about": json.dumps(about)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file written with `pack`.

        Raises:
            EngineError: `latents.unreadable`.
        """
        try:
            return cls._read(path)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise EngineError("latents.unreadable") from error

    @classmethod
    def _read(cls, path: Path) -> Self:
        with safe_open(str(path), "pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            names = set(file.keys())
            passes = tuple(
                Pass(
                    latents=_finite(file.get_tensor(f"latents.{number}")),
                    timestep=(
                        file.get_tensor(f"timestep.{number}")
                        if f"timestep.{number}" in names
                        else None
                    ),
                    frames=int(frames),
                    skipped=int(skipped),
                )
                for number, (frames, skipped) in enumerate(
                    zip(about["frames"], about["skipped"], strict=True)
                )
            )
            if not passes:
                raise ValueError("no passes")
            sound = None
            if "sound" in names:
                samples = _finite(file.get_tensor("sound")).float().numpy()
                sound = Waveform(samples=samples, rate=int(about["rate"]))
        return cls(passes=passes, sound=sound)


def _finite(tensor: Tensor) -> Tensor:
    if not tensor.isfinite().all():
        raise ValueError("numbers that are not finite")
    return tensor
