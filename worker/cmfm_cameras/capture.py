"""One frame of a device, and the checks that keep a wrong one off the wire."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_protocol.wire.limits import MAX_COUNT, MAX_SIDE_PX, MAX_TEXT_BYTES

FARTHEST_MEDIAN_M: Final = 20.0
"""A median distance beyond this is no part on a line, but millimetres."""

NEAREST_M: Final = 1e-3
"""No sensor measures a distance below this."""

SAMPLE_POINTS: Final = 4096
"""Points that the extents are taken from: about this many, evenly spread."""

NO_PICTURE: Final[NDArray[np.uint8]] = np.empty((0, 0, 3), np.uint8)
NO_POINTS: Final[NDArray[np.float32]] = np.empty((0, 0, 3), np.float32)
"""The missing half of a capture of one of two devices (`adapters.two_devices`); `check_capture` refuses it."""


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """One frame of a device, copied out of the device's buffer.

    `rgb` (H, W, 3) uint8 sRGB. `xyz` (H, W, 3) float32 metres in the camera's frame, registered to `rgb` pixel by
    pixel, NaN where nothing was measured. `frame_id` is the device's own count, None if it has none. `trigger_ns` is
    CLOCK_REALTIME if the device's clock is synchronised with it, else None. `part_id` is empty unless the source knows
    it. `lost_before` counts the frames that the device says it lost since the capture before. `device_ns` is the time
    of the exposure by the device's own clock, whatever its epoch; `trigger_id` the number of the trigger that fired it,
    if the device is told it. Both serve to find the frames of two devices that belong together.
    """

    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    frame_id: int | None
    trigger_ns: int | None
    part_id: str = ""
    encoder: int | None = None
    exposure_us: float | None = None
    gain: float | None = None
    temperature_c: float | None = None
    lost_before: int = 0
    device_ns: int | None = None
    trigger_id: int | None = None
    seq: int | None = None

    def said(self) -> tuple[float | None, float | None, float | None]:
        """Return exposure in µs, gain and temperature in °C as a header carries them: finite numbers, or None."""
        return _finite(self.exposure_us, least=0.0), _finite(self.gain), _finite(self.temperature_c)

    def position(self) -> int | None:
        """Return the encoder's position, or None for one that a header cannot carry."""
        return int(self.encoder) if self.encoder is not None and abs(self.encoder) <= MAX_COUNT else None

    def refused(self, reason: Refusal, detail: str) -> RefusedCaptureError:
        """Return the error that refuses this capture and uses its number."""
        return RefusedCaptureError(
            reason,
            detail,
            frame_id=self.frame_id,
            trigger_ns=self.trigger_ns,
            lost_before=self.lost_before,
            part_id=self.part_id if is_text(self.part_id) else "",
        )


def _finite(value: float | None, least: float = -math.inf) -> float | None:
    return float(value) if value is not None and math.isfinite(value) and value >= least else None


def is_text(text: str) -> bool:
    """Tell whether a header can carry a text (WIRE.md, encoding)."""
    return text.isprintable() and len(text.encode(errors="replace")) <= MAX_TEXT_BYTES


def check_capture(capture: Capture) -> None:
    """Raise RefusedCaptureError for a capture that must not be published.

    Refuses arrays of another type or shape, points that are not registered to the picture, extents that look like
    millimetres, and a capture in which nothing was measured.
    """
    _check_arrays(capture)
    if not is_text(capture.part_id):
        raise capture.refused(
            Refusal.INVALID, f"part_id {capture.part_id[:40]!r} is not text of the wire (WIRE.md, encoding)"
        )
    _check_extents(capture)


def _check_arrays(capture: Capture) -> None:
    for name, array, dtype in (("rgb", capture.rgb, "|u1"), ("xyz", capture.xyz, "<f4")):
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype.str != dtype:
            raise capture.refused(
                Refusal.INVALID, f"{name} is {array.shape} {array.dtype}; expected (H, W, 3) {dtype}"
            )
        if not all(1 <= side <= MAX_SIDE_PX for side in array.shape[:2]):
            raise capture.refused(
                Refusal.INVALID, f"{name} has sides {array.shape[:2]}; the wire takes 1 to {MAX_SIDE_PX}"
            )
    if capture.rgb.shape != capture.xyz.shape:
        raise capture.refused(
            Refusal.NOT_REGISTERED,
            f"rgb is {capture.rgb.shape[:2]}, xyz {capture.xyz.shape[:2]} (rows, columns): not registered",
        )


def _check_extents(capture: Capture) -> None:
    z = measured_z(capture.xyz)
    if not z.size:
        raise capture.refused(Refusal.NOTHING_MEASURED, "every point is missing")
    nearest_m, median_m = float(z.min()), float(np.median(z))
    if median_m > FARTHEST_MEDIAN_M:
        raise capture.refused(
            Refusal.NOT_METRES,
            f"the median distance is {median_m:g}; beyond {FARTHEST_MEDIAN_M:g} m it is millimetres, set the unit",
        )
    if nearest_m < NEAREST_M:
        raise capture.refused(
            Refusal.NOT_METRES,
            f"the nearest point is at z = {nearest_m:g} m; z points away from the sensor and is above {NEAREST_M:g} m, "
            "mark what was not measured by NaN",
        )


def measured_z(xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return z of measured points: of a sample, or of all points if the sample has none."""
    z = xyz[..., 2]
    step = max(int((z.size / SAMPLE_POINTS) ** 0.5), 1)
    for candidates in (z[::step, ::step], z):
        known = candidates[np.isfinite(candidates)]
        if known.size:
            break
    return known
