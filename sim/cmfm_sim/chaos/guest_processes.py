"""Guests of a line under chaos: a second worker and rough cameras, processes that end by themselves."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cmfm_sim.chaos.line import ChaosLine
from cmfm_sim.chaos.plan import ActKind
from cmfm_sim.processes import Child

GUEST_LIMIT_S: Final = 60.0
TICK_S: Final = 0.02

NO_ROOM: Final = 3
"""Exit code of a worker that cannot write its ledger at its start, or finds it in use."""

IN_USE: Final = "is in use by pid"
"""Words of a worker whose ledger another one holds."""


class Guests:
    """Starts guests and waits for their end. `rough_logs` are the logs of the rough cameras."""

    def __init__(self, line: ChaosLine) -> None:
        self.rough_logs: list[Path] = []
        self._line = line
        self._running: dict[ActKind, Child] = {}

    def start(self, kind: ActKind, seed: int) -> None:
        """Start the guest of an act; `seed` is that of the plan."""
        if kind is ActKind.SECOND_WORKER:
            self._running[kind] = self._line.start_second_worker()
            return
        self._running[kind], log = self._line.start_rough(kind.target, seed * 1000 + len(self.rough_logs))
        self.rough_logs.append(log)

    def wait(self, kind: ActKind, worker: Child | None, tick: Callable[[], None]) -> str | None:
        """Wait for the guest's end. Returns what is wrong with it, or None. `worker` is the line's own."""
        guest, until_s = self._running.pop(kind), time.monotonic() + GUEST_LIMIT_S
        while guest.returncode is None and time.monotonic() < until_s:
            tick()
            time.sleep(TICK_S)
        if guest.returncode is None:
            guest.kill()
            return f"{kind} did not end within {GUEST_LIMIT_S:g} s"
        return _second(guest, worker) if kind is ActKind.SECOND_WORKER else _rough(kind, guest)


def _second(guest: Child, worker: Child | None) -> str | None:
    if guest.returncode != NO_ROOM:
        return f"a second worker on one ledger ended with exit code {guest.returncode} instead of {NO_ROOM}"
    said = guest.output()
    if IN_USE not in said or (worker is not None and str(worker.pid) not in said):
        return "a second worker on one ledger does not say who holds it"
    return None


def _rough(kind: ActKind, guest: Child) -> str | None:
    if guest.returncode:
        return f"{kind} ended with exit code {guest.returncode}:\n{guest.output()[-500:]}"
    return None
