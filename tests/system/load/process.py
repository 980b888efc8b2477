"""CPU time and memory of a process and of the rest of the machine, from proc(5)."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


def end_in_order_on_sigterm() -> None:
    """Let SIGTERM unwind this program as Ctrl-C does, so that its processes end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one process: resident memory in MiB (all of it, and that not backed by files), threads, open files."""

    rss_mib: float
    anonymous_mib: float
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """The present footprint. Raises OSError if there is no such process."""
        status = (_PROC / str(pid) / "status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        kib = {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon")}
        files = len(os.listdir(_PROC / str(pid) / "fd"))  # noqa: PTH208 (no Path for each of them)
        return cls(kib["VmRSS"] / 1024, kib["RssAnon"] / 1024, int(fields["Threads"]), files)


class CpuShares:
    """Cores in use since the last call: by the worker, by this program, and by all others on the machine.

    `stolen` are those that a hypervisor gave to other machines while something here was ready to run.
    """

    def __init__(self, worker_pid: int) -> None:
        self._pids = (worker_pid, os.getpid())
        self._last = self._read()

    def shares(self) -> dict[str, float]:
        """Names and mean cores since the last call. Raises OSError if the worker is gone."""
        before, self._last = self._last, self._read()
        wall_s = max(self._last[0] - before[0], 1e-9)
        worker, own, busy, stolen = (
            (b - a) / wall_s for a, b in zip(before[1:], self._last[1:], strict=True)
        )
        return {"worker": worker, "own": own, "others": max(busy - worker - own, 0.0), "stolen": stolen}

    def _read(self) -> tuple[float, float, float, float, float]:
        worker, own = (_cpu_s(pid) for pid in self._pids)
        return time.monotonic(), worker, own, *_machine_s()


def _cpu_s(pid: int) -> float:
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S  # utime, stime


def _machine_s() -> tuple[float, float]:
    """All processors: user, nice, system, irq and softirq together, and steal."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(field) for field in (_PROC / "stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq) * _TICK_S, steal * _TICK_S
