"""Writes docs/which-model.md from the presets: `python -m docs.which_model`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from inference.diffusers_pipelines.families import PRESETS
from inference.diffusers_pipelines.memory_plan import Placement, host_bytes
from inference.domain.device import Device
from inference.domain.errors import UserError
from inference.engines.built_in import ENTRIES
from inference.engines.diffusers_adapter.memory_check import find_footprint, plan_for
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.entry import TOO_LONG

TARGET = Path(__file__).parent / "which-model.md"
SIZES = (8, 12, 16, 24, 48, 80)
"""Memory of the GPUs in the table, in GB."""

_PLENTY = 10**15
_MARKS = {
    Placement.RESIDENT: "",
    Placement.TEXT_AWAY: " ¹",
    Placement.MODEL_OFFLOAD: " ²",
    Placement.GROUP_OFFLOAD: " ³",
}
_HEAD = """# Which model?

Written from the presets by `python -m docs.which_model`. `rushes models` says the same for the
GPU that you have.

`wan` is the advice to begin with: one set of weights for clips from text and from images, under a
free licence. `ltx` is by far the quickest, with sound and a last frame; its licence costs large
companies, and its weights are many. `kandinsky` is small, has sound and needs few steps.
`wan-14b` moves best and takes longest; with `few = true` it takes 4 steps instead of 40.
`wan-small` goes on small GPUs, and `wan-vace` with it, which takes reference images: with the
plugin `style`, a clip follows the style picture while it is made.

```toml
[models]
installed = ["wan"]
```

## What they are
"""
_SIZES_HEAD = """
## The largest clip by memory of the GPU

Resolution and frames; where a smaller resolution can be longer, `rushes models` lists it.
"""
_TAIL = """
¹ The text encoder leaves the GPU once the prompt is encoded. ² One network at a time is on the
GPU: seconds more a clip. ³ The layers come one by one while others compute: slower the fewer
frames there are. ⁴ The VAE works in tiles, or the weights are kept in eight bits: slightly other
pictures.

These are predictions from the sizes of the weights, and none of them was measured on such a GPU
yet. The memory of the machine counts as well, for all weights pass through it: see the first
table.

`kandinsky`, and folders with a processor of Qwen-VL, need torchvision besides, in the one release
that belongs to your torch: 0.28 to torch 2.13. Where it is missing, or another one is there, the
error names what to install.

Any other folder in Diffusers layout of the families Wan, LTX, Kandinsky 6, HunyuanVideo-1.5,
CogVideoX and Mochi can be named by its path. Mind the licence of its weights: that of
HunyuanVideo excludes the EU, the UK and South Korea.

```toml
[models]
installed = ["mochi"]

[models.mochi]
engine = "diffusers"
path = "/srv/models/mochi-1-preview"
```
"""


def page() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "| model | is | clips from | sound | fps | licence | memory of the machine |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, preset in PRESETS.items():
        capabilities = ENTRIES[name].capabilities
        starts = [mode.value for mode in sorted(capabilities.modes) if mode.value != "t2i"]
        words = {"t2v": "text", "i2v": "images"}
        taken = ", ".join(words[one] for one in sorted(starts, reverse=True))
        sound = "yes" if capabilities.sound else "no"
        footprint = find_footprint(entry_of(name, DiffusersTable(), name))
        host = math.ceil(host_bytes(footprint) / 1e9)
        yield (
            f"| `{name}` | {preset.title} | {taken} | {sound} | {preset.fps} | {preset.licence} |"
            f" {host} GB |"
        )
    yield _SIZES_HEAD
    yield "| GPU memory | " + " | ".join(f"`{name}`" for name in PRESETS) + " |"
    yield "| --- |" + " --- |" * len(PRESETS)
    for size in SIZES:
        cells = " | ".join(_largest(name, size) for name in PRESETS)
        yield f"| {size} GB | {cells} |"
    yield _TAIL.rstrip("\n")


def _largest(name: str, gigabytes: int) -> str:
    """Return the largest clip of a preset on a GPU, and a mark for how."""
    entry = entry_of(name, DiffusersTable(), name)
    served = ENTRIES[name]
    device = Device(name="gpu", memory_bytes=gigabytes * 10**9)
    for resolution in reversed(served.capabilities.resolutions):
        spec = served.largest_spec(resolution)
        for frames in reversed(tuple(served.capabilities.lengths)):
            try:
                plan = plan_for(
                    replace(spec, frames=frames),
                    served.capabilities,
                    entry.family,
                    find_footprint(entry),
                    device=device,
                    host=_PLENTY,
                )
            except UserError as error:
                if error.code != TOO_LONG:
                    break
            else:
                other = " ⁴" if plan.fp8 or plan.tiled else ""
                return f"{resolution.value} x {frames}{_MARKS[plan.placement]}{other}"
    return "-"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
