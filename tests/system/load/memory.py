"""Memory of processes over a run: each one's maximum, and its use early and late."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def resident_mib(pid: str) -> float | None:
    """Resident memory of a process (a number, or `self`), MiB; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("VmRSS")), None)
    return int(found) / 1024 if found is not None else None


class MemoryLog:
    """Samples by name of process; `harness` is this process."""

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = defaultdict(list)

    def sample(self, pids: Mapping[str, int]) -> None:
        """Take a sample of the processes."""
        for name, process in [*((name, str(pid)) for name, pid in pids.items()), ("harness", "self")]:
            held = resident_mib(process)
            if held is not None:
                self._samples[name].append(held)

    def figures(self) -> dict[str, Any]:
        """MiB at 10 %, 50 % and 100 % of the run, and the maximum, by name."""
        return {name: self._figures(values) for name, values in self._samples.items()}

    def _figures(self, values: list[float]) -> dict[str, float]:
        at = {"at_10": 0.1, "at_50": 0.5, "at_100": 1.0}
        found = {name: values[min(int(share * len(values)), len(values) - 1)] for name, share in at.items()}
        return {name: round(value, 1) for name, value in {**found, "most": max(values)}.items()}
