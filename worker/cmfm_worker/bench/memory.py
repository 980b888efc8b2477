"""Peak memory of this process, on the host and on the device."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def reset_peaks(device: torch.device) -> bool:
    """Reset the peaks. Returns False if the host's peak cannot be reset, which needs Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def host_peak_bytes() -> int:
    """Return the most memory the process has held since the last reset, or since its start."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kilobytes) * 1024


def reset_device_peaks(device: torch.device) -> None:
    """Reset the device's peaks only, and free memory that no tensor holds."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def device_peaks(device: torch.device) -> dict[str, int | None]:
    """Return the peaks since the last reset: `device_bytes` of tensors, `device_reserved_bytes` reserved by torch."""
    reserved = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
    return {"device_bytes": device_peak_bytes(device), "device_reserved_bytes": reserved}


def device_peak_bytes(device: torch.device) -> int | None:
    """Return the most memory that tensors have held on the device since the last reset, None on the CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
