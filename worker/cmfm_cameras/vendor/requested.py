"""Cameras that take a frame when they are asked: by the photo-eye, or every `period_s`. Its frame is a capture.

The request is the trigger. If no frame comes of it, its number is used all the same; the device is opened again after
that. A request of the photo-eye that comes too late, because the camera was busy, is refused, and its number is used.
Periodic requests that are late, because a frame took longer than the period, are not made up for.
"""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.capture import Capture
from cmfm_cameras.errors import DeviceError, Refusal, RefusedCaptureError
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.vendor.shots import Shot, Shots
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
    """A device of `cmfm_cameras.device` that asks `source` for a frame every `period_s`, or as `fire_by` says.

    It has no frame ids. `counts` are those of `Shots`.
    """

    def __init__(self, source: Source, period_s: float) -> None:
        self.name = source.name
        self.frame_ids = FrameIds()
        self.counts: Counter[str] = Counter()
        self._source, self._period_s = source, period_s
        self._shots: Shots | None = None
        self._late_s = 0.0
        self._due_s = time.monotonic()
        self._failed: DeviceError | None = None

    def fire_by(self, shots: Shots, late_s: float) -> None:
        """Take a frame for each request, and refuse those that are older than `late_s`; no longer every `period_s`."""
        self._shots, self._late_s = shots, late_s

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the frame of the next request, or None if none is due within `timeout_s`."""
        if self._failed is not None:
            raise self._failed
        if self._shots is not None:
            return self._fired(self._shots, timeout_s)
        left_s = self._due_s - time.monotonic()
        time.sleep(min(max(left_s, 0.0), timeout_s))
        if left_s > timeout_s:
            return None
        self._due_s = max(self._due_s + self._period_s, time.monotonic())
        return self._requested(time.time_ns())

    def close(self) -> None:
        """Release the camera."""
        self._source.close()

    def _fired(self, shots: Shots, timeout_s: float) -> Capture | None:
        shot = shots.next(timeout_s)
        self.counts.update(shots.take_counts())
        if shot is None:
            return None
        if shot.age_s > self._late_s:
            raise RefusedCaptureError(
                Refusal.LATE,
                f"asked for {shot.age_s:.3f} s ago: the camera was busy or away; at most late_s = {self._late_s:g}",
                trigger_ns=_recent(shot.trigger.trigger_ns),
                part_id=shot.trigger.part_id,
                seq=shot.trigger.seq,
            )
        time.sleep(max(-shot.age_s, 0.0))
        return self._requested(shot.trigger.trigger_ns, shot)

    def _requested(self, at_ns: int, shot: Shot | None = None) -> Capture:
        part_id, seq = (shot.trigger.part_id, shot.trigger.seq) if shot is not None else ("", None)
        try:
            taken = self._source.take()
        except RefusedCaptureError as error:
            error.trigger_ns, error.part_id, error.seq = _recent(at_ns), part_id, seq
            raise
        except DeviceError as error:
            self._failed = error
            detail = f"no frame came of a request: {error}"
            raise RefusedCaptureError(
                Refusal.INCOMPLETE, detail, trigger_ns=_recent(at_ns), part_id=part_id, seq=seq
            ) from error
        return Capture(
            taken.rgb,
            taken.xyz,
            frame_id=None,
            trigger_ns=_recent(at_ns),
            part_id=part_id,
            seq=seq,
            exposure_us=taken.exposure_us,
            gain=taken.gain,
            temperature_c=taken.temperature_c,
        )


def _recent(at_ns: int) -> int | None:
    return at_ns if abs(time.time_ns() - at_ns) < LONGEST_TRIGGER_AGE_S * NS_PER_S else None
