"""A block of profiles as a row source delivers them, and the interface of such a source."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """`n` profiles of `w` points each, in the order in which they were measured.

    `x_m` and `z_m` (n, w) float32: place across the belt and distance from the sensor, in metres, NaN where nothing was
    measured. `grey` (n, w) uint8: the laser's brightness. `encoder` (n,) int64: the counter at each row, as it is.
    `row_id` (n,) int64: the device's own count, None if it has none. `start` (n,) bool: the start signal is on.
    `time_ns` (n,) int64: CLOCK_REALTIME, None if the device is not synchronised.
    """

    x_m: NDArray[np.float32]
    z_m: NDArray[np.float32]
    grey: NDArray[np.uint8]
    encoder: NDArray[np.int64]
    row_id: NDArray[np.int64] | None = None
    start: NDArray[np.bool_] | None = None
    time_ns: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.encoder)


class RowSource(Protocol):
    """An open profiler. All calls come from one thread."""

    name: str

    def profiles(self, timeout_s: float) -> Profiles | None:
        """Return the next block, or None if none came in time.

        Everything in it is copied out of the device's buffer. Raises DeviceError, SourceEndedError at the end of files.
        """
        ...

    def close(self) -> None:
        """Stop the device and release it."""
        ...
