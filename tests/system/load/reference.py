"""Present speed of the machine: the CPU time of a fixed piece of work, to tell its drift from the line's."""

import time
from typing import Final

import numpy as np

_SIDE: Final = 96
_PIXELS: Final = 1 << 18
_ROUNDS: Final = 12


class Reference:
    """Products and passes over pictures, as `classic` has them: some 10 ms, of which Python holds the lock little."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._matrix = rng.random((_SIDE, _SIDE), dtype=np.float32)
        self._picture = rng.random(_PIXELS, dtype=np.float32)

    def cpu_ms(self) -> float:
        """CPU time of this thread for the work, done now."""
        start_ns = time.thread_time_ns()
        for _ in range(_ROUNDS):
            np.einsum("ij,jk->ik", self._matrix, self._matrix)  # one thread, whatever BLAS would take
            np.sqrt(self._picture * self._picture + 1.0)
        return (time.thread_time_ns() - start_ns) / 1e6
