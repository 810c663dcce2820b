"""The Triton kernels compute what their definitions do."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytest.importorskip("torch")

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed (Linux only)"),
]

OF_A_MODEL = {"channels", "heads", "pairs", "epsilon"}
"""Numbers that are the same for every clip."""


def test_no_kernel_is_compiled_for_the_size_of_a_clip():
    """Triton compiles anew for numbers that are 1 or divide by 16, unless it is told not to."""
    from triton.runtime import JITFunction

    from inference.opensora.networks.kernels import clips, tokens

    launched = {
        name: made
        for module in (clips, tokens)
        for name, made in vars(module).items()
        if isinstance(made, JITFunction) and made.fn.__name__ != "_place"
    }
    assert sorted(launched) == [
        "_add_gated", "_add_norm_modulate", "_norm_rotate", "_scaled", "_statistics",
    ]  # fmt: skip
    for name, kernel in launched.items():
        numbers = (one for one in kernel.params if not one.name.endswith("_at"))
        compiled = {one.name for one in numbers if not (one.is_constexpr or one.do_not_specialize)}
        assert compiled <= OF_A_MODEL, name


@pytest.mark.slow
@pytest.mark.process
def test_kernels_equal_their_definitions_in_the_interpreter():
    """In a process of its own: Triton looks once whether it is to interpret."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.opensora.kernel_cases"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,  # ends a hang, no slow machine
    )
    assert ran.returncode == 0, ran.stderr
