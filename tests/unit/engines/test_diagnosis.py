import pytest

from inference.device_errors import BROKEN, diagnose, is_out_of_memory


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


class AcceleratorError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("HIP out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("cudaErrorMemoryAllocation"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("UR error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.9 GiB"),
        RuntimeError("Resource exhausted: OOM when allocating tensor"),
        RuntimeError("could not create a memory object"),
        RuntimeError("Allocation of 4096 bytes failed"),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_known_by_all_its_names(error):
    assert is_out_of_memory(error)
    found = diagnose(error)
    assert (found.code, found.transient) == ("worker.out_of_memory", True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("CUDA driver error: invalid argument"),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
        RuntimeError("HIP error: unspecified launch failure"),
        RuntimeError("CUDA error: the launch timed out and was terminated"),
        RuntimeError("device lost"),
        RuntimeError("GPU is lost. Reboot the system to recover this GPU"),
        RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED"),
        RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
        AcceleratorError("something new"),
    ],
    ids=str,
)
def test_a_device_that_broke_is_replaced_and_the_job_tried_again(error):
    found = diagnose(error)
    assert (found.code, found.transient) == ("worker.device_failed", True)
    assert found.code in BROKEN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("No CUDA GPUs are available"), "gpu.missing"),
        (RuntimeError("CUDA error: no CUDA-capable device is detected"), "gpu.missing"),
        (RuntimeError("Found no NVIDIA driver on your system."), "gpu.missing"),
        (AssertionError("Torch not compiled with CUDA enabled"), "gpu.missing"),
        (
            RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."),
            "gpu.missing",
        ),
        (
            RuntimeError(
                "Attempting to deserialize object on a CUDA device"
                " but torch.cuda.is_available() is False."
            ),
            "gpu.missing",
        ),
        (
            RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."),
            "gpu.driver_too_old",
        ),
        (
            RuntimeError("CUDA driver version is insufficient for CUDA runtime version"),
            "gpu.driver_too_old",
        ),
        (
            RuntimeError("Failed to initialize NVML: Driver/library version mismatch"),
            "gpu.driver_mismatch",
        ),
    ],
    ids=str,
)
def test_a_gpu_that_is_not_seen_is_told_with_its_cause(error, code):
    assert diagnose(error).code == code


def test_the_cause_behind_an_error_counts():
    error = ValueError("no picture")
    error.__cause__ = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert diagnose(error).code == "worker.device_failed"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("a prompt about a CUDA error: out of memory"),
        KeyError("device lost"),
        ZeroDivisionError(),
    ],
    ids=str,
)
def test_a_bug_is_a_bug_also_where_it_quotes_a_prompt(error):
    assert diagnose(error) is None
