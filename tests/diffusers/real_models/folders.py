"""Folders of published models: weight files are sparse, so that they take no room.

A weight file is a header with the names, shapes and types of a class on the meta device, and a hole
in place of the data.
"""

import json
import struct
from functools import cache

import diffusers
import torch
import transformers
from diffusers.pipelines import ltx2

from tests.diffusers.real_models.published import MODELS

SHARD_BYTES = 5_000_000_000
"""Largest file, as in the repositories."""
KINDS = {torch.bfloat16: "BF16", torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}


def written(name, place, dtype=torch.bfloat16):
    """Write the folder of a model, and return its path."""
    pipeline_class, settings, parts = MODELS[name]
    index = {"_class_name": pipeline_class, "_diffusers_version": "0.42.0"} | settings
    for part, (library, class_name, values) in parts.items():
        index[part] = [library, class_name]
        if library is None or part == "diffusion_decoder":
            continue
        folder = place / part
        folder.mkdir(parents=True)
        if "Tokenizer" in class_name or class_name.endswith("VLProcessor"):
            write_tokenizer(folder, class_name, values)
        elif "Scheduler" in class_name:
            write_json(folder / "scheduler_config.json", values)
        elif "Guidance" in class_name:
            write_json(folder / "guider_config.json", values)
        elif "Processor" in class_name:
            write_json(folder / "preprocessor_config.json", values)
        else:
            write_json(folder / "config.json", values)
            write_weights(folder, library, _tensors(library, class_name, json.dumps(values), dtype))
    write_json(place / "model_index.json", index)
    (place / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (place / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (place / "assets").mkdir()
    (place / "assets" / "logo.png").write_bytes(b"\x89PNG")
    return place


@cache
def _tensors(library, class_name, config, dtype):
    """The names, shapes and types in the files of a class; tied tensors are there once."""
    module = {"diffusers": diffusers, "transformers": transformers, "ltx2": ltx2}[library]
    kind, values = getattr(module, class_name), json.loads(config)
    with torch.device("meta"):
        if library == "transformers":
            model = kind(kind.config_class.from_dict(values))
            model.tie_weights()
        else:
            model = kind.from_config(values)
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        stored = KINDS[dtype if tensor.is_floating_point() else tensor.dtype]
        found.setdefault(id(tensor), (name, stored, tuple(tensor.shape)))
    return tuple(found.values())


def write_weights(folder, library, tensors, variant=""):
    """Write sparse files of the size that the tensors have, with an index if there are several."""
    stem = "model" if library == "transformers" else "diffusion_pytorch_model"
    shards = [[]]
    size = 0
    for tensor in tensors:
        bytes_ = _bytes(tensor)
        if size and size + bytes_ > SHARD_BYTES:
            shards.append([])
            size = 0
        size += bytes_
        shards[-1].append(tensor)
    if len(shards) == 1:
        _write_sparse(folder / f"{stem}{variant}.safetensors", shards[0])
        return
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"{stem}{variant}-{number:05}-of-{len(shards):05}.safetensors"
        _write_sparse(folder / name, shard)
        weight_map |= {tensor[0]: name for tensor in shard}
    total = sum(map(_bytes, tensors))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / f"{stem}.safetensors.index{variant}.json", index)


def _bytes(tensor):
    _, dtype, shape = tensor
    return torch.Size(shape).numel() * {"F32": 4, "I64": 8, "U8": 1, "I8": 1}.get(dtype, 2)


def _write_sparse(path, tensors):
    header, place = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape in tensors:
        end = place + _bytes((name, dtype, shape))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, end]}
        place = end
    data = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(data)) + data)
        file.truncate(8 + len(data) + place)


def write_tokenizer(folder, class_name, words):
    """Write a vocabulary of the real size, in the file that the real one has."""
    config = {"tokenizer_class": class_name.removesuffix("Fast")}
    if class_name == "T5Tokenizer":
        pieces = b"".join(b"\x0a\x02\x0a\x00" for _ in range(words - 100))  # and the extra ids
        (folder / "spiece.model").write_bytes(pieces)
        write_json(folder / "added_tokens.json", {f"<extra_id_{one}>": one for one in range(100)})
    elif class_name == "CLIPTokenizer":
        write_json(folder / "vocab.json", {f"w{number}": number for number in range(words)})
        (folder / "merges.txt").write_text("#version: 0.2\n")
    elif words is not None:
        config["tokenizer_class"] = {"T": "T5Tokenizer", "Q": "Qwen2Tokenizer"}.get(
            class_name[0], "GemmaTokenizer"
        )
        added = [{"id": words - 1, "content": "<last>", "special": True}]
        if class_name.startswith("T5"):
            model = {"type": "Unigram", "vocab": [[f"w{one}", -1.0] for one in range(words)]}
        else:
            model = {"type": "BPE", "vocab": {f"w{one}": one for one in range(words - 22)}}
        write_json(folder / "tokenizer.json", {"model": model, "added_tokens": added})
    write_json(folder / "tokenizer_config.json", config)


def write_json(path, value):
    path.write_text(json.dumps(value))
