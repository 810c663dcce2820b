"""Packages for quantized weights in Diffusers layout, such as those of bitsandbytes. No torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.weights.folder import QUANTIZATION, FolderError, value_error

if TYPE_CHECKING:
    from inference.diffusers_pipelines.weights.folder import Part

BITSANDBYTES = "bitsandbytes"
"""Method whose weights go to the GPU while they are loaded, and stay there."""
_PACKAGES = {
    BITSANDBYTES: "bitsandbytes",
    "torchao": "torchao",
    "quanto": "optimum-quanto",
    "modelopt": "nvidia-modelopt",
}
"""Packages by the method that a config names."""
_OF_DIFFUSERS = frozenset({"modelopt"})
"""Methods that transformers does not have."""
_BITSANDBYTES_KEYS = ("load_in_4bit", "load_in_8bit")
"""Keys by which the libraries recognise bitsandbytes without its name."""


def method_of(part: Part) -> str | None:
    """Return the method by which a part's weights were quantized; None if they were not.

    Raises:
        FolderError: `folder.bad_value`: the config names none.
    """
    config: Any = part.config.get(QUANTIZATION)
    if config is None or (not config and part.library == "transformers"):
        return None
    if not isinstance(config, dict):
        raise value_error(part.config_file, QUANTIZATION, config)
    if any(config.get(key) for key in _BITSANDBYTES_KEYS):
        return BITSANDBYTES
    method = config.get("quant_method")
    if not isinstance(method, str):
        raise value_error(part.config_file, "quant_method", method)
    return method


def check_package(part: Part) -> None:
    """Check that the package for quantized weights is installed.

    Raises:
        FolderError: `folder.no_package`; `folder.no_method` for a method that is not supported;
            `folder.bad_value`.
    """
    method = method_of(part)
    if method is None:
        return
    known = _PACKAGES.keys() - (_OF_DIFFUSERS if part.library == "transformers" else set())
    if method not in known:
        shown = ", ".join(sorted(known))
        raise FolderError("folder.no_method", part=part.name, method=method, known=shown)
    try:
        version(_PACKAGES[method])
    except PackageNotFoundError as error:
        package = _PACKAGES[method]
        raise FolderError("folder.no_package", part=part.name, package=package) from error
