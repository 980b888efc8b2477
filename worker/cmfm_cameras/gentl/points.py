"""The points of a buffer: coordinates of every layout to metres in the sensor's frame, NaN where missing. Pure.

One pass converts, and one interleaves: nothing of the buffer is kept, and nothing else is copied.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.parts import Part, channels, is_known, planes
from cmfm_cameras.gentl.scan3d import Intrinsics, Scan3d, posed, to_sensor

GRID_MODES: Final = ("CalibratedABC_Grid",)
DISTANCE_MODES: Final = ("CalibratedC",)
RECTIFIED_MODES: Final = ("RectifiedC",)
DISPARITY_MODES: Final = ("DisparityC",)
MODES: Final = (*GRID_MODES, *DISTANCE_MODES, *RECTIFIED_MODES, *DISPARITY_MODES)

_WHY_NOT: Final = {
    "CalibratedABC_PointCloud": "its points belong to no pixels",
    "UncalibratedC": "it is not calibrated",
    "CalibratedAC": "it is a profile: see [profiler]",
    "CalibratedAC_Linescan": "it is a profile: see [profiler]",
    "RectifiedC_Linescan": "it is a profile: see [profiler]",
    "CalibratedC_Linescan": "it is a profile: see [profiler]",
    "DisparityC_Linescan": "it is a profile: see [profiler]",
}

NAN_BITS: Final = np.uint32(0x7FC00000)
"""A quiet NaN of 32 bits."""

Planes = list[NDArray[Any]]


def point_parts(parts: Sequence[Part]) -> list[Part]:
    """Return the parts that hold coordinates."""
    return [part for part in parts if is_known(part) and part.format.kind == "points"]


def points(raw: bytes | memoryview, parts: Sequence[Part], scan: Scan3d) -> NDArray[np.float32]:
    """Return the points (H, W, 3) float32 metres in a new array; a missing point is NaN in all coordinates.

    Raises RefusedCaptureError for coordinates that are missing, not of the same pixels, or of a mode in which they are
    not registered.
    """
    _require_convertible(scan)
    found = point_parts(parts)
    _require_same_pixels(found)
    layouts = [(part.format.axes, part.format.planar) for part in found]
    if scan.output_mode in GRID_MODES and layouts == [("ABC", False)]:
        return _interleaved(channels(raw, found[0]), scan)
    axes = _axes(raw, found)
    if scan.output_mode in GRID_MODES:
        return _grid(axes, scan, found)
    if "C" not in axes:
        raise RefusedCaptureError(Refusal.INCOMPLETE, f"{scan.output_mode} without a component Coord3D_C")
    if scan.output_mode in RECTIFIED_MODES:
        return _rectified(axes["C"], scan)
    return _along_rays(axes["C"], scan, found[0])


def _require_convertible(scan: Scan3d) -> None:
    if scan.output_mode not in MODES:
        why = _WHY_NOT.get(scan.output_mode, "it is not known")
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED,
            f"Scan3dOutputMode {scan.output_mode} is not converted, {why}; set one of {', '.join(MODES)}",
        )
    if scan.system != "Cartesian":
        raise RefusedCaptureError(
            Refusal.UNSUPPORTED,
            f"Scan3dCoordinateSystem {scan.system} is not converted; set it to Cartesian",
        )


def require_same_pixels(colour: Part, parts: Sequence[Part]) -> None:
    """Raise RefusedCaptureError unless the picture and every component of points cover the same pixels."""
    for part in point_parts(parts):
        if part.pixels != colour.pixels:
            raise RefusedCaptureError(
                Refusal.NOT_REGISTERED,
                f"{colour.format.name} covers rows and columns {_region(colour)} of the sensor, {part.format.name} "
                f"{_region(part)}: set the same region for both components",
            )


def _region(part: Part) -> str:
    return f"{part.y_offset}+{part.height}, {part.x_offset}+{part.width}"


def _require_same_pixels(parts: Sequence[Part]) -> None:
    if len({part.pixels for part in parts}) > 1:
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED, "the components of the points cover different pixels"
        )


def _axes(raw: bytes | memoryview, parts: Sequence[Part]) -> dict[str, NDArray[Any]]:
    """Axis → view (H, W) of its numbers."""
    axes: dict[str, NDArray[Any]] = {}
    for part in parts:
        found = part.format
        views = planes(raw, part) if found.planar else np.moveaxis(channels(raw, part), -1, 0)
        for axis, view in zip(found.axes, views, strict=True):
            if axis in axes:
                raise RefusedCaptureError(
                    Refusal.INCOMPLETE, f"the buffer holds two components of axis {axis}"
                )
            axes[axis] = view
    return axes


def _grid(axes: dict[str, NDArray[Any]], scan: Scan3d, parts: Sequence[Part]) -> NDArray[np.float32]:
    if axes.keys() != {"A", "B", "C"}:
        names = ", ".join(part.format.name for part in parts) or "no component of points"
        raise RefusedCaptureError(Refusal.INCOMPLETE, f"{scan.output_mode} with {names}; it needs A, B and C")
    matrix, offset = to_sensor(scan)
    missing = _missing([axes[axis] for axis in "ABC"], scan)
    return _mapped([axes[axis] for axis in "ABC"], matrix, offset, missing)


def _interleaved(numbers: NDArray[Any], scan: Scan3d) -> NDArray[np.float32]:
    """The affine map of points that are interleaved already: one pass, and one over the missing ones."""
    marked = [_plane(numbers, axis) if _is_marked(scan, axis) else None for axis in range(3)]
    missing = _missing(marked, scan)
    matrix, offset = to_sensor(scan)
    xyz = _transformed(np.ascontiguousarray(numbers, np.float32), matrix, offset)
    if missing is None:
        return xyz
    return cast("NDArray[np.float32]", cv2.copyTo(_nothing(xyz.shape), missing.view(np.uint8), xyz))


def _plane(numbers: NDArray[Any], axis: int) -> NDArray[Any]:
    return np.ascontiguousarray(numbers[..., axis])


def _is_marked(scan: Scan3d, axis: int) -> bool:
    return scan.axes[axis].invalid is not None or (axis == 2 and scan.zero_is_missing)


def _transformed(
    numbers: NDArray[np.float32], matrix: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", cv2.transform(numbers, np.column_stack([matrix, offset])))


@lru_cache(maxsize=1)
def _nothing(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Points of which none was measured; a camera's frames have one size."""
    return np.full(shape, np.nan, np.float32)


def _rectified(c: NDArray[Any], scan: Scan3d) -> NDArray[np.float32]:
    """A and B follow from column and row, by their scale and offset."""
    columns = np.broadcast_to(np.arange(c.shape[1], dtype=np.float32)[None, :], c.shape)
    rows = np.broadcast_to(np.arange(c.shape[0], dtype=np.float32)[:, None], c.shape)
    matrix, offset = to_sensor(scan)
    return _mapped([columns, rows, c], matrix, offset, _missing([None, None, c], scan))


def _along_rays(c: NDArray[Any], scan: Scan3d, part: Part) -> NDArray[np.float32]:
    """A and B follow from the distance and the pixel's ray."""
    if scan.intrinsics is None:
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED,
            f"{scan.output_mode} needs the focal length and principal point: the device does not say them, set fx, fy, "
            "cx and cy",
        )
    z_m, missing = _distances(c, scan, scan.intrinsics)
    x_m, y_m = (_times(z_m, slopes) for slopes in _rays(scan.intrinsics, part))
    matrix, offset = posed(scan, np.eye(3), np.zeros(3))
    return _mapped([x_m, y_m, z_m], matrix, offset, missing)


def _times(values: NDArray[np.float32], factors: NDArray[np.float32]) -> NDArray[Any]:
    return np.multiply(values, factors, out=np.empty_like(values))


def _distances(
    c: NDArray[Any], scan: Scan3d, intrinsics: Intrinsics
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    missing = _missing([None, None, c], scan)
    axis = scan.axes[2]
    if scan.output_mode in DISTANCE_MODES:
        z_m = np.multiply(c, axis.scale * scan.metres, dtype=np.float32, casting="unsafe")
        z_m += np.float32(axis.offset * scan.metres)
        return z_m, missing
    if scan.baseline is None:
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED, f"{scan.output_mode} needs Scan3dBaseline, which the device does not say"
        )
    disparity = np.multiply(c, axis.scale, dtype=np.float64, casting="unsafe") + axis.offset
    with np.errstate(divide="ignore"):
        z = intrinsics.fx * scan.baseline * scan.metres / disparity
    none = ~(disparity > 0)
    return z.astype(np.float32), none if missing is None else none | missing


def _rays(intrinsics: Intrinsics, part: Part) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    columns = np.arange(part.x_offset, part.x_offset + part.width)
    rows = np.arange(part.y_offset, part.y_offset + part.height)
    across = ((columns - intrinsics.cx) / intrinsics.fx).astype(np.float32)
    down = ((rows - intrinsics.cy) / intrinsics.fy).astype(np.float32)
    return across[None, :], down[:, None]


def _missing(numbers: Sequence[NDArray[Any] | None], scan: Scan3d) -> NDArray[np.bool_] | None:
    """Which points were not measured, by the device's mark of each axis and by C = 0; None if no number says it."""
    marks = [
        _equals(values, axis.invalid)
        for values, axis in zip(numbers, scan.axes, strict=True)
        if values is not None and axis.invalid is not None
    ]
    if scan.zero_is_missing and numbers[2] is not None:
        marks.append(numbers[2] == 0)
    if not marks:
        return None
    return cast("NDArray[np.bool_]", np.logical_or.reduce(marks)) if len(marks) > 1 else marks[0]


def _equals(values: NDArray[Any], invalid: float) -> NDArray[np.bool_]:
    if np.isnan(invalid):
        return cast("NDArray[np.bool_]", np.isnan(values))
    same = values == (values.dtype.type(invalid) if values.dtype.kind == "f" else invalid)
    return cast("NDArray[np.bool_]", same)


def _mapped(
    numbers: Planes,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    missing: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    """The affine map of three planes, interleaved (H, W, 3); missing points become NaN on the way."""
    mixes = bool(np.count_nonzero(matrix - np.diag(np.diag(matrix))))
    scales = (1.0, 1.0, 1.0) if mixes else np.diag(matrix)
    offsets = (0.0, 0.0, 0.0) if mixes else offset
    poison = None if missing is None else _poison(missing)
    scaled = [
        _scaled(plane, float(scale), float(shift), poison)
        for plane, scale, shift in zip(numbers, scales, offsets, strict=True)
    ]
    xyz = cast("NDArray[np.float32]", cv2.merge(scaled))
    return _transformed(xyz, matrix, offset) if mixes else xyz


def _poison(missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A plane that makes what it is added to NaN where points are missing: faster than a masked write."""
    return np.multiply(missing, NAN_BITS, dtype=np.uint32).view(np.float32)


def _scaled(
    plane: NDArray[Any], scale: float, shift: float, poison: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.multiply(plane, np.float32(scale), dtype=np.float32, casting="unsafe")
    if shift:
        values += np.float32(shift)
    if poison is not None:
        values += poison
    return values
