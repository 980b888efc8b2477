"""What the points of `xyz` can be: metres in the sensor's frame, z away from the sensor (WIRE.md, array description).

A point is measured if 0 < z ≤ 20 m and |x|, |y| ≤ 20 m. NaN and (0, 0, 0) mark a point that was not measured. Any other
point is impossible: it counts as not measured too (other sensors write z = 0, −9999 or 1e10 there), and is counted.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_RANGE_M: Final = 20.0
"""No sensor over an inspection line sees farther, so a larger coordinate is no metre."""

MIN_DISTANCE_M: Final = 0.01
MAX_DISTANCE_M: Final = 10.0
"""Bounds of the median distance (z) of a frame's points. Frames in millimetres, or converted twice, lie outside."""

MAX_VIEW: Final = 4.0
"""Most width of a frame's points over their distance, along its narrower side: a view of 127°.

Heights over a tray (a world frame) have a small z and a large width."""

MIN_FLATNESS: Final = 2.0
"""Least width of a world frame's points over their range of z."""

TALL_VIEW: Final = 1.0
"""The same as `MAX_VIEW` for a frame in which half of the points have z = 0 exactly: a tall part on a tray at 0."""

LEAST_DEPTH: Final = 0.2
"""Least share of the far points' z that near points have, where many points have z = 0 exactly.

A part's flanks rise from the tray, so the lowest heights are near 0. Nothing is that near to a sensor that sees the
rest of the frame."""

_SAMPLES_A_SIDE: Final = 32
_FEW: Final = 0.1
"""Least share of measured points with which the others are gaps, and not points in another unit."""

_MANY: Final = 0.25
"""Share of points behind the sensor that no sensor gives, whatever the others are: swapped axes, or a world frame."""

_GREATEST: Final = 1e7
_UNITS: Final = (("millimetres", 1e-3), ("micrometres", 1e-6))


class PointFacts(NamedTuple):
    """Measures of one frame's points.

    `impossible_px` counts impossible points. `distance_m` is the median z of a sample of the points, None if nothing
    was measured. `problem` says why they cannot be metres in the sensor's frame, None if they can.
    """

    impossible_px: int
    distance_m: float | None
    problem: str | None


def point_facts(xyz: NDArray[np.float32]) -> PointFacts:
    """Look at every point of a frame (H, W, 3), and at a sample of them for their distance."""
    distance_m, problem = look_at_sample(xyz)
    return PointFacts(count_impossible(xyz), distance_m, problem)


def measured(xyz: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell for points (..., 3) which were measured: (...) bool."""
    x, y, z = (xyz[..., axis] for axis in range(3))  # three times as fast as a reduction over the last axis
    with np.errstate(invalid="ignore"):
        return (z > 0) & (z <= MAX_RANGE_M) & (np.abs(x) <= MAX_RANGE_M) & (np.abs(y) <= MAX_RANGE_M)


def count_impossible(xyz: NDArray[np.float32]) -> int:
    """Count the points (..., 3) that are impossible: neither measured nor marked as not measured."""
    rest = xyz[~measured(xyz)]
    return int(np.count_nonzero(~np.isnan(rest).any(axis=1) & rest.any(axis=1)))


def look_at_sample(xyz: NDArray[np.float32]) -> tuple[float | None, str | None]:
    """Return the median distance of a sample of at most 32×32 points, and why they are no metres of the sensor.

    Takes a fraction of a millisecond for a frame of any size.
    """
    rows, columns = (-(-side // _SAMPLES_A_SIDE) for side in xyz.shape[:2])
    sample = xyz[rows // 2 :: rows, columns // 2 :: columns].reshape(-1, 3)
    sample = sample[np.isfinite(sample).all(axis=1) & sample.any(axis=1)]
    near = np.abs(sample).max(axis=1, initial=0.0) <= MAX_RANGE_M
    inside = near & (sample[:, 2] > 0)
    below = sample[near & (sample[:, 2] < 0), 2]
    if (
        len(below) > _MANY * len(sample) and below.min() < below.max()
    ):  # one value for all marks what was not measured
        return None, _behind(len(below) / len(sample))
    if np.count_nonzero(inside) >= max(_FEW * len(sample), 1):
        return _of_measured(sample[inside], sample[near])
    if len(below) > _FEW * len(sample):
        return None, _behind(len(below) / len(sample))
    return _of_foreign_unit(sample[:, 2])


def _behind(share: float) -> str:
    return (
        f"{share:.0%} of the points have z < 0: are they in the sensor's frame, z away from it, and the axes in the "
        "order x, y, z?"
    )


def _of_measured(points: NDArray[np.float32], near: NDArray[np.float32]) -> tuple[float, str | None]:
    distance_m = float(np.median(points[:, 2]))
    if distance_m > MAX_DISTANCE_M:
        return distance_m, f"median distance {distance_m:.3g} m: millimetres or centimetres?"
    ascending, cut = np.sort(near, axis=0), len(near) // 40
    x_m, y_m, z_m = (ascending[-1 - cut] - ascending[cut]).tolist()  # without the outer 2.5 % on either side
    width_m = min(x_m, y_m)
    is_flat = width_m > MAX_VIEW * distance_m and width_m > MIN_FLATNESS * z_m
    if is_flat or _rises_from_zero(points[:, 2], near[:, 2], width_m > TALL_VIEW * distance_m):
        return distance_m, (
            f"points {width_m:.3g} m wide with a median z of {distance_m:.3g} m lie on or behind the tray's plane, as "
            "heights do: are they in the sensor's frame, z away from it?"
        )
    if distance_m < MIN_DISTANCE_M:
        return distance_m, f"median distance {distance_m:.3g} m: converted to metres twice?"
    return distance_m, None


def _rises_from_zero(z: NDArray[np.float32], near: NDArray[np.float32], wide: bool) -> bool:
    """Tell whether heights `z` stand on a tray at exactly 0, which counts as not measured and is in `near` alone."""
    zeros = float(np.mean(near == 0))
    low, high = np.quantile(z, [0.05, 0.95])
    return (wide and zeros > 0.5) or (zeros > _FEW and bool(low < LEAST_DEPTH * high))


def _of_foreign_unit(z: NDArray[np.float32]) -> tuple[float | None, str | None]:
    far = z[(z > 0) & (z < _GREATEST)]
    if far.size == 0 or far.min() == far.max():  # one value everywhere marks gaps
        return None, None
    distance = float(np.median(far))
    unit = next((unit for unit, metres in _UNITS if distance * metres <= MAX_DISTANCE_M), "another unit")
    return distance, f"median distance {distance:.5g} m: {unit}?"
