"""Vectors recorded from the original modules, for the parity tests.

A set is a folder with `manifest_v13.json` and the files that it talks about. A small one is beside
this file; a full one may lie beside the project (`shared`).
"""

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COPIED = HERE / "vectors"
SHARED = HERE.parents[1] / "../shared/parity"
NANO = HERE.parents[1] / "inference/weights/nano"


def sets():
    """Parametrize over the sets; the one beside the project skips where it is absent."""
    marks = [pytest.mark.shared]
    if not SHARED.is_dir():
        marks.append(pytest.mark.skip(reason=f"no full set of vectors at {SHARED}"))
    return [pytest.param(COPIED, id="copied"), pytest.param(SHARED, id="shared", marks=marks)]


def cases(section, having=""):
    """Parametrize over (set, case of a manifest section), those with a tensor of that name."""
    found = []
    for item in sets():
        folder = item.values[0]
        entries = manifest(folder).get(section, {}).get("cases", []) if folder.is_dir() else [None]
        found += [
            pytest.param(
                folder,
                entry,
                id=f"{item.id}-{entry['case'] if entry else 'absent'}",
                marks=item.marks,
            )
            for entry in entries
            if entry is None or not having or having in tensors(folder, section, entry["case"])
        ]
    return found


def manifest(folder):
    return read_json(folder / "manifest_v13.json")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def tensors(folder, section, case):
    """All tensors of a case by name without the case, such as `in/x` and `out`."""
    from safetensors import safe_open

    prefix = f"{case}/"
    with safe_open(folder / f"{section}_cases.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - no dict
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def transformer(folder):
    """The small transformer of a set, in fp32."""
    from inference.opensora.config import TransformerConfig
    from inference.opensora.networks.transformer import STDiT3

    config = TransformerConfig.from_dict(manifest(folder)["stdit13"]["config"])
    return _filled(STDiT3(config), folder / "stdit13_weights.safetensors")


def vae(folder):
    """The small VAE of a set, in fp32."""
    from inference.opensora.config import VaeConfig
    from inference.opensora.networks.vae import VideoVae

    config = VaeConfig.from_dict(manifest(folder)["vae13"])
    return _filled(VideoVae(config), folder / "vae13_weights.safetensors")


def _filled(model, path):
    from safetensors.torch import load_file

    model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return model.requires_grad_(requires_grad=False).eval()


def random_transformer(seed=0, **config):
    """A transformer of any small shape with every parameter random."""
    import torch

    from inference.opensora.config import TransformerConfig
    from inference.opensora.networks.transformer import STDiT3

    defaults = {
        "hidden_size": 48,
        "num_heads": 2,
        "depth": 1,
        "caption_channels": 12,
        "model_max_length": 9,
    }
    generator = torch.Generator().manual_seed(seed)
    model = STDiT3(TransformerConfig(**defaults | config))
    for parameter in model.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.data = torch.randn(parameter.shape, generator=generator) / fan**0.5
    empty = model.null_caption
    empty.copy_(torch.randn(empty.shape, generator=generator))
    return model.requires_grad_(requires_grad=False).eval()
