"""NSFW classifier for pictures, through onnxruntime. Runs in the media process only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256
"""Pixels that a picture is squeezed to, whatever its shape."""

CROP = 224
"""Pixels of the middle that the model looks at."""

MEAN_BGR = np.array((104.0, 117.0, 123.0), np.float32)
"""What the model was trained without."""


def rate(pictures: Sequence[Path], model: Path) -> list[float]:
    """Return the probability that each picture is explicit, 0 to 1.

    The model is kept loaded from call to call (80 MB).
    """
    session = _session(model)
    name = session.get_inputs()[0].name
    # One by one: a batch of large activations would need more memory and be no faster here.
    return [float(session.run(None, {name: pixels(path)})[0][0][1]) for path in pictures]


def load(model: Path) -> None:
    """Load the model, if it is not yet: processes that are forked later have it then."""
    _session(model)


def pixels(path: Path) -> NDArray[np.float32]:
    """Return a picture as the model takes it: (1, 224, 224, 3), BGR, without the mean."""
    with Image.open(path) as file:
        squeezed = file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    edge = (SIDE - CROP) // 2
    middle = np.asarray(squeezed, np.float32)[edge : edge + CROP, edge : edge + CROP]
    return (middle[:, :, ::-1] - MEAN_BGR)[None]


@cache
def _session(model: Path) -> Any:
    runtime = import_module("onnxruntime")  # an extra; callers have checked that it is installed
    options = runtime.SessionOptions()
    # Its threads would each reserve memory that counts against the process's limit.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: its warnings are about graph nodes nobody here made
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
