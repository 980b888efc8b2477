"""Tunes glibc's malloc: the process keeps the memory that it has once taken.

By default glibc returns memory after a backlog and takes it again, for each thread's arena separately: the worker's
size wanders by some 20 MiB for hours, and a frame waits whenever pages are taken. A line takes its maximum before it is
ready: the warm-up goes through every batch size, and a reserve beside it is as large as a full backlog. From then on it
needs no more, and no other program on the machine needs what it would return.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Parameters of mallopt(3)."""

LARGEST_KEPT: Final = 32 << 20
"""The largest threshold that mallopt accepts: larger blocks are mapped and returned each time."""

_SETTINGS: Final = (
    (_M_ARENA_MAX, 1),  # with several, one thread would keep memory that another needs
    (_M_MMAP_THRESHOLD, LARGEST_KEPT),
    (_M_TRIM_THRESHOLD, 1 << 30),
)


def keep_memory() -> bool:
    """Keep memory from now on. Returns False if the C library has no such option (it is not glibc).

    Call it before threads are started: an arena that exists stays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(key, value) == 1 for key, value in _SETTINGS)


@contextmanager
def reserved(size: int) -> Iterator[None]:
    """Hold `size` bytes, written to, in addition to everything allocated in the block; free them at its end.

    After `keep_memory` the process keeps them for later allocations; otherwise they are returned.
    """
    block = LARGEST_KEPT // 4  # well below the size that would be mapped
    held = [bytearray(min(block, size - begin)) for begin in range(0, size, block)]
    try:
        yield
    finally:
        held.clear()
