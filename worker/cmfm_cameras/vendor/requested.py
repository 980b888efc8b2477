"""Cameras that take a frame when they are asked: a request every `period_s`, and its frame as a capture.

The request is the trigger. If no frame comes of it, its number is used all the same; the device is opened again after
that. Requests that are late, because a frame took longer than the period, are not made up for.
"""

import time
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.capture import Capture
from cmfm_cameras.errors import DeviceError, Refusal, RefusedCaptureError
from cmfm_cameras.numbering import FrameIds
from cmfm_protocol.clock import NS_PER_S

LONGEST_TRIGGER_AGE_S: Final = 0.9
"""A trigger that is older when its frame is there is not believed (`publisher`): its arrival counts instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One frame in arrays of its own: `rgb` (H, W, 3) uint8 sRGB, and `xyz` (H, W, 3) float32 metres of its pixels."""

    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    exposure_us: float | None = None
    gain: float | None = None
    temperature_c: float | None = None


class Source(Protocol):
    """An open camera that takes a frame when it is asked. `name` is vendor, model and serial number."""

    name: str

    def take(self) -> Taken:
        """Take one frame. Raises DeviceError, RefusedCaptureError."""
        ...

    def close(self) -> None:
        """Release the camera. Never raises for one that is gone."""
        ...


class RequestedDevice:
    """A device of `cmfm_cameras.device` that asks `source` for a frame every `period_s`. It has no frame ids."""

    def __init__(self, source: Source, period_s: float) -> None:
        self.name = source.name
        self.frame_ids = FrameIds()
        self._source, self._period_s = source, period_s
        self._due_s = time.monotonic()
        self._failed: DeviceError | None = None

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the frame of the next request, or None if none is due within `timeout_s`."""
        if self._failed is not None:
            raise self._failed
        left_s = self._due_s - time.monotonic()
        time.sleep(min(max(left_s, 0.0), timeout_s))
        if left_s > timeout_s:
            return None
        self._due_s = max(self._due_s + self._period_s, time.monotonic())
        return self._requested(time.time_ns())

    def close(self) -> None:
        """Release the camera."""
        self._source.close()

    def _requested(self, at_ns: int) -> Capture:
        try:
            taken = self._source.take()
        except RefusedCaptureError as error:
            error.trigger_ns = _recent(at_ns)
            raise
        except DeviceError as error:
            self._failed = error
            detail = f"no frame came of a request: {error}"
            raise RefusedCaptureError(Refusal.INCOMPLETE, detail, trigger_ns=_recent(at_ns)) from error
        return Capture(
            taken.rgb,
            taken.xyz,
            frame_id=None,
            trigger_ns=_recent(at_ns),
            exposure_us=taken.exposure_us,
            gain=taken.gain,
            temperature_c=taken.temperature_c,
        )


def _recent(at_ns: int) -> int | None:
    return at_ns if time.time_ns() - at_ns < LONGEST_TRIGGER_AGE_S * NS_PER_S else None
