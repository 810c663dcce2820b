"""Classification of torch and CUDA exceptions: out of memory, broken device, or a bug.

Libraries raise `RuntimeError` for nearly everything, so the words have to tell.
"""

from __future__ import annotations

import re

from inference.bug_report import chain
from inference.domain.errors import EngineError

BROKEN = frozenset({"worker.device_failed", "worker.not_finite", "gpu.missing", "effect.hung"})
"""Codes after which the worker process is not to be trusted any more: it has to be replaced."""

_OUT_OF_MEMORY = re.compile(
    r"out.?of.?(device.?|host.?)?memory|(CUBLAS|CUDNN|CUFFT|CUSOLVER|CUSPARSE)_(STATUS_)?ALLOC_FAILED"
    r"|(CUDNN_STATUS_INTERNAL_ERROR_)?(DEVICE|HOST)_ALLOCATION_FAILED"
    r"|cudaErrorMemoryAllocation|(can't|cannot|could not|failed to|unable to) allocate"
    r"|not enough (GPU |device |host )?memory|insufficient (GPU |device )?memory"
    r"|memory allocation (failed|failure)|bad_alloc|allocation of \d+ bytes failed"
    r"|tried to allocate|OOM when allocating|could not create a memory"
    # What cuDNN says where no algorithm's workspace fits.
    r"|unable to find an engine to execute",
    re.IGNORECASE,
)
_OLD_DRIVER = re.compile(
    r"driver (on your system )?is too old|driver version is insufficient"
    r"|cudaErrorInsufficientDriver",
    re.IGNORECASE,
)
_WRONG_DRIVER = re.compile(
    r"(driver/library|library|driver) version mismatch|unsupported display driver"
    r"|cudaErrorSystemDriverMismatch|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
    r"|forward compatibility was attempted",
    re.IGNORECASE,
)
_NO_GPU = re.compile(
    r"no (CUDA|HIP|NVIDIA|ROCm)?[- ]?(capable )?(GPUs?|devices?)( are| is)? "
    r"(available|detected|found|visible)|no CUDA-capable device|found no NVIDIA driver"
    r"|might not have a CUDA|cuda\.is_available\(\) is False"
    r"|not compiled with CUDA|cudaErrorNoDevice|CUDA_ERROR_NO_DEVICE|invalid device ordinal",
    re.IGNORECASE,
)
_DEVICE_FAILED = re.compile(
    r"(CUDA|HIP|ROCm|NCCL|Triton|XPU|MPS)( runtime| driver| kernel| unknown)? ?(\[\w+\])?"
    r" ?(error|failure)"
    r"|Triton Error|(CUBLAS|CUDNN|CUFFT|CUSOLVER|CUSPARSE)_(STATUS_)?\w*"
    r"(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED|MAPPING_ERROR|EXEC_FAILED)"
    r"|\bcudaError\w+|\bCUDA_ERROR_\w+|\bhipError\w+"
    r"|illegal (memory access|address|instruction)|misaligned address|device-side assert"
    r"|launch (failure|failed|timed out)|\bECC\b|device (was )?(lost|unavailable|removed)"
    r"|GPU is lost|fallen off the bus|\bXid\b|NVML|hardware exception|device kernel image",
    re.IGNORECASE,
)


def diagnose(error: BaseException) -> EngineError | None:
    """Return the error for a library's exception, or None when it is a bug."""
    if is_out_of_memory(error):
        return EngineError("worker.out_of_memory", transient=True)
    words = " ".join(_words(one) for one in chain(error))
    if (unseen := unseen_gpu(words)) is not None:
        return unseen
    named = any(type(one).__name__ == "AcceleratorError" for one in chain(error))
    if named or _DEVICE_FAILED.search(words):
        return EngineError("worker.device_failed", transient=True)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether GPU or host memory ran out."""
    return any(
        isinstance(one, MemoryError)
        or type(one).__name__ == "OutOfMemoryError"
        or _OUT_OF_MEMORY.search(_words(one)) is not None
        for one in chain(error)
    )


def unseen_gpu(words: str) -> EngineError | None:
    """Return the error code for a GPU that torch cannot see, or None."""
    if _OLD_DRIVER.search(words):
        return EngineError("gpu.driver_too_old")
    if _WRONG_DRIVER.search(words):
        return EngineError("gpu.driver_mismatch")
    if _NO_GPU.search(words):
        return EngineError("gpu.missing", transient=True)
    return None


def not_finite(stage: str) -> EngineError:
    """Return the error for a result with NaN or infinity.

    The network does not compute such numbers, so the device or its memory did.
    """
    return EngineError("worker.not_finite", transient=True, stage=stage)


def _words(error: BaseException) -> str:
    """Return the message of a library's exception, or ""; others may quote a prompt."""
    loading = isinstance(error, AssertionError) and "CUDA" in str(error)
    return str(error) if loading or isinstance(error, (RuntimeError, OSError)) else ""
