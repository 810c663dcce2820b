"""Open-Sora's official checkpoints in miniature: the same files in the same layout, tiny."""

from __future__ import annotations

import json
import shutil

import torch
from safetensors.torch import save_file

from inference.engines.weights import I2V, OPENSORA, T2V_360P, T2V_720P, VAE
from inference.opensora.config import VaeConfig
from inference.opensora.files import checkpoint_path
from inference.opensora.networks.vae import VideoVae
from tests.opensora import opensora_vectors as vectors

_CODER = {"ch": 32, "num_res_blocks": 1}
_VAE = {"encoder": _CODER, "decoder": _CODER}


def write(directory):
    """Write all checkpoints into a directory of weights."""
    text = vectors.NANO / "text_encoder"
    channels = json.loads((text / "config.json").read_text(encoding="utf-8"))["d_model"]
    config = {"hidden_size": 48, "num_heads": 2, "depth": 1, "caption_channels": channels}
    for seed, part in enumerate((T2V_360P, T2V_720P, I2V)):
        network = vectors.random_transformer(seed, **config, model_max_length=300)
        _save(checkpoint_path(part.source, directory), config, network)
    torch.manual_seed(5)
    _save(checkpoint_path(VAE.source, directory), _VAE, VideoVae(VaeConfig.from_dict(_VAE)))
    shutil.copytree(text, checkpoint_path(OPENSORA[-1].source, directory))


def _save(folder, config, network):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(network.state_dict(), folder / "model.safetensors")
