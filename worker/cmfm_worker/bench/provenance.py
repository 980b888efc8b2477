"""The origin of a report's numbers: machine, versions, commit, date."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "timm", "numpy", "scipy", "pykdtree", "triton", "pointnet2_ops")


def provenance(devices: Sequence[str]) -> dict[str, Any]:
    """Describe the machine and the software as a JSON object, without host names or paths."""
    commit, changed = _commit()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "uncommitted_changes": changed,
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "devices": {name: _device_name(torch.device(name)) for name in devices},
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def cpu_name() -> str:
    """Return the processor's name as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def source_tree() -> Path | None:
    """Return the checkout that this package runs from, or None if it was installed without one."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "worker" / "cmfm_worker").is_dir() else None


def _commit() -> tuple[str | None, bool | None]:
    root, git = source_tree(), shutil.which("git")
    if root is None or git is None:
        return None, None
    commit = _output(git, "-C", str(root), "rev-parse", "HEAD")
    changes = _output(git, "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return commit or None, None if changes is None else bool(changes)


def _output(*command: str) -> str | None:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type != "cuda":
        return cpu_name()
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, compute capability {found.major}.{found.minor}, {found.total_memory >> 20} MiB"
