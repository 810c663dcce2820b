"""Changes of a model's folder that tests make, and what is said of it."""

import json

import pytest

from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from tests.diffusers.renders import load


def edit(path, **changes):
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(data))


def weights(folder, part="transformer"):
    name = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    return folder / part / f"{name}.safetensors"


def problem(folder, *, loaded=False):
    with pytest.raises(FolderError) as caught:
        load(folder) if loaded else inspect_folder(folder)
    return caught.value


def shards(folder, names, part="transformer", **changes):
    """Write the index of weights in several files."""
    index = weights(folder, part).with_suffix(".safetensors.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": names} | changes))
    return index
