"""The C library's heap: what the process has once taken it keeps.

Left to itself, glibc gives memory back after a backlog and takes it again, in each thread's arena by itself: the
worker's size wanders by some 20 MiB for hours, and every time pages are taken a frame waits for them. A line takes its
most in the warm-up, which goes through every batch size; from there on it needs no more, and nobody else is there to
use what it would give back.
"""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Of mallopt(3)."""

_SETTINGS: Final = (
    (_M_ARENA_MAX, 1),  # or threads would keep what others lack
    (_M_MMAP_THRESHOLD, 32 << 20),  # the most it takes: larger blocks are mapped and given back each time
    (_M_TRIM_THRESHOLD, 1 << 30),
)


def keep_memory() -> bool:
    """From here on memory is kept. False where the C library has no such switch (it is not glibc).

    To be called before threads are started: an arena that is there stays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(key, value) == 1 for key, value in _SETTINGS)
