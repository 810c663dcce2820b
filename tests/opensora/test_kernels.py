"""The Triton kernels compute what their definitions do."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.model


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed (Linux only)")
def test_kernels_equal_their_definitions_in_the_interpreter():
    """In a process of its own: Triton looks once whether it is to interpret."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.opensora.kernel_cases"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
