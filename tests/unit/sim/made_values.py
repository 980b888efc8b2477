"""Small values that tests of the simulator start from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cmfm_protocol.files.dataset import PartFiles
from cmfm_sim.conveyor import Lot
from cmfm_sim.trigger_log import TriggerRecord


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, monotonic_ns: int = 0, realtime_ns: int = 1_000_000_000_000) -> None:
        self.now_ns = monotonic_ns
        self.offset_ns = realtime_ns - monotonic_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return self.now_ns + self.offset_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += max(round(seconds * 1e9), 1)


def part_files(name: str, defect: str = "good") -> PartFiles:
    return PartFiles(
        f"bagel-test-{defect}-{name}", "test", defect, Path(f"{name}.png"), Path(f"{name}.tiff"), None
    )


def lot(good: int, defective: int = 0) -> Lot:
    parts = [part_files(f"{i:03d}") for i in range(good)]
    parts += [part_files(f"1{i:02d}", "hole") for i in range(defective)]
    return Lot("bagel", tuple(parts))


def trigger(seq: int, **changes: Any) -> TriggerRecord:
    plain = TriggerRecord(
        "stream", seq, f"part-{seq}", 1_000_000_000 + seq * 100_000_000, 1000.0, "bagel", 0, "good"
    )
    return replace(plain, **changes)
