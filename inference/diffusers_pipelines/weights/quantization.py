"""Packages for quantized weights in Diffusers layout, such as those of bitsandbytes. No torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.weights.folder import QUANTIZATION, FolderError, value_error

if TYPE_CHECKING:
    from inference.diffusers_pipelines.weights.folder import Part

_PACKAGES = {
    "bitsandbytes": "bitsandbytes",
    "torchao": "torchao",
    "quanto": "optimum-quanto",
    "modelopt": "nvidia-modelopt",
}
"""Packages by the method that a config names."""


def check_package(part: Part) -> None:
    """Check that the package for quantized weights is installed.

    Raises:
        FolderError: `folder.no_package`; `folder.bad_value` for an unknown method.
    """
    if QUANTIZATION not in part.config:
        return
    config: Any = part.config[QUANTIZATION]
    method = config.get("quant_method") if isinstance(config, dict) else config
    if not (isinstance(method, str) and method in _PACKAGES):
        raise value_error(part.config_file, "quant_method", method)
    try:
        version(_PACKAGES[method])
    except PackageNotFoundError as error:
        package = _PACKAGES[method]
        raise FolderError("folder.no_package", part=part.name, package=package) from error
