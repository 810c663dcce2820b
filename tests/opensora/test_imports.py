import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "diffusers", "safetensors", "numpy", "PIL")


@pytest.mark.process
def test_what_the_bot_may_ask_needs_no_torch():
    modules = "config, geometry, presets, prompts"
    code = (
        f"import sys; from inference.opensora import {modules}; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180
    )
    assert done.stdout.strip() == "[]"
