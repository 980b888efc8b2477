"""The C library's heap: what the process has once taken it keeps.

Left to itself, glibc gives memory back after a backlog and takes it again, in each thread's arena by itself: the
worker's size wanders by some 20 MiB for hours, and every time pages are taken a frame waits for them. A line takes its
most before it is ready: what computations need in the warm-up, which goes through every batch size, and what a backlog
will hold in a reserve beside it. From there on it needs no more, and nobody else is there to use what it would give
back.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Of mallopt(3)."""

LARGEST_KEPT: Final = 32 << 20
"""The most that mallopt takes: larger blocks are mapped and given back each time."""

_SETTINGS: Final = (
    (_M_ARENA_MAX, 1),  # or threads would keep what others lack
    (_M_MMAP_THRESHOLD, LARGEST_KEPT),
    (_M_TRIM_THRESHOLD, 1 << 30),
)


def keep_memory() -> bool:
    """From here on memory is kept. False where the C library has no such switch (it is not glibc).

    To be called before threads are started: an arena that is there stays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(key, value) == 1 for key, value in _SETTINGS)


@contextmanager
def reserved(size: int) -> Iterator[None]:
    """Hold `size` bytes of memory, written to, beside all that is taken meanwhile; free for anything afterwards.

    It outlasts this where memory is kept (`keep_memory`); elsewhere it is given back.
    """
    block = LARGEST_KEPT // 4  # well below what would be mapped
    held = [bytearray(min(block, size - begin)) for begin in range(0, size, block)]
    try:
        yield
    finally:
        held.clear()
