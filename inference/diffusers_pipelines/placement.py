"""Placement of a pipeline's networks on host and device, according to a memory plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.hooks.group_offloading import apply_group_offloading
from torch import nn

from inference.diffusers_pipelines.hooks import denoisers, networks
from inference.diffusers_pipelines.memory_plan import Placement, Plan
from inference.diffusers_pipelines.prompts import text_encoders

if TYPE_CHECKING:
    from collections.abc import Callable

_CPU = torch.device("cpu")


class Placer:
    """Moves networks between host and device; group offloading and FP8 cannot be undone.

    Args:
        device: Device to compute on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.plan: Plan | None = None
        """The current plan; None before the first."""
        self.complete = False
        """Whether a forward pass was completed in group offloading. The first one records the order
        of layers and must not be interrupted."""
        self._offloaded: Any = None

    def lowest(self, plan: Plan) -> Plan:
        """Return a plan, changed to include what cannot be undone of the current one."""
        streaming = self.plan is not None and self.plan.placement is Placement.GROUP_OFFLOAD
        if not streaming or self.plan is None:
            return plan
        return Plan(
            placement=Placement.GROUP_OFFLOAD, fp8=self.plan.fp8 or plan.fp8, tiled=plan.tiled
        )

    def apply(self, pipeline: Any, plan: Plan) -> Plan:
        """Place the networks of a pipeline; returns the plan that was applied."""
        plan = self.lowest(plan)
        self._undo_offload(plan, pipeline)
        match plan.placement:
            case Placement.RESIDENT:
                _move(networks(pipeline), self.device)
            case Placement.TEXT_AWAY:
                self.text_away(pipeline)
                encoders = text_encoders(pipeline)
                _move([one for one in networks(pipeline) if one not in encoders], self.device)
            case Placement.MODEL_OFFLOAD:
                if self._offloaded is not pipeline:
                    pipeline.enable_model_cpu_offload(device=self.device)
                    self._offloaded = pipeline
            case Placement.GROUP_OFFLOAD:
                self._stream(pipeline, plan)
        if plan.tiled:
            pipeline.vae.enable_tiling()
        elif getattr(pipeline.vae, "use_tiling", False):
            pipeline.vae.disable_tiling()
        self.plan = plan
        return plan

    def encode(self, pipeline: Any, encoding: Callable[[], Any]) -> Any:
        """Encode a prompt, with the text encoders moved to the device for it."""
        if self.plan is None or self.plan.placement is not Placement.TEXT_AWAY:
            return encoding()
        _move(text_encoders(pipeline), self.device)
        try:
            return encoding()
        finally:
            self.text_away(pipeline)

    def text_away(self, pipeline: Any) -> None:
        """Move the text encoders to the host."""
        _move(text_encoders(pipeline), _CPU)

    def _undo_offload(self, plan: Plan, pipeline: Any) -> None:
        if self._offloaded is None:
            return
        if plan.placement is Placement.MODEL_OFFLOAD and self._offloaded is pipeline:
            return
        self._offloaded.remove_all_hooks()
        self._offloaded._all_hooks = []  # noqa: SLF001 - else reinstalled at the end of a call
        self._offloaded = None

    def _stream(self, pipeline: Any, plan: Plan) -> None:
        """Install group offloading, after FP8 storage if the plan has both."""
        begun = self.plan is not None and self.plan.placement is Placement.GROUP_OFFLOAD
        if plan.fp8 and not (self.plan is not None and self.plan.fp8):
            for denoiser in denoisers(pipeline):
                network: Any = denoiser
                network.enable_layerwise_casting(
                    storage_dtype=torch.float8_e4m3fn, compute_dtype=network.dtype
                )
        if begun:
            return
        streamed = [*denoisers(pipeline), *text_encoders(pipeline)]
        _move([one for one in networks(pipeline) if one not in streamed], self.device)
        on_gpu = self.device.type == "cuda"
        for module in streamed:
            apply_group_offloading(
                module,
                onload_device=self.device,
                offload_device=_CPU,
                offload_type="leaf_level",
                use_stream=on_gpu,
                low_cpu_mem_usage=on_gpu,  # False copies all weights to pinned memory
            )
        self.complete = not on_gpu


def _move(modules: list[nn.Module], device: torch.device) -> None:
    for module in modules:
        if any(tensor.device.type != device.type for tensor in module.parameters()):
            module.to(device)
