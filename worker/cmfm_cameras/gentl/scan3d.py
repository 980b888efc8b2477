"""The meaning of a device's coordinates: SFNC's Scan3d features as one value. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

UNITS: Final = {"Micrometer": 1e-6, "Millimeter": 1e-3, "Centimeter": 1e-2, "Meter": 1.0, "Inch": 0.0254}
"""SFNC's Scan3dDistanceUnit in metres; some devices write Micrometers or mm."""

SPELT: Final = {"um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}

RotationOrder = Literal["xyz", "zyx"]
"""xyz: a point is rotated about X first, then about Y, then about Z."""


@dataclass(frozen=True, slots=True)
class Axis:
    """How the numbers of one axis become coordinates: number × `scale` + `offset`, in the device's unit.

    A number equal to `invalid` was not measured; None: no number says so.
    """

    scale: float = 1.0
    offset: float = 0.0
    invalid: float | None = None


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Focal length and principal point in pixels of the full sensor, for modes that give distances alone."""

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True, slots=True)
class Pose:
    """The coordinate system of the points in that of the sensor: rotations in degrees, translation in the unit."""

    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def matrix(self, order: RotationOrder) -> NDArray[np.float64]:
        """Return the rotation (3, 3)."""
        about_x, about_y, about_z = (_rotation(axis, degrees) for axis, degrees in enumerate(self.rotation))
        return about_z @ about_y @ about_x if order == "xyz" else about_x @ about_y @ about_z


@dataclass(frozen=True, slots=True)
class Scan3d:
    """A device's description of its coordinates. `metres` is its unit; `axes` are A, B and C.

    `output_mode` and `system` are SFNC's Scan3dOutputMode and Scan3dCoordinateSystem. `pose` is None if points are
    taken as they come. `intrinsics` and `baseline` (in the unit) are for modes that give distances or disparities.
    """

    output_mode: str = "CalibratedABC_Grid"
    system: str = "Cartesian"
    metres: float = 1e-3
    axes: tuple[Axis, Axis, Axis] = (Axis(), Axis(), Axis())
    pose: Pose | None = None
    rotation_order: RotationOrder = "xyz"
    intrinsics: Intrinsics | None = None
    baseline: float | None = None
    zero_is_missing: bool = True


def metres_of(unit: str) -> float | None:
    """Return the metres of a Scan3dDistanceUnit, None for a unit that is not a length (Pixel)."""
    return UNITS.get(unit.removesuffix("s")) or UNITS.get(unit) or SPELT.get(unit)


def to_sensor(scan: Scan3d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (3, 3) and (3,) that take a device's numbers A, B, C to metres in the sensor's frame."""
    scale = np.array([axis.scale for axis in scan.axes])
    offset = np.array([axis.offset for axis in scan.axes])
    return posed(scan, np.diag(scale * scan.metres), offset * scan.metres)


def posed(
    scan: Scan3d, matrix: NDArray[np.float64], offset: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an affine map followed by the pose, if there is one."""
    if scan.pose is None:
        return matrix, offset
    rotation = scan.pose.matrix(scan.rotation_order)
    return rotation @ matrix, rotation @ offset + np.array(scan.pose.translation) * scan.metres


def _rotation(axis: int, degrees: float) -> NDArray[np.float64]:
    sine, cosine = _sine_cosine(degrees)
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[one, one] = matrix[two, two] = cosine
    matrix[one, two], matrix[two, one] = -sine, sine
    return matrix


def _sine_cosine(degrees: float) -> tuple[float, float]:
    """Exact for multiples of 90 degrees, so that axes that only change sign stay exact."""
    quarter = degrees / 90.0
    if quarter == round(quarter):
        return ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))[round(quarter) % 4]
    return math.sin(math.radians(degrees)), math.cos(math.radians(degrees))


def axes_of(scales: Sequence[float], offsets: Sequence[float]) -> tuple[Axis, Axis, Axis]:
    """Return axes with these scales and offsets, and no mark of missing points."""
    a, b, c = (Axis(scale, offset) for scale, offset in zip(scales, offsets, strict=True))
    return a, b, c
