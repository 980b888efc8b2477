"""The worker keeps the memory that it has once taken."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import threading
from cmfm_worker.line.health.malloc import keep_memory, reserved

def resident_mib():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024

def backlog():
    frames = [bytearray(b"x") * (3 << 20) for _ in range(40)]
    small = [object() for _ in range(100_000)]
    del frames

if sys.argv[1] == "keeps":
    assert keep_memory()
with reserved(int(sys.argv[2]) << 20):
    pass
before = resident_mib()
for _ in range(3):
    thread = threading.Thread(target=backlog)
    thread.start()
    thread.join()
print(resident_mib() - before)
"""


def grown_mib(memory: str, reserve_mib: int = 0) -> float:
    """Return by how much a new process grows in three backlogs of 120 MiB, in three threads."""
    command = [sys.executable, "-c", PROGRAM, memory, str(reserve_mib)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_memory_of_a_backlog_is_kept_and_used_again() -> None:
    """Three backlogs need the memory of one; by default the C library returns some of it."""
    kept = grown_mib("keeps")
    assert 110 < kept < 160
    assert grown_mib("left alone") < 0.8 * kept


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_backlog_finds_its_memory_in_the_reserve() -> None:
    """A backlog uses the memory that was reserved before the line was ready: the process does not grow."""
    assert grown_mib("keeps", reserve_mib=130) < 12
