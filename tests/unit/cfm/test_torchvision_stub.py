"""timm can be imported on every machine, also without the compiled half of torchvision."""

from __future__ import annotations

import subprocess
import sys

from cmfm_worker.cfm.image.torchvision_stub import make_torchvision_importable


def test_timm_imports_in_a_fresh_process() -> None:
    """After the call, `import timm` works without a warning."""
    program = (
        "from cmfm_worker.cfm.image.torchvision_stub import make_torchvision_importable as make\n"
        "make()\nimport timm\nassert timm.is_model('vit_base_patch8_224.dino')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_second_call_defines_nothing_anew() -> None:
    """A second call is safe and returns the same: operator names may be defined only once in a process."""
    assert make_torchvision_importable() is make_torchvision_importable()
