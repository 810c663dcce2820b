"""Latent previews: pictures of a clip while it is sampled, without the VAE.

Two neighbouring states x = a x0 + s noise and x' = a' x0 + s' noise give an estimate of the clean
clip: x0 = (x' s - x s') / (a' s - a s'). It is exact for Euler steps of flow matching.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
import torch
from torch import Tensor

from inference.diffusers_pipelines.traits import Layout
from inference.opensora.preview import LatentPreview, PreviewFit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from inference.diffusers_pipelines.call import ClipRequest
    from inference.diffusers_pipelines.weights.folder import Folder, Part

    Pixels = npt.NDArray[np.uint8]

_log = structlog.get_logger(__name__)

_FINE_FACTOR = 8
"""VAEs with at most so many pixels per latent are drawn with `_FINE_PATCH` pixels per latent."""
_FINE_PATCH, _COARSE_PATCH = 4, 8
LEARNED_LATENTS = 4
"""Latent frames of a clip that the map is fitted on."""
_STATES = 2
_MARK_BYTES = 1 << 16


class States:
    """The last two sampler states of one render.

    Args:
        folder: The model's folder.
        request: The clip to render.
    """

    def __init__(self, folder: Folder, request: ClipRequest) -> None:
        side = folder.pixels_per_latent
        self._layout = folder.family.layout
        self._grid = (
            (request.frames - 1) // folder.family.frames_per_latent + 1,
            request.height // side,
            request.width // side,
        )
        self._before = len(request.references) if folder.family.references else 0
        """Latent frames of reference images, which come first."""
        self._latest: list[Tensor] = []
        self._count = 0

    def add(self, state: Tensor) -> None:
        """Add the state after a step."""
        self._latest = [*self._latest[-1:], state.detach()]
        self._count += 1

    @contextmanager
    def watch(self, pipeline: Any) -> Iterator[dict[str, Any]]:
        """Collect the states of a pipeline call; yields the keyword arguments to pass to it."""
        if "callback_on_step_end" in inspect.signature(pipeline.__call__).parameters:

            def on_step(_pipe: Any, _step: int, _time: Any, tensors: dict[str, Any]) -> Any:
                self.add(tensors["latents"])
                return tensors

            yield {"callback_on_step_end": on_step}
            return
        # Patched only where there is no callback: some pipelines copy their scheduler.
        scheduler = pipeline.scheduler
        step = scheduler.step

        def stepping(*args: Any, **options: Any) -> Any:
            result = step(*args, **options)
            self.add(result[0] if isinstance(result, tuple) else result.prev_sample)
            return result

        scheduler.step = stepping
        try:
            yield {}
        finally:
            del scheduler.step

    def last(self) -> Tensor | None:
        """Return the newest state, [channels, frames, height, width]."""
        return self._unpacked(self._latest[-1]) if self._latest else None

    def estimate(self, scheduler: Any) -> Tensor | None:
        """Return an estimate of the clean latents, [channels, frames, height, width].

        None before the second step, and for schedulers with unknown noise levels.
        """
        if len(self._latest) < _STATES:
            return None
        levels = [_level(scheduler, self._count - back) for back in (1, 0)]
        if levels[0] is None or levels[1] is None:
            return None
        (clear, noise), (clear_now, noise_now) = levels[0], levels[1]
        below = clear_now * noise - clear * noise_now
        before, now = map(self._unpacked, self._latest)
        if before is None or now is None or not below:
            return None
        return (now.float() * noise - before.float() * noise_now) / below

    def _unpacked(self, state: Tensor) -> Tensor | None:
        first = state[0]
        match self._layout:
            case Layout.CHANNELS_FIRST:
                found = first
            case Layout.FRAMES_FIRST:
                found = first.transpose(0, 1)
            case Layout.CHANNELS_LAST:
                found = first.permute(3, 0, 1, 2)
            case Layout.TOKENS | Layout.TOKENS_LAST:
                count = math.prod(self._grid)
                if len(first) < count:
                    return None
                last = self._layout is Layout.TOKENS_LAST
                tokens = first[-count:] if last else first[:count]
                found = tokens.T.reshape(-1, *self._grid)
        return found[:, self._before :][:, : self._grid[0]]


def _level(scheduler: Any, steps: int) -> tuple[float, float] | None:
    """Return the weights of the clean clip and of the noise after a number of steps."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        if steps >= len(sigmas):
            return None
        sigma = float(sigmas[steps])
        if scheduler.config.get("invert_sigmas", False):
            return sigma, 1 - sigma
        return 1 - sigma, sigma
    shares = getattr(scheduler, "alphas_cumprod", None)
    if shares is None:
        return None
    times = scheduler.timesteps
    share = shares[int(times[steps])] if steps < len(times) else scheduler.final_alpha_cumprod
    return float(share) ** 0.5, (1 - float(share)) ** 0.5


class LearnedPreviews:
    """Cache of preview maps by VAE, shared by all models with the same VAE."""

    def __init__(self) -> None:
        self._known: dict[str, LearnedPreview] = {}

    def of(self, folder: Folder) -> LearnedPreview:
        """Return the map of a folder's VAE; for a new VAE, one that is not fitted yet."""
        return self._known.setdefault(_mark_of(folder.parts["vae"]), LearnedPreview(folder))


def _mark_of(vae: Part) -> str:
    """Return a hash of a VAE: of its config, and of the first and last bytes of its files."""
    found = hashlib.sha256(repr(sorted(vae.config.items())).encode())
    for path in vae.files:
        size = path.stat().st_size
        found.update(str(size).encode())
        with path.open("rb") as file:
            found.update(file.read(_MARK_BYTES))
            file.seek(max(0, size - _MARK_BYTES))
            found.update(file.read())
    return found.hexdigest()


class LearnedPreview:
    """The linear map from latents to pictures of one VAE, fitted on its first clip.

    If the fit fails there are no previews; the render goes on without them.
    """

    def __init__(self, folder: Folder) -> None:
        family = folder.family
        fine = folder.pixels_per_latent <= _FINE_FACTOR
        self._factor = family.frames_per_latent
        self._fit = PreviewFit(_FINE_PATCH if fine else _COARSE_PATCH, self._factor)
        self._map: LatentPreview | None = None

    @property
    def frames_to_learn(self) -> int:
        """Number of frames that the fit needs; 0 once it is fitted."""
        return 0 if self._map is not None else 1 + (LEARNED_LATENTS - 1) * self._factor

    def still(self, states: States, scheduler: Any) -> Callable[[], Pixels] | None:
        """Return a function that draws the estimated clip, or None without a map or estimate."""
        if self._map is None:
            return None
        drawn = self._map
        latents = states.estimate(scheduler)
        return None if latents is None else lambda: drawn.still(latents[None])

    def learn(self, state: Tensor | None, frames: Pixels) -> None:
        """Fit the map on a finished render.

        Args:
            state: Last state, [channels, frames, height, width].
            frames: The first frames of the clip, [frames, height, width, 3].
        """
        if state is None or not self.frames_to_learn:
            return
        try:
            clip = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
            self._fit.add(state[:, :LEARNED_LATENTS].float(), clip)
            self._map = self._fit.solve()
        except Exception as error:  # noqa: BLE001 - a solver's error must not fail the render
            _log.warning("preview.not_fitted", error=type(error).__name__)
