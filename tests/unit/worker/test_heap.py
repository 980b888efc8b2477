"""What the worker has once taken of memory it keeps."""

import subprocess
import sys

import pytest

PROGRAM = """
import threading
from cmfm_worker.heap import keep_memory

def resident_mib():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024

def backlog():
    frames = [bytearray(b"x") * (3 << 20) for _ in range(40)]
    small = [object() for _ in range(100_000)]
    del frames

if {keeps}:
    assert keep_memory()
before = resident_mib()
for _ in range(3):
    thread = threading.Thread(target=backlog)
    thread.start()
    thread.join()
print(resident_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_memory_of_a_backlog_is_kept_and_used_again() -> None:
    """Three backlogs in three threads leave the memory of one; left to itself the C library gives some back."""
    grown = {
        keeps: float(
            subprocess.run(
                [sys.executable, "-c", PROGRAM.format(keeps=keeps)],
                capture_output=True,
                check=True,
                text=True,
                timeout=60,
            ).stdout
        )
        for keeps in (True, False)
    }
    assert 110 < grown[True] < 160
    assert grown[False] < 0.8 * grown[True]
